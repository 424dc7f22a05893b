"""What the step costs: energy, network, penalties, and the increments of demand charge and accounts."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from greenhop.physics.ops import per_region
from greenhop.physics.params import Params
from greenhop.physics.state import CostTerms, Flows, Row, State


def meter_peak(p: Params, flows: Flows, peak: Tensor) -> Tensor:
    """`[B, R]` MW: the highest metered import (grid + PPA) so far, this step included."""
    return torch.maximum(peak, (flows.grid_mwh + flows.ppa_mwh) / p.dt_h)


def reserve_short(p: Params, row: Row, soc: Tensor) -> Tensor:
    """`[B, R]` MWh that grid-forming stores lack of the reserve a site must hold while the grid is there."""
    held = per_region((soc - p.soc_min_mwh) * p.firm, p.unit_of_region)
    return (p.reserve_mwh * row.grid_availability - held).clamp_min(0.0)


def carbon_kg(p: Params, row: Row, grid_mwh: Tensor, diesel_mwh: Tensor) -> Tensor:
    """`[B, R]` kg CO₂ of grid import and diesel."""
    return grid_mwh * row.carbon_kg_per_mwh + diesel_mwh * p.diesel_carbon_kg_per_mwh


def terminal_cost(p: Params, deferred: Tensor, soc: Tensor, last: Tensor) -> Tensor:
    """`[B]` CNY: in the last step, unfinished work and stored energy below (above) the start are charged (credited).

    0 where ends are not priced.
    """
    if not p.prices_end:
        return soc.new_zeros(len(soc))
    work = (deferred.sum((1, 3)) * p.work_terminal_cny_per_mwh).sum(-1)
    energy = ((p.soc_start_mwh - soc) * p.soc_terminal_cny_per_mwh).sum(-1)
    return (work + energy) * last.to(work.dtype)


def site_costs(p: Params, row: Row, flows: Flows, before: State, after: State) -> dict[str, Tensor]:
    """`[B, R]` CNY by cost term: what each site pays for power and for work it missed; accounts aside."""
    own = flows.green_mwh - flows.curtail_mwh - flows.export_mwh
    missed_online = (flows.missed_online_mwh * p.missed_online_cny_per_mwh).sum(-1)
    return {
        "grid_energy": flows.grid_mwh * (row.grid_price_cny_per_mwh + p.grid_adder_cny_per_mwh),
        "ppa": flows.ppa_mwh * p.ppa_price_cny_per_mwh,
        "green_om": (flows.green_mwh - flows.curtail_mwh) * p.green_cost_cny_per_mwh,
        "export": -flows.export_mwh * row.export_price_cny_per_mwh,
        "demand": (after.peak_mw - before.peak_mw) * p.demand_fee_cny_per_mw,
        "carbon": flows.carbon_kg * p.carbon_price_cny_per_kg,
        "storage": per_region(flows.discharge_mwh * p.wear_cny_per_mwh, p.unit_of_region),
        "diesel": flows.diesel_mwh * p.diesel_cost_cny_per_mwh,
        "unserved": flows.unserved_mwh * p.lost_load_cny_per_mwh,
        "missed": missed_online + (flows.missed_mwh * p.missed_cny_per_mwh).sum(-1),
        "wires": own * p.own_wires_cny_per_mwh + p.capacity_fee_cny,
        "reserve": reserve_short(p, row, after.soc_mwh) * p.reserve_price_cny_per_mwh,
    }


def step_costs(p: Params, flows: Flows, by_site: Mapping[str, Tensor], terminal: Tensor) -> Tensor:
    """`[B, len(COST_TERMS)]` CNY, stacked in the order of `CostTerms`; `by_site` holds the terms of sites `[B, R]`."""
    terms = CostTerms(
        **{term: cny.sum(-1) for term, cny in by_site.items()},
        network=(flows.data_gb * p.link_price_cny_per_gb).sum(-1),
        latency=(flows.route_mwh * p.latency_cny_per_mwh).sum((1, 2)),
        terminal=terminal,
    )
    return torch.stack(terms, dim=-1)
