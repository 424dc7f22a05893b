"""The batched simulator as a Stable-Baselines3 `VecEnv`."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn
from torch import Tensor

from greenhop.episode.simulator import Simulator
from greenhop.errors import ConfigError
from greenhop.gym.tensor_env import TensorVectorEnv
from greenhop.gym.vector_env import checked_action, spaces
from greenhop.physics.rewards import REPORTED
from greenhop_agents.learners.baseline import at, gain


class HubVecEnv(VecEnv):
    """The batched simulator as SB3 expects it: NumPy, autoreset in the same step, one info dict per environment.

    At the end of an episode its info holds `terminal_observation`, `TimeLimit.truncated`, `episode` (`r, l, t`) and
    `totals` (cost terms and quantities summed over the episode).

    Args:
        beyond: `[E, T]` rewards that are subtracted from those of the same step of the same episode, for instance
            what price following earns (`reference_rewards`): a control variate, it leaves the optimal policy alone.
        bootstrap: whether algorithms shall add the value of the last observation. Without it an episode is a whole:
            its last step has priced the work and energy that it leaves (`terminal`), which a value would count twice.
        shaping: whether rewards include the change of `potential` (reference.py); then `beyond` must as well.
    """

    def __init__(
        self,
        sim: Simulator,
        num_envs: int,
        seed: int = 0,
        beyond: Tensor | None = None,
        bootstrap: bool = False,
        shaping: bool = False,
    ) -> None:
        self.sim, self._beyond, self._bootstrap, self._shaping = sim, beyond, bootstrap, shaping
        observation_space, action_space = spaces(sim)
        self.tensors = TensorVectorEnv(sim, num_envs, seed, compile=None)
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
            before = self.tensors.carry  # a copy, where steps are compiled
            expected = 0.0 if self._beyond is None else at(self._beyond, self.sim, before)
            obs, reward, truncated, reported = self.tensors.step(action)
            reward = reward - expected
            if self._shaping:
                reward = reward + gain(self.sim.params, before.state, self.tensors.carry.state)
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


def _numpy(x: Tensor) -> NDArray[np.float32]:
    return np.array(x.cpu().numpy(), dtype=np.float32, copy=True)
