"""What flows through a step: named tuples of tensors, batch first. Shapes use the axes of docs/design.md."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class State(NamedTuple):
    """What persists between steps."""

    backlog_mwh: Tensor  # [B, R, K, S] deferrable work waiting, slot 0 due first
    soc_mwh: Tensor  # [B, U] energy stored
    peak_mw: Tensor  # [B, R] highest metered import so far
    owed_mwh: Tensor  # [B, R, A] accounts: what was owed so far less what was done
    t: Tensor  # [B] int64, step in the episode
    world_row: Tensor  # [B] int64, row of the world bank where the episode started


class Row(NamedTuple):
    """The exogenous world of one step."""

    green_mwh: Tensor  # [B, R] own wind + solar + run-of-river
    ppa_mwh: Tensor  # [B, R] contracted green power
    pue_full: Tensor  # [B, R]
    grid_price_cny_per_mwh: Tensor  # [B, R]
    export_price_cny_per_mwh: Tensor  # [B, R]
    carbon_kg_per_mwh: Tensor  # [B, R]
    site_availability: Tensor  # [B, R] 0…1
    grid_availability: Tensor  # [B, R] 0…1
    online_mwh: Tensor  # [B, R, Z] arriving now
    next_arrivals_mwh: Tensor  # [B, R, K] joining the backlog at the end of the step
    link_availability: Tensor  # [B, L] 0…1
    inflow_mwh: Tensor  # [B, U] heat into CSP stores


class Dispatch(NamedTuple):
    """Power decisions of a full-resolution plan; grid import and unserved load follow from them."""

    ppa_mwh: Tensor  # [B, R]
    diesel_mwh: Tensor  # [B, R]
    export_mwh: Tensor  # [B, R]
    curtail_mwh: Tensor  # [B, R]


class Plan(NamedTuple):
    """A full-resolution decision. `dispatch=None` lets the step fill the power balance in merit order."""

    route_mwh: Tensor  # [B, L, Z]
    serve_online_mwh: Tensor  # [B, R, Z]
    migrate_mwh: Tensor  # [B, L, K, S]
    serve_mwh: Tensor  # [B, R, K, S]
    charge_mwh: Tensor  # [B, U]
    discharge_mwh: Tensor  # [B, U]
    spill_mwh: Tensor  # [B, U]
    alternative_mwh: Tensor  # [B, R, K] of what is served, on the alternative pool
    dispatch: Dispatch | None = None


class CostTerms(NamedTuple):
    """The bill of a step, each term `[B]` CNY; equations in docs/design.md §4."""

    grid_energy: Tensor
    ppa: Tensor
    green_om: Tensor
    export: Tensor
    demand: Tensor
    carbon: Tensor
    network: Tensor
    latency: Tensor
    storage: Tensor
    diesel: Tensor
    unserved: Tensor
    missed: Tensor
    green_gap: Tensor
    direct_rule: Tensor
    take_or_pay: Tensor
    pue_excess: Tensor
    wires: Tensor
    reserve: Tensor
    terminal: Tensor


COST_TERMS = CostTerms._fields
ACCOUNTS = (  # rules that hold over an episode: axis A
    "green",
    "green_physical",
    "take_or_pay",
    "pue",
    "direct_generation",
    "direct_consumption",
)


class Flows(NamedTuple):
    """Everything that was decided or computed in a step, after clipping."""

    route_mwh: Tensor  # [B, L, Z]
    serve_online_mwh: Tensor  # [B, R, Z]
    migrate_mwh: Tensor  # [B, L, K, S] leaving the source
    serve_mwh: Tensor  # [B, R, K, S]
    charge_mwh: Tensor  # [B, U]
    discharge_mwh: Tensor  # [B, U]
    spill_mwh: Tensor  # [B, U]
    alternative_mwh: Tensor  # [B, R, K] of what is served, on the alternative pool
    missed_online_mwh: Tensor  # [B, R, Z]
    missed_mwh: Tensor  # [B, R, K]
    data_gb: Tensor  # [B, L]
    it_mwh: Tensor  # [B, R]
    facility_mwh: Tensor  # [B, R]
    green_mwh: Tensor  # [B, R] available
    ppa_mwh: Tensor  # [B, R]
    grid_mwh: Tensor  # [B, R]
    diesel_mwh: Tensor  # [B, R]
    unserved_mwh: Tensor  # [B, R]
    export_mwh: Tensor  # [B, R]
    curtail_mwh: Tensor  # [B, R]
    carbon_kg: Tensor  # [B, R]
    cost_cny: Tensor  # [B, len(COST_TERMS)]
