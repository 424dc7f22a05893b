"""What the step costs: energy, network, penalties, and the increments of demand charge and green share."""

from __future__ import annotations

import torch
from torch import Tensor

from greenhop.physics.ops import per_region
from greenhop.physics.params import Params
from greenhop.physics.state import Flows, Row, State


def meter_peak(p: Params, flows: Flows, peak: Tensor) -> Tensor:
    """`[B, R]` MW: the highest metered import (grid + PPA) so far, this step included."""
    return torch.maximum(peak, (flows.grid_mwh + flows.ppa_mwh) / p.dt_h)


def green_gap(p: Params, flows: Flows, gap: Tensor) -> Tensor:
    """`[B, R]` MWh: running `target·facility − green used`; CSP discharge counts as green."""
    solar_heat = per_region(flows.discharge_mwh * p.is_csp, p.unit_of_region)
    used = flows.green_mwh - flows.curtail_mwh - flows.export_mwh + flows.ppa_mwh + solar_heat
    return gap + p.green_target * flows.facility_mwh - used


def direct_gap(p: Params, flows: Flows, gap: Tensor) -> Tensor:
    """`[B, R, 2]` MWh: running `share·generation − used` and `share·facility − used`, used = own green kept on site."""
    used = flows.green_mwh - flows.curtail_mwh - flows.export_mwh
    owed = (p.direct_generation_share * flows.green_mwh, p.direct_consumption_share * flows.facility_mwh)
    return gap + torch.stack(owed, dim=-1) - used.unsqueeze(-1)


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


def _total(per_region: Tensor) -> Tensor:
    return per_region.sum(-1)


def step_costs(p: Params, row: Row, flows: Flows, before: State, after: State, terminal: Tensor) -> Tensor:
    """`[B, len(COST_TERMS)]` CNY in the order of `COST_TERMS`."""
    missed = (flows.missed_online_mwh.sum(1) * p.missed_online_cny_per_mwh).sum(-1) + (
        flows.missed_mwh.sum(1) * p.missed_cny_per_mwh
    ).sum(-1)
    gap = after.green_gap_mwh.clamp_min(0.0) - before.green_gap_mwh.clamp_min(0.0)
    broken = (after.direct_gap_mwh.clamp_min(0.0) - before.direct_gap_mwh.clamp_min(0.0)).sum(-1)
    terms = (
        _total(flows.grid_mwh * (row.grid_price_cny_per_mwh + p.grid_adder_cny_per_mwh)),
        _total(flows.ppa_mwh * p.ppa_price_cny_per_mwh),
        _total((flows.green_mwh - flows.curtail_mwh) * p.green_cost_cny_per_mwh),
        -_total(flows.export_mwh * row.export_price_cny_per_mwh),
        _total((after.peak_mw - before.peak_mw) * p.demand_fee_cny_per_mw),
        _total(flows.carbon_kg) * p.carbon_price_cny_per_kg,
        _total(flows.data_gb * p.link_price_cny_per_gb),
        _total(flows.discharge_mwh * p.wear_cny_per_mwh),
        _total(flows.diesel_mwh) * p.diesel_cost_cny_per_mwh,
        _total(flows.unserved_mwh) * p.lost_load_cny_per_mwh,
        missed,
        _total(gap) * p.certificate_price_cny_per_mwh,
        _total(broken * p.direct_rule_cny_per_mwh),
        terminal,
    )
    return torch.stack(terms, dim=-1)
