"""What the environments pay for a step: the bill or its accruals, and which baseline they pay beyond."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from greenhop.engines.engine import Tick, TickArrays
from greenhop.errors import ConfigError
from greenhop.physics.rewards import RewardKind

if TYPE_CHECKING:
    from greenhop.episode.simulator import Simulator

Baseline = Literal["none", "group", "price_follow"]
Paid = Literal["shared", "own"]  # an agent of many earns what the network earns, or what its own hub does
Numbers = TypeVar("Numbers", Tensor, NDArray[Any])


def beyond_others(reward: Numbers, group_size: int) -> Numbers:
    """`[B]` rewards minus the mean of those of the others in the group: `r_i − Σ_{j≠i} r_j/(g − 1)`.

    The others live the same episode, and no action of `i` moves what they earn: what an action is worth stays the same.
    """
    groups = reward.reshape(-1, group_size)
    others = groups.sum(1)[:, None] - groups
    beyond: Numbers = (groups - others / (group_size - 1)).reshape(-1)
    return beyond


@dataclass(frozen=True)
class Pay:
    """The reward of a step.

    Args:
        sim: the simulator.
        price_follow: makes the table `[E, T]` of what the zero action earns, if it is asked for.
        reward: `bill` is minus what the step costs. `accrual` books work at its terminal price when it arrives and
            credits it when it is served, and stored energy alike (`greenhop.physics.rewards.potential`): over an
            episode that adds a number known at its start.
        baseline: `none`; `group`, the mean reward of the others in the group; or `price_follow`, what the zero action
            earns in the same step of the same episode.
        group_size: environments that live the same episodes.

    Raises:
        ConfigError: an unknown word, or a group of one as its own baseline.
    """

    sim: Simulator
    price_follow: Callable[[Simulator, RewardKind], Tensor]
    reward: RewardKind = "accrual"
    baseline: Baseline = "none"
    group_size: int = 1

    def __post_init__(self) -> None:
        for name, given, allowed in (("reward", self.reward, RewardKind), ("baseline", self.baseline, Baseline)):
            if given not in get_args(allowed):
                raise ConfigError(f"{name} = {given!r} is unknown; allowed: {', '.join(get_args(allowed))}")
        if self.baseline == "group" and self.group_size < 2:
            raise ConfigError("baseline = 'group' needs others to compare with: group_size = 2 or more")

    @cached_property
    def _table(self) -> Tensor:
        """`[E·T]` what price following earns, episode by episode."""
        return self.price_follow(self.sim, self.reward).flatten()

    @cached_property
    def _array(self) -> NDArray[Any]:
        return np.asarray(self._table.numpy())

    def tensor(self, done: Tick, place: NDArray[np.int64] | None) -> Tensor:
        """`[B]` rewards of steps that stand at `place` `[B]` (start · T + t) of the baseline's table, if it has one."""
        reward = done.reward + done.gain if self.reward == "accrual" else done.reward
        if self.baseline == "group":
            return beyond_others(reward, self.group_size)
        if place is None:
            return reward
        return reward - self._table.take(torch.from_numpy(place).to(reward.device, non_blocking=True))

    def array(self, done: TickArrays, place: NDArray[np.int64] | None) -> NDArray[Any]:
        """The same as an array, which the engine may overwrite."""
        reward = done.reward + done.gain if self.reward == "accrual" else done.reward
        if self.baseline == "group":
            return beyond_others(reward, self.group_size)
        return reward if place is None else reward - self._array.take(place)
