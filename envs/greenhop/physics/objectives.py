"""What else counts beside the bill: four objectives of the same step, all linear in what happens.

The first is the whole bill. The others are physical, so that a trade-off can be read without believing a price.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from greenhop.errors import ConfigError
from greenhop.physics.params import Params
from greenhop.physics.rewards import REPORTED
from greenhop.physics.state import ACCOUNTS, COST_TERMS

OBJECTIVES = ("cost_cny", "carbon_kg", "missed_mwh", "green_short_mwh")  # to be small
GREEN = ACCOUNTS.index("green")
CARBON_SCALE_KG_PER_MWH = 1000.0  # of hard coal; makes a step's carbon of order one


def objectives(params: Params, reported: Tensor, before_mwh: Tensor, after_mwh: Tensor) -> Tensor:
    """`[B, 4]` the objectives of a step, in the units of their names.

    `green_short_mwh` is by how much sites fall further behind their green target: what the positive part of their
    accounts rose, which adds up to what is missing at the end of an episode.

    Args:
        params: scenario.
        reported: `[B, len(REPORTED)]` of the step.
        before_mwh: `[B, R, A]` accounts (`State.owed_mwh`) before it.
        after_mwh: `[B, R, A]` accounts after it.
    """
    cost = reported[:, : len(COST_TERMS)].sum(-1)
    carbon, missed = (reported[:, REPORTED.index(name)] for name in OBJECTIVES[1:3])
    judged = (params.owed_price_cny_per_mwh[:, GREEN] > 0).to(reported.dtype)
    rise = after_mwh[..., GREEN].clamp_min(0.0) - before_mwh[..., GREEN].clamp_min(0.0)
    return torch.stack((cost, carbon, missed, rise @ judged), dim=-1)


def objective_scales(params: Params) -> dict[str, float]:
    """What one unit of each objective is where a number of order one is wanted: about a step's worth of it."""
    capacity_mwh = float(params.capacity_mwh.sum())
    scales = (params.cost_scale_cny, capacity_mwh * CARBON_SCALE_KG_PER_MWH, capacity_mwh, capacity_mwh)
    return dict(zip(OBJECTIVES, scales, strict=True))


def raised(params: Params, prices: Mapping[str, float]) -> Params:
    """The scenario of an operator who also pays so much for a unit of an objective; nothing else changes.

    Bills in it are those of `params` and Σ price·objective.

    Args:
        params: scenario.
        prices: CNY per unit of objectives beside the bill.

    Raises:
        ConfigError: an unknown objective.
    """
    unknown = [name for name in prices if name not in OBJECTIVES[1:]]
    if unknown:
        raise ConfigError(f"{', '.join(unknown)}: no objective beside the bill; allowed: {', '.join(OBJECTIVES[1:])}")
    owed, short = params.owed_price_cny_per_mwh.clone(), prices.get("green_short_mwh", 0.0)
    owed[:, GREEN] += short * (owed[:, GREEN] > 0)
    missed = prices.get("missed_mwh", 0.0)
    return replace(
        params,
        carbon_price_cny_per_kg=params.carbon_price_cny_per_kg + prices.get("carbon_kg", 0.0),
        missed_cny_per_mwh=params.missed_cny_per_mwh + missed,
        missed_online_cny_per_mwh=params.missed_online_cny_per_mwh + missed,
        owed_price_cny_per_mwh=owed,
    )
