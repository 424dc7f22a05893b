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

from greenhop.episode.simulator import Simulator
from greenhop.errors import ConfigError
from greenhop.gym.interface import checked_action, spaces
from greenhop.gym.pay import Baseline
from greenhop.gym.tensor_env import TensorVectorEnv
from greenhop.physics.rewards import REPORTED, RewardKind


class HubVecEnv(VecEnv):
    """The batched simulator as SB3 expects it: NumPy, autoreset in the same step, one info dict per environment.

    At the end of an episode its info holds `terminal_observation`, `TimeLimit.truncated`, `episode` (`r, l, t`) and
    `totals` (cost terms and quantities summed over the episode). Algorithms add the value of the last observation only
    where ends are not priced (`episode.terminal=false`): a value would count twice what the last step has billed.

    Args:
        sim: the simulator.
        num_envs: how many environments.
        seed: of the first episodes.
        group_size: environments that live the same episodes; divides `num_envs`.
        reward: `bill` or `accrual`, see `greenhop.gym.pay.Pay`.
        baseline: `none`, `group` or `price_follow`.
    """

    def __init__(
        self,
        sim: Simulator,
        num_envs: int,
        seed: int = 0,
        *,
        group_size: int = 1,
        reward: RewardKind = "accrual",
        baseline: Baseline = "none",
    ) -> None:
        self.sim = sim
        observation_space, action_space = spaces(sim)
        self.tensors = TensorVectorEnv(
            sim, num_envs, seed, compile=None, group_size=group_size, reward=reward, baseline=baseline
        )
        self.render_mode = None
        super().__init__(num_envs, observation_space, action_space)
        self._totals = np.zeros((num_envs, len(REPORTED)))
        self._returns = np.zeros(num_envs)
        self._began = perf_counter()

    def reset(self) -> VecEnvObs:
        """New episodes everywhere; a seed given by `seed()` is used once."""
        with torch.no_grad():
            obs = self.tensors.reset(self._seeds[0])
        self._reset_seeds()
        self._totals[:] = 0.0
        self._returns[:] = 0.0
        return _numpy(obs)

    def step_async(self, actions: NDArray[np.float32]) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = checked_action(actions, (self.num_envs, self.sim.action_size))

    def step_wait(self) -> VecEnvStepReturn:
        """Step all environments and restart the ones that end."""
        last, reward, ended, reported = self.tensors.step_arrays(self._actions)
        obs, rewards = last.astype(np.float32), reward.astype(np.float32)
        self._totals += reported
        self._returns += rewards
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if ended.any():
            for i in np.flatnonzero(ended):
                infos[i] = self._final_info(int(i), obs[i])
            with torch.no_grad():
                obs = _numpy(self.tensors.restart(ended))
            self._totals[ended] = 0.0
            self._returns[ended] = 0.0
        return obs, rewards, ended.copy(), infos

    def _final_info(self, i: int, last: NDArray[np.float32]) -> dict[str, Any]:
        return {
            "terminal_observation": last.copy(),
            "TimeLimit.truncated": not self.sim.params.prices_end,
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


def _numpy(x: torch.Tensor) -> NDArray[np.float32]:
    return np.array(x.cpu().numpy(), dtype=np.float32, copy=True)
