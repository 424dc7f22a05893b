"""The step: one sentence that composes the dynamics. Pure, batched, differentiable, without host synchronisation."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from greenhop.physics.dynamics.accounts import account_costs, duties, settle_accounts, worth
from greenhop.physics.dynamics.cool import facility_energy
from greenhop.physics.dynamics.deadlines import close_slots
from greenhop.physics.dynamics.dispatch import follow_plan, merit_order, power_limits
from greenhop.physics.dynamics.migrate import migrate, readable, synchronise
from greenhop.physics.dynamics.route import route
from greenhop.physics.dynamics.serve import pool_energy, serve_deferrable, serve_online
from greenhop.physics.dynamics.settle import carbon_kg, meter_peak, site_costs, step_costs, terminal_cost
from greenhop.physics.dynamics.store import store
from greenhop.physics.ops import per_pool, per_region
from greenhop.physics.params import Params
from greenhop.physics.state import COST_TERMS, Flows, Plan, Row, State


def initial_state(params: Params, backlog_mwh: Tensor, world_row: Tensor) -> State:
    """The state before the first step.

    Args:
        params: scenario.
        backlog_mwh: `[B, R, K, S]` warm backlog, the first step's arrivals included.
        world_row: `[B]` int64 row of the world bank where the episode starts.
    """
    batch = backlog_mwh.shape[0]
    return State(
        backlog_mwh=backlog_mwh,
        soc_mwh=params.soc_start_mwh.expand(batch, -1),
        peak_mw=params.peak_start_mw.expand(batch, -1),
        owed_mwh=torch.zeros_like(params.owed_price_cny_per_mwh).expand(batch, -1, -1),
        t=torch.zeros_like(world_row),
        world_row=world_row,
    )


def phase_of(params: Params, state: State) -> Tensor:
    """`[B]` int64 position of the deadline clock."""
    return (state.world_row + state.t) % params.period


def pool_room(params: Params, row: Row) -> Tensor:
    """`[B, R, P]` MWh of work the pools can serve in this step."""
    return params.capacity_mwh * row.site_availability.unsqueeze(-1)


class Computed(NamedTuple):
    """What computing and the network do in a step, and the room they did it in."""

    routed: Tensor  # [B, L, Z] MWh
    presented: Tensor  # [B, R, Z] MWh of online work after routing
    online: Tensor  # [B, R, Z] MWh served
    served: Tensor  # [B, R, K, S] MWh
    away: Tensor  # [B, R, K] MWh of it on the alternative pool
    moved: Tensor  # [B, L, K, S] MWh
    kept: Tensor  # [B, R, K, S] MWh waiting at the end
    room: Tensor  # [B, R, P] MWh that the pools can do
    left: Tensor  # [B, R, P] MWh of it after online work
    readable: Tensor  # [B, L, K] MWh of a cohort that can leave its site
    free_gb: Tensor  # [B, L] GB that links carry after synchronisation and online work
    data_gb: Tensor  # [B, L] GB on the links


def compute(params: Params, state: State, plan: Plan, row: Row) -> Computed:
    """Steps 1 to 3 of docs/design.md §4: route, serve, migrate, each clipped to what is feasible."""
    p, phase = params, phase_of(params, state)
    room, link_gb = pool_room(p, row), p.link_gb * row.link_availability
    sync_gb = synchronise(p, row.next_arrivals_mwh, link_gb)
    routed, presented, route_gb = route(p, plan.route_mwh, row.online_mwh, link_gb - sync_gb)
    online = serve_online(p, plan.serve_online_mwh, presented, room)
    left = (room - per_pool(online, p.online_pool)).clamp_min(0.0)
    rate_limit, movable = p.rate_limit.index_select(0, phase), p.movable.index_select(0, phase)
    served, away = serve_deferrable(p, plan.serve_mwh, plan.alternative_mwh, state.backlog_mwh, rate_limit, left)
    waiting = (state.backlog_mwh - served).clamp_min(0.0)
    most = readable(p, link_gb, row.site_availability)
    free_gb = (link_gb - sync_gb - route_gb).clamp_min(0.0)
    moved, kept, move_gb = migrate(p, plan.migrate_mwh, waiting, movable, most, free_gb)
    data_gb = sync_gb + route_gb + move_gb
    return Computed(routed, presented, online, served, away, moved, kept, room, left, most, free_gb, data_gb)


def step(params: Params, state: State, plan: Plan, row: Row) -> tuple[State, Flows]:
    """One step of docs/design.md §4.

    Args:
        params: scenario.
        state: before the step; its backlog already holds this step's arrivals.
        plan: full-resolution decisions; clipped to feasibility, and unchanged where feasible.
        row: the world of this step.

    Returns:
        The next state (with the next step's arrivals in its backlog) and everything that happened.
    """
    p, phase, c = params, phase_of(params, state), compute(params, state, plan, row)
    deferred, missed = close_slots(c.kept, p.closes.index_select(0, phase))
    it, facility = facility_energy(p, pool_energy(p, c.online, c.served, c.away), c.room, row.pue_full)
    stored = store(p, plan.charge_mwh, plan.discharge_mwh, plan.spill_mwh, state.soc_mwh, row.inflow_mwh, facility)
    load = (facility + per_region(stored.charge - stored.discharge, p.unit_of_region)).clamp_min(0.0)
    limits = power_limits(p, load, row)
    heat = per_region(stored.discharge * p.is_csp, p.unit_of_region)
    due = state.owed_mwh + duties(p, it, facility, heat, row.green_mwh, row.ppa_mwh)
    if plan.dispatch is None:
        value = worth(p, due)
        power = merit_order(p, row, limits, value.own, value.ppa)
    else:
        power = follow_plan(p, plan.dispatch, row, limits)
    flows = Flows(
        route_mwh=c.routed,
        serve_online_mwh=c.online,
        migrate_mwh=c.moved,
        serve_mwh=c.served,
        charge_mwh=stored.charge,
        discharge_mwh=stored.discharge,
        spill_mwh=stored.spill,
        alternative_mwh=c.away,
        missed_online_mwh=c.presented - c.online,
        missed_mwh=missed,
        data_gb=c.data_gb,
        it_mwh=it,
        facility_mwh=facility,
        green_mwh=row.green_mwh,
        ppa_mwh=power.ppa,
        grid_mwh=power.grid,
        diesel_mwh=power.diesel,
        unserved_mwh=power.unserved,
        export_mwh=power.export,
        curtail_mwh=power.curtail,
        carbon_kg=carbon_kg(p, row, power.grid, power.diesel),
        cost_cny=facility.new_zeros(facility.shape[0], len(COST_TERMS)),
    )
    after = State(
        backlog_mwh=deferred + joining(p, row.next_arrivals_mwh, phase),
        soc_mwh=stored.soc,
        peak_mw=meter_peak(p, flows, state.peak_mw),
        owed_mwh=settle_accounts(due, row.green_mwh - power.curtail - power.export, power.ppa),
        t=state.t + 1,
        world_row=state.world_row,
    )
    terminal = terminal_cost(p, deferred, stored.soc, after.t == p.steps)
    by_site = bill_by_site(p, row, flows, state, after)
    return after, flows._replace(cost_cny=step_costs(p, flows, by_site, terminal))


def bill_by_site(params: Params, row: Row, flows: Flows, before: State, after: State) -> dict[str, Tensor]:
    """`[B, R]` CNY by cost term: all of a step's bill but the network's and the terminal price."""
    owed = account_costs(params, before.owed_mwh, after.owed_mwh)
    return {**site_costs(params, row, flows, before, after), **owed}


def joining(params: Params, arrivals_mwh: Tensor, phase: Tensor) -> Tensor:
    """`[B, R, K, S]`: arrivals `[B, R, K]` of the step after `phase` `[B]`, put into the slot they join."""
    slot = params.joins.index_select(0, (phase + 1) % params.period)
    return arrivals_mwh.unsqueeze(-1) * slot.unsqueeze(1)
