"""Stable-Baselines3 on the batched simulator: the `VecEnv` adapter, model building and the policy wrapper."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn
from torch import Tensor, nn

from greenhop.errors import ConfigError
from greenhop.rewards import REPORTED
from greenhop.scenarios import one_line
from greenhop.simulator import Simulator
from greenhop.vector_env import TensorVectorEnv, checked_action, spaces
from greenhop_agents.networks import build_actor, build_critic, parse_network
from greenhop_agents.policy import ActionPolicy
from greenhop_agents.reference import at, reference_rewards
from greenhop_agents.validation import Validation

ALGORITHMS: dict[str, type[BaseAlgorithm]] = {"ppo": PPO, "sac": SAC, "td3": TD3}


class HubVecEnv(VecEnv):
    """The batched simulator as SB3 expects it: NumPy, autoreset in the same step, one info dict per environment.

    At the end of an episode its info holds `terminal_observation`, `TimeLimit.truncated`, `episode` (`r, l, t`) and
    `totals` (cost terms and quantities summed over the episode).

    Args:
        beyond: `[E, T]` rewards that are subtracted from those of the same step of the same episode, for instance
            what price following earns (`reference_rewards`): a control variate, it leaves the optimal policy alone.
        bootstrap: whether algorithms shall add the value of the last observation. Without it an episode is a whole:
            its last step has priced the work and energy that it left (`terminal`).
    """

    def __init__(
        self, sim: Simulator, num_envs: int, seed: int = 0, beyond: Tensor | None = None, bootstrap: bool = True
    ) -> None:
        self.sim, self._beyond, self._bootstrap = sim, beyond, bootstrap
        observation_space, action_space = spaces(sim)
        self.tensors = TensorVectorEnv(sim, num_envs, seed)
        self.render_mode = None
        super().__init__(num_envs, observation_space, action_space)
        self._totals = np.zeros((num_envs, len(REPORTED)))
        self._returns = np.zeros(num_envs)
        self._began = perf_counter()

    def reset(self) -> VecEnvObs:
        """New episodes everywhere; a seed given by `seed()` is used once."""
        seed = self._seeds[0]
        obs = self.tensors.reset(seed if seed is not None else None)
        self._reset_seeds()
        self._totals[:] = 0.0
        self._returns[:] = 0.0
        return _numpy(obs)

    def step_async(self, actions: NDArray[np.float32]) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = checked_action(actions, (self.num_envs, self.sim.action_size))

    def step_wait(self) -> VecEnvStepReturn:
        """Step all environments and restart the ones that end."""
        with torch.no_grad():
            action = torch.from_numpy(self._actions).to(self.sim.params.device)
            expected = 0.0 if self._beyond is None else at(self._beyond, self.sim, self.tensors.carry)
            obs, reward, truncated, reported = self.tensors.step(action)
            reward = reward - expected
            rewards = _numpy(reward)
            self._totals += _numpy(reported)
            self._returns += rewards
            infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
            if truncated.any():
                last = _numpy(obs)
                for i in np.flatnonzero(truncated):
                    infos[i] = self._final_info(int(i), last[i])
                obs = self.tensors.restart(truncated)
                self._totals[truncated] = 0.0
                self._returns[truncated] = 0.0
        return _numpy(obs), rewards, truncated.copy(), infos

    def _final_info(self, i: int, last: NDArray[np.float32]) -> dict[str, Any]:
        return {
            "terminal_observation": last.copy(),
            "TimeLimit.truncated": self._bootstrap,
            "episode": {
                "r": float(self._returns[i]),
                "l": self.sim.params.steps,
                "t": round(perf_counter() - self._began, 6),
            },
            "totals": dict(zip(REPORTED, self._totals[i].tolist(), strict=True)),
        }

    def close(self) -> None:
        """Nothing to release."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The same attribute for every environment asked for: they share one simulator."""
        return [getattr(self, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Not possible: environments of a batch cannot differ."""
        raise ConfigError(f"set_attr({attr_name!r}) is not possible: the environments of a batch share one simulator")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Not possible: there are no single environments behind the batch."""
        raise ConfigError(f"env_method({method_name!r}) is not possible: there are no single environments in a batch")

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: Any = None) -> list[bool]:
        """Never wrapped."""
        return [False for _ in self._get_indices(indices)]


class HubPolicy(ActorCriticPolicy):
    """The native learners' networks as an SB3 policy: one encoder shared by all hubs instead of a flat MLP."""

    def __init__(self, *args: Any, sim: Simulator, network: Mapping[str, Any], **kwargs: Any) -> None:
        self._sim, self._network = sim, parse_network(network)
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


class EnvTerms(BaseCallback):
    """Logs the mean cost terms and quantities of finished episodes under `env/*`, once per rollout."""

    def __init__(self) -> None:
        super().__init__()
        self._finished: list[dict[str, float]] = []

    def _on_step(self) -> bool:
        self._finished += [info["totals"] for info in self.locals["infos"] if "totals" in info]
        if self._finished and not isinstance(self.model, PPO):
            self._write()
        return True

    def _on_rollout_end(self) -> None:
        self._write()

    def _write(self) -> None:
        for name in REPORTED if self._finished else ():
            self.logger.record(f"env/{name}", float(np.mean([totals[name] for totals in self._finished])))
        self._finished.clear()


class Watch(BaseCallback):
    """Calls `tick(timesteps)` after every step; stops learning when it returns False."""

    def __init__(self, tick: Callable[[int], bool]) -> None:
        super().__init__()
        self._tick = tick

    def _on_step(self) -> bool:
        return self._tick(self.num_timesteps)


class Validate(BaseCallback):
    """Measures the policy on held-out episodes at the start, now and then and at the end; keeps the best weights."""

    def __init__(self, validation: Validation, name: str, every: int) -> None:
        super().__init__()
        self._validation, self._name, self._every, self._done = validation, name, every, 0

    def _on_training_start(self) -> None:
        self._measure()

    def _on_step(self) -> bool:
        if self.num_timesteps // self._every > self._done:
            self._done = self.num_timesteps // self._every
            self._measure()
        return True

    def _on_training_end(self) -> None:
        self._measure()

    def _measure(self) -> None:
        found = self._validation.measure(as_policy(self.model, self._name), self.model.policy.state_dict)
        for tag, value in found.items():
            self.logger.record(tag, value)
        self.logger.dump(self.num_timesteps)


def build_model(
    env: HubVecEnv,
    algorithm: str,
    seed: int,
    device: str,
    options: Mapping[str, Any],
    network: Mapping[str, Any] | None = None,
) -> BaseAlgorithm:
    """An SB3 model; `options` are keyword arguments of the algorithm, `network` those of `NetworkConfig`.

    Without `network` the policy is SB3's own MLP. PPO can have one of ours.

    Raises:
        ConfigError: unknown algorithm or keyword.
    """
    if algorithm not in ALGORITHMS:
        raise ConfigError(f"agent.algorithm = {algorithm!r} is unknown; allowed: {', '.join(ALGORITHMS)}")
    policy: Any = "MlpPolicy"
    if network is not None:
        if algorithm != "ppo":
            raise ConfigError(f"agent.network is for algorithm ppo, not {algorithm!r}")
        policy, options = HubPolicy, {**options, "policy_kwargs": {"sim": env.sim, "network": network}}
    try:
        return ALGORITHMS[algorithm](policy, env, seed=seed, device=device, **options)
    except TypeError as error:
        raise ConfigError(f"agent.options: {error}") from None


def load_sb3(agent: Mapping[str, Any], weights: Mapping[str, Tensor], sim: Simulator) -> ActionPolicy:
    """A policy from the weights of a run folder: its network is rebuilt as configured, nothing is unpickled.

    Raises:
        ConfigError: weights of another network.
    """
    model = build_agent(HubVecEnv(sim, agent["num_envs"]), agent, seed=0)
    try:
        model.policy.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise ConfigError(f"the weights do not fit the network of agent {agent['name']}: {one_line(error)}") from None
    return as_policy(model, agent["name"])


def build_env(sim: Simulator, agent: Mapping[str, Any], seed: int) -> HubVecEnv:
    """The environments that an agent's configuration asks for."""
    beyond = reference_rewards(sim) if agent.get("beyond_price_follow") else None
    return HubVecEnv(sim, agent["num_envs"], seed, beyond, agent.get("bootstrap", True))


def build_agent(env: HubVecEnv, agent: Mapping[str, Any], seed: int) -> BaseAlgorithm:
    """The model that an agent's configuration asks for."""
    device = str(env.sim.params.device)
    return build_model(env, agent["algorithm"], seed, device, agent["options"], agent.get("network"))


def sync_targets(model: BaseAlgorithm) -> None:
    """Let target actors start from the actor, whose weights were changed from outside (a warm start)."""
    if isinstance(model, TD3):
        model.actor_target.load_state_dict(model.actor.state_dict())


def learn(model: BaseAlgorithm, total_steps: int, log_dir: Path, callbacks: Sequence[BaseCallback]) -> None:
    """Train; curves go to TensorBoard under `log_dir` with SB3's tags plus `env/*`."""
    model.set_logger(configure(str(log_dir), ["tensorboard"]))
    model.learn(total_timesteps=total_steps, callback=[EnvTerms(), *callbacks])


def as_policy(model: BaseAlgorithm, name: str) -> ActionPolicy:
    """The model's deterministic policy behind the common protocol."""
    actor = model.policy
    device = next(actor.parameters()).device

    def act(obs: Tensor) -> Tensor:
        actor.set_training_mode(False)
        action = actor._predict(obs.to(device=device, dtype=torch.float32), deterministic=True)
        return action.to(obs.device, obs.dtype)

    return ActionPolicy(name, act)


def _numpy(x: Tensor) -> NDArray[np.float32]:
    return np.array(x.cpu().numpy(), dtype=np.float32, copy=True)
