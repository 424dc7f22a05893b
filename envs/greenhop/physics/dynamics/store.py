"""Batteries, shared batteries and molten-salt stores."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from greenhop.physics.ops import fit, per_region
from greenhop.physics.params import Params


class Stored(NamedTuple):
    """Clipped storage decisions and the energy they leave behind, all `[B, U]` MWh."""

    charge: Tensor
    discharge: Tensor
    spill: Tensor
    soc: Tensor


def store(
    p: Params, charge: Tensor, discharge: Tensor, spill: Tensor, soc: Tensor, inflow: Tensor, facility: Tensor
) -> Stored:
    """Clip to power limits, the energy window and the site's load `facility` `[B, R]`; the rest is `[B, U]` MWh.

    `soc' = soc − σ·(soc − floor) + η_c·charge + inflow − discharge/η_d − spill`, within `[soc_min, soc_max]`.
    """
    e = soc - p.standing_loss * (soc - p.soc_min_mwh)
    ch = torch.minimum(charge.clamp_min(0.0), p.charge_limit_mwh)
    dis = torch.minimum(discharge.clamp_min(0.0), p.discharge_limit_mwh)
    dis = dis * fit(per_region(dis, p.unit_of_region), facility).index_select(1, p.unit_region)
    sp = torch.minimum(spill.clamp_min(0.0), inflow)
    above_floor = e + p.efficiency_charge * ch + inflow - sp - p.soc_min_mwh
    dis = torch.minimum(dis, p.efficiency_discharge * above_floor.clamp_min(0.0))
    drawn = dis / p.efficiency_discharge
    excess = (e + p.efficiency_charge * ch + inflow - drawn - sp - p.soc_max_mwh).clamp_min(0.0)
    extra = torch.minimum(excess, inflow - sp)
    sp = sp + extra
    ch = (ch - (excess - extra) / p.efficiency_charge).clamp_min(0.0)
    return Stored(ch, dis, sp, e + p.efficiency_charge * ch + inflow - drawn - sp)
