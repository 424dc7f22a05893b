"""Our networks in Stable-Baselines3, as a whole policy or a features extractor; its policies behind our protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from greenhop.episode.carry import Carry
from greenhop.episode.simulator import Simulator
from greenhop.physics.state import Plan
from greenhop_agents.learners.hub_graph import build_graph
from greenhop_agents.learners.networks import NetworkConfig, RegionEncoder, build_actor, build_critic, mlp
from greenhop_agents.policies.policy import ActionPolicy, Decision, Policy

HIDDEN_GAIN = 2.0**0.5  # of orthogonal weights before a rectifier


class HubFeatures(BaseFeaturesExtractor):
    """The encoder shared by all regions, for any algorithm: `[B, O]` → the embeddings of all regions, `[B, R·H]`.

    With `kind: mlp` a flat network of `layers` hidden layers, `[B, H]`.
    """

    def __init__(self, observation_space: gym.Space[Any], sim: Simulator, network: NetworkConfig) -> None:
        flat = network.kind == "mlp"
        super().__init__(observation_space, network.width * (1 if flat else len(sim.params.regions)))
        if flat:
            self.body: nn.Module = mlp(sim.obs_size, network.width, network.layers, network.width, HIDDEN_GAIN)
        else:
            self.body = _Embeddings(sim, network)

    def forward(self, observations: Tensor) -> Tensor:
        """`[B, O]` → `[B, features_dim]`."""
        return self.body(observations)  # type: ignore[no-any-return]


class _Embeddings(nn.Module):
    """Embeddings of all regions, one after the other."""

    def __init__(self, sim: Simulator, network: NetworkConfig) -> None:
        super().__init__()
        self.graph = build_graph(sim)
        self.encoder = RegionEncoder(self.graph, network)

    def forward(self, obs: Tensor) -> Tensor:
        """`[B, O]` → `[B, R·H]`."""
        return self.encoder(obs, self.graph)[0].transpose(0, 1).flatten(1)  # type: ignore[no-any-return]


class HubPolicy(ActorCriticPolicy):
    """The native learners' networks as an SB3 policy: one encoder shared by all hubs instead of a flat MLP."""

    def __init__(self, *args: Any, sim: Simulator, network: NetworkConfig, **kwargs: Any) -> None:
        self._sim, self._network = sim, network
        super().__init__(*args, **kwargs)

    def _build(self, lr_schedule: Schedule) -> None:
        """Called by the constructor of the base: networks and optimiser."""
        self.mlp_extractor = _Same(self._sim.obs_size)  # type: ignore[assignment]
        self.action_net = build_actor(self._sim, self._network).mean
        self.value_net = _Column(build_critic(self._sim, self._network))  # type: ignore[assignment]
        self.log_std = nn.Parameter(torch.full((self._sim.action_size,), self._network.log_std))
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]


class _Column(nn.Module):
    """Values `[B]` of a critic as SB3 wants them, `[B, 1]`."""

    def __init__(self, critic: nn.Module) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, obs: Tensor) -> Tensor:
        """`[B, O]` → `[B, 1]`."""
        return self.critic(obs).unsqueeze(-1)  # type: ignore[no-any-return]


class _Same(nn.Module):
    """Hands observations to actor and critic as they are."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.latent_dim_pi = self.latent_dim_vf = size

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """The same for both."""
        return obs, obs

    def forward_actor(self, obs: Tensor) -> Tensor:
        """For the actor."""
        return obs

    def forward_critic(self, obs: Tensor) -> Tensor:
        """For the critic."""
        return obs


@dataclass
class RecurrentPolicy:
    """The deterministic policy of a model that remembers: its state begins anew with every batch of episodes."""

    name: str
    policy: Any  # sb3_contrib's RecurrentActorCriticPolicy

    def reset(self, sim: Simulator) -> None:
        """Forget."""
        self._memory: tuple[Tensor, Tensor] | None = None
        self.policy.set_training_mode(False)

    def decide(self, sim: Simulator, carry: Carry) -> Plan:
        """Observe, act, decode."""
        return sim.decode(carry, self.act(sim.observe(carry)))

    def act(self, obs: Tensor) -> Tensor:
        """Actions `[B, A]` for observations `[B, O]`, which are remembered."""
        seen = obs.to(device=self.policy.device, dtype=torch.float32)
        layers, _, width = self.policy.lstm_hidden_state_shape
        began = seen.new_zeros(len(seen))
        memory = self._memory or (seen.new_zeros(layers, len(seen), width), seen.new_zeros(layers, len(seen), width))
        action, self._memory = self.policy._predict(seen, memory, began, deterministic=True)
        return action.to(obs.device, obs.dtype)  # type: ignore[no-any-return]

    def as_module(self) -> Decision:
        """The network, with its memory as further inputs and outputs."""
        self.policy.set_training_mode(False)
        return Remembering(self.policy)


class Remembering(Decision):
    """The network of such a policy: its memory goes in and comes out, `[layers, B, width]` each."""

    inputs = ("observation", "hidden", "cell")
    outputs = ("action", "next_hidden", "next_cell")

    def __init__(self, policy: Any) -> None:
        super().__init__(policy.forward, policy)

    def blank(self, batch: int) -> tuple[Tensor, ...]:
        """Zeros."""
        shape: Any = self.module.lstm_hidden_state_shape
        layers, _, width = shape
        return torch.zeros(layers, batch, width), torch.zeros(layers, batch, width)

    def forward(self, obs: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        """`[B, O]` and the memory → `[B, A]` and the memory of the next step."""
        policy: Any = self.module
        features = BasePolicy.extract_features(policy, obs, policy.pi_features_extractor)
        latent, (hidden, cell) = policy.lstm_actor(features.unsqueeze(0), (hidden, cell))
        decided = policy._get_action_dist_from_latent(policy.mlp_extractor.forward_actor(latent.squeeze(0)))
        return decided.get_actions(deterministic=True), hidden, cell


def as_policy(model: BaseAlgorithm, name: str) -> Policy:
    """The model's deterministic policy behind the common protocol."""
    actor = model.policy
    if hasattr(actor, "lstm_hidden_state_shape"):
        return RecurrentPolicy(name, actor)

    def act(obs: Tensor) -> Tensor:
        actor.set_training_mode(False)
        action = actor._predict(obs.to(device=actor.device, dtype=torch.float32), deterministic=True)
        return action.to(obs.device, obs.dtype)

    return ActionPolicy(name, act, module=actor)
