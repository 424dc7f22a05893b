"""The environment with a reward vector, as MO-Gymnasium has it: bill, carbon, missed work, green shortfall."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from greenhop.gym.env import HubEnv
from greenhop.physics.objectives import OBJECTIVES, objective_scales, objectives
from greenhop.physics.rewards import REPORTED


class HubMOEnv(HubEnv):
    """`HubEnv` whose reward is a vector: observations, actions, ends and `info` are the same.

    * Reward: float32 `[4]`, minus what a step adds to each of `OBJECTIVES` (the whole bill, CNY; carbon, kg; missed
      work, MWh; MWh by which sites fall further behind their green target), in units of `reward_units`. With weights
      (1, 0, 0, 0) it is the reward of `HubEnv`.
    * `reward_space`: all of them real numbers; MO-Gymnasium looks for it.

    Arguments are those of `HubEnv`, but for `baseline` and `reward`: a vector is paid as it is.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.reward_space = gym.spaces.Box(-np.inf, np.inf, (len(OBJECTIVES),), np.float32)
        self.reward_units = objective_scales(self.sim.params)
        self._units = np.array(list(self.reward_units.values()))

    @property
    def reward_dim(self) -> int:
        """How many objectives there are."""
        return len(OBJECTIVES)

    def step(  # type: ignore[override]  # a vector where the base has a number
        self, action: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], bool, bool, dict[str, Any]]:
        """One step; `info` is that of `HubEnv`.

        Raises:
            ActionError: an action that is not one, or no episode to go on with.
        """
        before = self.tensors.engine.state.owed_mwh
        obs, _, terminated, truncated, info = super().step(action)
        after = self.tensors.engine.state.owed_mwh
        told = torch.tensor([[float(info[name]) for name in REPORTED]], dtype=before.dtype, device=before.device)
        spent = objectives(self.sim.params, told, before, after)[0].double().cpu().numpy()
        return obs, (-spent / self._units).astype(np.float32), terminated, truncated, info
