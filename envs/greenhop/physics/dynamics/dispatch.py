"""The power balance of each site: which source covers the load, what is exported, what is curtailed."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from greenhop.physics.params import Params
from greenhop.physics.state import Dispatch, Row


class Power(NamedTuple):
    """The balanced step, all `[B, R]` MWh: green − curtail − export + ppa + grid + diesel + unserved = load."""

    ppa: Tensor
    grid: Tensor
    diesel: Tensor
    unserved: Tensor
    export: Tensor
    curtail: Tensor


class Limits(NamedTuple):
    """What bounds the power balance, all `[B, R]` MWh."""

    load: Tensor  # facility + charge − discharge
    meter: Tensor  # PPA and grid together
    export: Tensor


def power_limits(p: Params, load: Tensor, row: Row) -> Limits:
    """`[B, R]` limits of the step: the connection scaled by its availability, and the exportable part of own green."""
    export = torch.minimum(p.export_fraction * row.green_mwh, p.export_limit_mwh * row.grid_availability)
    return Limits(load, p.connection_mwh * row.grid_availability, export)


def follow_plan(p: Params, plan: Dispatch, row: Row, limits: Limits) -> Power:
    """Clip a given dispatch; grid import and unserved load close the balance."""
    load, meter, e_max = limits
    ppa = torch.minimum(torch.minimum(plan.ppa_mwh.clamp_min(0.0), row.ppa_mwh), torch.minimum(load, meter))
    diesel = torch.minimum(torch.minimum(plan.diesel_mwh.clamp_min(0.0), p.diesel_limit_mwh), load - ppa)
    export = torch.minimum(plan.export_mwh.clamp_min(0.0), e_max)
    left, rest = row.green_mwh - export, load - ppa - diesel
    curtail = torch.maximum(plan.curtail_mwh.clamp_min(0.0), left - rest)
    curtail = torch.minimum(curtail, left)
    need = (rest - (left - curtail)).clamp_min(0.0)
    grid = torch.minimum(need, meter - ppa)
    return Power(ppa, grid, diesel, need - grid, export, curtail)


def merit_order(p: Params, row: Row, limits: Limits, own_worth: Tensor, ppa_worth: Tensor) -> Power:
    """Cheapest source first; exportable green left over is exported if that pays, all other green is curtailed.

    `own_worth` and `ppa_worth` `[B, R]` CNY/MWh are what green power saves elsewhere when it is used.
    """
    load, meter, e_max = limits
    grid_price = (
        row.grid_price_cny_per_mwh + p.grid_adder_cny_per_mwh + p.carbon_price_cny_per_kg * row.carbon_kg_per_mwh
    )
    green_cost = p.green_cost_cny_per_mwh.expand_as(load)
    export_pays = row.export_price_cny_per_mwh > green_cost
    used = p.own_wires_cny_per_mwh - own_worth
    ppa_price = p.ppa_price_cny_per_mwh - ppa_worth
    ppa_max = torch.minimum(row.ppa_mwh, meter)
    grid_first = grid_price < ppa_price
    ppa_room = torch.where(grid_first, torch.zeros_like(meter), ppa_max)
    price = torch.stack(
        (green_cost + used, torch.maximum(green_cost, row.export_price_cny_per_mwh) + used, ppa_price, grid_price), -1
    )
    offered = torch.stack((row.green_mwh - e_max, e_max, ppa_room, meter - ppa_room), -1)
    bound_green, free_green, ppa, grid = _fill(load, price, offered).unbind(-1)
    rest = (load - bound_green - free_green - ppa - grid).clamp_min(0.0)
    rounding = torch.minimum(
        rest, (meter - ppa - grid).clamp_min(0.0)
    )  # what float32 left of a load the grid can carry
    grid, rest = grid + rounding, rest - rounding
    diesel = torch.minimum(rest, p.diesel_limit_mwh.expand_as(rest))
    export = torch.where(export_pays, e_max - free_green, torch.zeros_like(load))
    curtail = (row.green_mwh - bound_green - free_green - export).clamp_min(0.0)
    return Power(ppa, grid, diesel, rest - diesel, export, curtail)


def _fill(load: Tensor, price: Tensor, offered: Tensor) -> Tensor:
    """`[B, R, N]` taken from each source: what the load leaves after every cheaper one (ties: the earlier one)."""
    mine, other = price.unsqueeze(-1), price.unsqueeze(-2)
    earlier = torch.ones(price.shape[-1], price.shape[-1], dtype=price.dtype, device=price.device).tril(-1)
    before = (((other < mine) + (other == mine) * earlier) * offered.unsqueeze(-2)).sum(-1)
    return torch.minimum((load.unsqueeze(-1) - before).clamp_min(0.0), offered)
