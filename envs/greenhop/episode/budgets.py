"""Budgets of an episode: what a policy may miss, emit, or must cover with green energy, on average over episodes.

What a step uses of a budget is its *cost* in the sense of constrained reinforcement learning; all are linear in what is
reported of a step, so that a linear programme with the same budgets bounds every policy that keeps them.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from greenhop.physics.objectives import objective_scales
from greenhop.physics.params import Params
from greenhop.physics.rewards import REPORTED
from greenhop.scenario.limits import Limited

Kept = Annotated[float, Field(ge=0.0, allow_inf_nan=False)] | None


class Budget(NamedTuple):
    """One budget of an episode."""

    name: str  # as `greenhop.lp.objectives.counted` calls what is used
    limit: float  # per episode, kg or MWh
    unit: float  # about what a step uses: the cost divided by it is of order one
    weights: tuple[float, ...]  # of REPORTED, whose weighted sum a step uses
    share: float = 0.0  # of consumption, for `green_lack_mwh`


class Budgets(Limited):
    """What an episode may use; null: as much as it likes."""

    carbon_kg: Kept = None
    """Most carbon dioxide of an episode, kg."""
    missed_mwh: Kept = None
    """Most work that an episode misses, MWh."""
    green_share: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    """Least share of consumption that is green energy."""

    def listed(self, params: Params) -> list[Budget]:
        """Those that are set, in the order of the fields."""
        if all(limit is None for _, limit in self):
            return []
        scales, out = objective_scales(params), []
        for name in ("carbon_kg", "missed_mwh"):
            limit = getattr(self, name)
            if limit is not None:
                out.append(Budget(name, limit, scales[name], _weights({name: 1.0})))
        if self.green_share is not None:
            weights = _weights({"facility_mwh": self.green_share, "green_used_mwh": -1.0})
            out.append(Budget("green_lack_mwh", 0.0, scales["missed_mwh"], weights, self.green_share))
        return out


def _weights(by_name: dict[str, float]) -> tuple[float, ...]:
    return tuple(by_name.get(name, 0.0) for name in REPORTED)


def used(budgets: list[Budget], reported: Tensor) -> Tensor:
    """`[…, C]` what steps use of each budget, in its unit of measure; `reported` `[…, len(REPORTED)]`."""
    weights = torch.tensor([b.weights for b in budgets], dtype=reported.dtype, device=reported.device)
    return reported @ weights.reshape(len(budgets), len(REPORTED)).T
