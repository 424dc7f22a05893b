"""Evolution strategy (Salimans et al., 2017; Rechenberg, 1973): better weights by trying others, without any gradient.

    g = 1/(P·σ) Σ_i u_i·ε_i,   members θ + σ·ε_i, in pairs of ±ε;   u_i = rank of the member's reward, in −½…½

All members of a generation live the same episodes, so that ranks compare what they did and not what the weather was.
What it finds for a constant action and for a linear policy is what a network has to beat (docs/agents.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call, vmap

from greenhop.episode.simulator import Simulator
from greenhop.errors import ConfigError
from greenhop.gym.tensor_env import TensorVectorEnv
from greenhop.physics.rewards import REPORTED
from greenhop.scenario.config import Count, NonNegative, Positive
from greenhop_agents.learners.algorithm import Agent
from greenhop_agents.learners.native import Native, NativeOptions, episode_metrics
from greenhop_agents.learners.networks import Actor, NetworkConfig, build_actor, cosine
from greenhop_agents.learners.parallel import Team
from greenhop_agents.policies.policy import ActionPolicy


class EsConfig(NativeOptions):
    """Settings of the evolution strategy."""

    population: Count = 64
    """Members of a generation, an even number."""
    episodes: Count = 4
    """Episodes that every member lives through."""
    std: Positive = 0.05
    """Standard deviation of a member's weights around the present ones, at the start."""
    learning_rate: Positive = 0.02
    """Step size of Adam at the start."""
    final_learning_rate: NonNegative = 0.002
    """Step size at the end; it falls along half a cosine, and the standard deviation with it."""
    compile: bool | None = None
    """Whether the step is machine code; null: on a CPU with a compiler."""
    network: NetworkConfig = NetworkConfig(kind="mlp", layers=0)
    """Shape of the policy; no layers: linear."""


@dataclass(kw_only=True)
class Es(Native):
    """An evolution strategy on a simulator."""

    Options = EsConfig
    sim: Simulator
    name: str
    config: EsConfig
    actor: Actor  # its weights are θ
    optimiser: torch.optim.Optimizer
    generator: Generator

    @classmethod
    def build(
        cls,
        sim: Simulator,
        agent: Agent,
        seed: int,
        team: Team = Team(),  # noqa: B008 (frozen)
    ) -> Self:
        """The first θ, a network that hardly bids at all."""
        config: EsConfig = cls.options_of(agent)
        if config.population % 2:
            raise ConfigError(f"agent.options.population = {config.population} must be even: members come in pairs")
        torch.manual_seed(seed)
        actor = build_actor(sim, config.network)
        return cls(
            sim=sim,
            name=agent["name"],
            config=config,
            actor=actor,
            optimiser=torch.optim.Adam(actor.mean.parameters(), config.learning_rate),
            generator=Generator(sim.params.device).manual_seed(seed),
        )

    @property
    def frames(self) -> int:
        """Environment steps of a generation."""
        return self.config.population * self.config.episodes * self.sim.params.steps

    def policy(self) -> ActionPolicy:
        """That of θ itself."""
        return ActionPolicy(self.name, self.actor.act, self.actor)

    def weights(self) -> dict[str, Tensor]:
        """θ by name."""
        return self.actor.state_dict()

    def parameters(self) -> Iterable[nn.Parameter]:
        """θ."""
        return self.actor.mean.parameters()

    @torch.no_grad()
    def learn_once(self, done: float) -> dict[str, Tensor]:
        """One generation."""
        c, device = self.config, self.sim.params.device
        fall = cosine(1.0, c.final_learning_rate / c.learning_rate, done)
        std = c.std * fall
        noise = {name: self._draw(p.shape) for name, p in self.actor.mean.named_parameters()}
        members = {name: p + std * noise[name] for name, p in self.actor.mean.named_parameters()}
        starts = torch.randint(self.sim.bank.n_starts, (c.episodes,), generator=self.generator, device=device)
        reward, reported = self._live(members, starts)
        rank = utilities(reward.mean(1))
        for name, p in self.actor.mean.named_parameters():
            p.grad = -torch.einsum("p,p...->...", rank, noise[name]) / (c.population * std)
        self.optimiser.param_groups[0]["lr"] = c.learning_rate * fall
        self.optimiser.step()
        return {
            "train/std": reward.new_tensor(std),
            "train/best_of_generation": (reward.mean(1) - reward.mean()).max(),
        } | episode_metrics(self.sim.params.steps, reported.unsqueeze(0))

    def _draw(self, shape: torch.Size) -> Tensor:
        """`[P, …]` noise in pairs of opposite signs."""
        half = torch.randn(self.config.population // 2, *shape, generator=self.generator, device=self.sim.params.device)
        return torch.cat((half, -half))

    def _live(self, members: Mapping[str, Tensor], starts: Tensor) -> tuple[Tensor, Tensor]:
        """Rewards `[P, E]` of whole episodes, and what a step reports on average, `[P·E, len(REPORTED)]`."""
        population, episodes, steps = self.config.population, len(starts), self.sim.params.steps
        act = vmap(lambda weights, obs: torch.tanh(functional_call(self.actor.mean, weights, (obs,))))
        obs = self._envs.reset(starts=starts.repeat(population))
        total, told = obs.new_zeros(len(obs)), obs.new_zeros(len(obs), len(REPORTED))
        for _ in range(steps):
            action = act(members, obs.reshape(population, episodes, -1)).flatten(0, 1)
            obs, reward, _, reported = self._envs.step(action)
            total, told = total + reward, told + reported
        return total.reshape(population, episodes), told / steps

    @cached_property
    def _envs(self) -> TensorVectorEnv:
        size = self.config.population * self.config.episodes
        return TensorVectorEnv(self.sim, size, compile=self.config.compile, reward="bill")

    def state(self) -> dict[str, Any]:
        """θ, the optimiser's moments, the random generator."""
        return {
            "actor": dict(self.actor.state_dict()),
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
        }

    def take_up(self, state: Mapping[str, Any]) -> None:
        """The next generation is the one that would have been."""
        self.actor.load_state_dict(state["actor"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"].cpu())


def utilities(reward: Tensor) -> Tensor:
    """`[P]` ranks of rewards `[P]`, spread evenly from −½ (worst) to ½ (best)."""
    rank = reward.argsort().argsort().to(reward.dtype)
    return rank / (len(reward) - 1) - 0.5
