"""Wrappers for vector environments of any kind."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper
from numpy.typing import NDArray

from greenhop.errors import ConfigError
from greenhop.gym.pay import beyond_others


class GroupBaseline(VectorWrapper[Any, Any, Any]):
    """Rewards beyond the mean of the others in a group of environments that live the same episodes.

    The weather of an episode moves its bill far more than any decision; what the others earn in it takes that out, and
    as no action of an environment moves what the others earn, the best policy stays the same.

    For every vector environment whose single ones live the same episode when they are seeded alike: those made by
    `gymnasium.make_vec("greenhop:…")`, and any made of single environments (`SyncVectorEnv`, `AsyncVectorEnv`).

    Args:
        envs: the environments, of which neighbours form groups.
        group_size: environments of a group; divides `envs.num_envs`.

    Raises:
        ConfigError: a size that does not divide them, or less than two.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any], group_size: int = 8) -> None:
        super().__init__(envs)
        if group_size < 2 or envs.num_envs % group_size:
            raise ConfigError(f"group_size = {group_size}; allowed: from 2, and dividing num_envs = {envs.num_envs}")
        self.group_size, self._seeded = group_size, False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin new episodes: group g is seeded `seed + g`; None goes on with the next ones."""
        if seed is None and not self._seeded:
            seed = int(np.random.default_rng().integers(2**31))
        self._seeded = True
        each = None if seed is None else [seed + env // self.group_size for env in range(self.num_envs)]
        return self.env.reset(seed=each, options=options)  # type: ignore[arg-type]  # a list, as the base says in words

    def step(self, actions: Any) -> tuple[Any, NDArray[Any], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """One step; the reward is what an environment earned beyond the mean of the others in its group."""
        obs, reward, terminated, truncated, info = self.env.step(actions)
        return obs, beyond_others(np.asarray(reward), self.group_size), terminated, truncated, info
