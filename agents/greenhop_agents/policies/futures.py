"""What followed in recorded episodes: how far peaks and accounts still moved, from every step to the end.

A window that ends before its episode has to value where it leaves them. A peak costs nothing as long as a later one is
billed anyway, and a debt nothing as long as the days to come repay it. What comes is uncertain, so what they cost is a
mean over what came before:

    demand_fee·mean_q max(peak, later_q)      price·mean_q relu(owed + later_q)

with Q equally likely futures, quantiles of what followed the same step of recorded episodes, those of the same season
counting most. Both are convex and piecewise linear: the window remains a linear programme.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import torch
from torch import Tensor

from greenhop.arrays import Array, Ints
from greenhop.lp.window import Later
from greenhop.physics.params import Params

YEAR_DAYS = 365.0
RECORDS = ("day", "peak_mw", "owed_mwh")


@dataclass(frozen=True)
class Futures:
    """N recorded episodes of T steps."""

    day: Array  # [N] of the year on which each began
    peak_mw: Array  # [T+1, N, R] highest import from each step to the end, 0 at the end itself
    owed_mwh: Array  # [T+1, N, R, A] what the accounts still moved by
    season_days: float = 30.0  # standard deviation of the weights of episodes that began on other days of the year
    count: int = 8  # Q

    @classmethod
    def of(cls, arrays: Mapping[str, Tensor], season_days: float, count: int) -> Self:
        """The inverse of `tensors`."""
        day, peak, owed = (arrays[name].double().cpu().numpy() for name in RECORDS)
        return cls(day, peak, owed, season_days, count)

    def tensors(self) -> dict[str, Tensor]:
        """The records by name, in float32."""
        return {name: torch.from_numpy(getattr(self, name)).float() for name in RECORDS}

    def and_later(self, other: Self, most: int) -> Self:
        """These and `other` episodes, of which the `most` newest are kept."""
        day = np.concatenate([self.day, other.day])[-most:]
        peak, owed = (
            np.concatenate([getattr(self, name), getattr(other, name)], axis=1)[:, -most:]
            for name in ("peak_mw", "owed_mwh")
        )
        return replace(self, day=day, peak_mw=peak, owed_mwh=owed)

    def after(self, step: int, day: float) -> Later:
        """What may follow step `step` (0 … T) of an episode that began on `day` of the year."""
        flat, order = self._sorted
        away = (day - self.day + YEAR_DAYS / 2) % YEAR_DAYS - YEAR_DAYS / 2
        weight = np.exp(-0.5 * (away / self.season_days) ** 2) + 1e-12
        reached = np.cumsum(weight[order[step]], axis=0) / weight.sum()
        quantile = (np.arange(self.count) + 0.5) / self.count
        place = np.minimum((reached[..., None] < quantile).sum(axis=0), len(self.day) - 1)
        found = np.take_along_axis(flat[step], place.T, axis=0).T
        regions = self.peak_mw.shape[-1]
        return Later(found[:regions], found[regions:].reshape(*self.owed_mwh.shape[2:], self.count))

    @cached_property
    def _sorted(self) -> tuple[Array, Ints]:
        """Both records `[T+1, N, ·]` in ascending order, and from which episode each entry is."""
        flat = np.concatenate([self.peak_mw, self.owed_mwh.reshape(*self.owed_mwh.shape[:2], -1)], axis=-1)
        order = np.argsort(flat, axis=1)
        return np.take_along_axis(flat, order, axis=1), order


def day_of(params: Params, first_row: Ints | int) -> Array:
    """Day of the year of rows of the world bank."""
    return np.asarray(first_row % params.rows_per_year) * params.dt_h / 24.0
