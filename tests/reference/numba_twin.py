"""The step in Numba: the twin's loops over plain float32 arrays, compiled, one environment after the other.

What a person who wants a fast CPU simulator would write by hand: the yardstick of `scripts/speed.py`, which the batched
step is measured against. Only plans that leave the dispatch to the merit order. Section 4 of docs/design.md is the
specification, as for `twin.py`.
"""

from __future__ import annotations

from collections import namedtuple
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from greenhop.physics.params import Params
from greenhop.physics.state import COST_TERMS, Plan, Row, State

Array = NDArray[Any]
N_TERMS = len(COST_TERMS)
TERMS = (
    "grid_energy", "ppa", "green_om", "export", "demand", "carbon", "network", "latency", "storage", "diesel",
    "unserved", "missed", "terminal", "wires", "reserve",
)  # fmt: skip
NUMBER = tuple(COST_TERMS.index(term) for term in TERMS)
GRID, PPA, GREEN_OM, EXPORT, DEMAND, CARBON, NETWORK, LATENCY = NUMBER[:8]
STORAGE, DIESEL, UNSERVED, MISSED, TERMINAL, WIRES, RESERVE = NUMBER[8:]
BILLED = tuple(  # cost term of each account
    COST_TERMS.index(term)
    for term in ("green_gap", "green_gap", "take_or_pay", "pue_excess", "direct_rule", "direct_rule")
)


class Stepped(NamedTuple):
    """The next state, but for its clock, and the cost terms of every environment."""

    backlog_mwh: Array  # [B, R, K, S]
    soc_mwh: Array  # [B, U]
    peak_mw: Array  # [B, R]
    owed_mwh: Array  # [B, R, A]
    cost_cny: Array  # [B, len(COST_TERMS)]


def plain_params(params: Params) -> Any:
    """Numbers and arrays of `params` (float32, int64) as a named tuple that Numba can read."""
    values = {f.name: getattr(params, f.name) for f in fields(params)}
    kept = {name: _plain(x) for name, x in values.items() if isinstance(x, Tensor | int | float)}
    return namedtuple("PlainParams", kept)(**kept)


def plain(batch: State | Row | Plan) -> Any:
    """A batched named tuple as NumPy arrays; a plan without its dispatch."""
    fields_of: Any = type(batch)
    return fields_of(*(None if x is None else _plain(x) for x in batch))


def _plain(x: Any) -> Any:
    return np.ascontiguousarray(x.detach().numpy()) if isinstance(x, Tensor) else x


def numba_step(p: Any, state: Any, plan: Any, row: Any) -> Stepped:
    """One step of every environment."""
    out = Stepped(
        np.empty_like(state.backlog_mwh),
        np.empty_like(state.soc_mwh),
        np.empty_like(state.peak_mw),
        np.empty_like(state.owed_mwh),
        np.empty((len(state.t), N_TERMS), dtype=state.soc_mwh.dtype),
    )
    _steps(p, state, plan[:-1], row, out)
    return out


@njit(cache=True, fastmath=False)
def _scale(total, limit):  # type: ignore[no-untyped-def]
    return 1.0 if total <= 0.0 else min(1.0, max(0.0, limit) / total)


@njit(cache=True)
def _clip(x, low, high):  # type: ignore[no-untyped-def]
    return min(max(x, low), high)


@njit(cache=True)
def _steps(p, state, plan, row, out):  # type: ignore[no-untyped-def]
    for b in range(state.t.shape[0]):
        _one(p, state, plan, row, out, b)


@njit(cache=True)
def _one(p, state, plan, row, out, b):  # type: ignore[no-untyped-def]
    route, serve_online, migrate, serve, charge, discharge, spill, alternative = plan
    n_r, n_p = p.capacity_mwh.shape
    n_k, n_s = state.backlog_mwh.shape[2:]
    n_l, n_z, n_u = p.link_source.shape[0], row.online_mwh.shape[2], state.soc_mwh.shape[1]
    now = (state.world_row[b] + state.t[b]) % p.period
    later = (now + 1) % p.period
    cost = np.zeros(N_TERMS, dtype=np.float32)

    # route
    x = np.empty((n_l, n_z), dtype=np.float32)
    gb, room_gb = np.zeros(n_l, dtype=np.float32), np.empty(n_l, dtype=np.float32)
    presented = row.online_mwh[b].copy()
    total = np.zeros((n_r, n_z), dtype=np.float32)
    for l in range(n_l):
        for z in range(n_z):
            most = p.route_allowed[l, z] * row.online_mwh[b, p.link_source[l], z]
            x[l, z] = _clip(route[b, l, z], 0.0, most)
            total[p.link_source[l], z] += x[l, z]
    for l in range(n_l):
        wanted = 0.0
        for z in range(n_z):
            x[l, z] *= _scale(total[p.link_source[l], z], row.online_mwh[b, p.link_source[l], z])
            wanted += p.route_gb_per_mwh[z] * x[l, z]
        room_gb[l] = p.link_gb[l] * row.link_availability[b, l]
        sync = 0.0
        for k in range(n_k):
            sync += p.sync_gb_per_mwh[l, k] * row.next_arrivals_mwh[b, p.link_source[l], k]
        sync = min(sync, room_gb[l])
        share = _scale(wanted, room_gb[l] - sync)
        gb[l] = sync + wanted * share
        room_gb[l] -= gb[l]
        for z in range(n_z):
            cost[LATENCY] += x[l, z] * share * p.latency_cny_per_mwh[l, z]
            presented[p.link_source[l], z] -= x[l, z] * share
            presented[p.link_target[l], z] += x[l, z] * share

    # serve
    kept = np.empty((n_r, n_k, n_s), dtype=np.float32)
    work = np.zeros((n_r, n_p), dtype=np.float32)
    for r in range(n_r):
        wish = np.zeros(n_p, dtype=np.float32)
        for z in range(n_z):
            for q in range(n_p):
                wish[q] += p.online_pool[z, q] * _clip(serve_online[b, r, z], 0.0, presented[r, z])
        for z in range(n_z):
            v = _clip(serve_online[b, r, z], 0.0, presented[r, z])
            for q in range(n_p):
                if p.online_pool[z, q] > 0.0:
                    v *= _scale(wish[q], p.capacity_mwh[r, q] * row.site_availability[b, r])
                    work[r, q] += v
            cost[MISSED] += (presented[r, z] - v) * p.missed_online_cny_per_mwh[z]
        wish[:] = 0.0
        sums, away = np.zeros(n_k, dtype=np.float32), np.zeros(n_k, dtype=np.float32)
        for k in range(n_k):
            for s in range(n_s):
                sums[k] += _clip(serve[b, r, k, s], 0.0, state.backlog_mwh[b, r, k, s] * p.rate_limit[now, k, s])
            if p.alternative_room[k] > 0.0:
                away[k] = _clip(alternative[b, r, k], 0.0, sums[k])
            for q in range(n_p):
                wish[q] += p.deferrable_pool[k, q] * (sums[k] - away[k])
                wish[q] += p.alternative_pool[k, q] * p.alternative_room[k] * away[k]
        for q in range(n_p):
            wish[q] = _scale(wish[q], p.capacity_mwh[r, q] * row.site_availability[b, r] - work[r, q])
        for k in range(n_k):
            share, there = 1.0, 1.0
            for q in range(n_p):
                if p.deferrable_pool[k, q] > 0.0:
                    share = wish[q]
                if p.alternative_pool[k, q] > 0.0:
                    there = wish[q]
            for q in range(n_p):
                work[r, q] += p.deferrable_pool[k, q] * share * (sums[k] - away[k])
                work[r, q] += p.alternative_pool[k, q] * there * away[k] * p.alternative_energy[k]
            if sums[k] > 0.0:
                share = (share * (sums[k] - away[k]) + there * away[k]) / sums[k]
            for s in range(n_s):
                u = share * _clip(serve[b, r, k, s], 0.0, state.backlog_mwh[b, r, k, s] * p.rate_limit[now, k, s])
                kept[r, k, s] = state.backlog_mwh[b, r, k, s] - u

    # migrate
    leaving = np.zeros((n_r, n_k, n_s), dtype=np.float32)
    most = np.full((n_l, n_k), np.inf, dtype=np.float32)
    for l in range(n_l):
        read_gb = p.link_gb[l] * row.link_availability[b, l] * row.site_availability[b, p.link_source[l]]
        for k in range(n_k):
            if p.migrate_gb_per_mwh[l, k] > 0.0:
                most[l, k] = read_gb / p.migrate_gb_per_mwh[l, k]
            for s in range(n_s):
                m = max(migrate[b, l, k, s], 0.0) * p.migrate_allowed[l, k] * p.movable[now, k, s]
                m = min(m, most[l, k])
                leaving[p.link_source[l], k, s] += m
    for r in range(n_r):
        for k in range(n_k):
            for s in range(n_s):
                leaving[r, k, s] = _scale(leaving[r, k, s], kept[r, k, s])
    moved = np.empty((n_k, n_s), dtype=np.float32)
    for l in range(n_l):
        src, dst, wanted = p.link_source[l], p.link_target[l], 0.0
        for k in range(n_k):
            for s in range(n_s):
                m = max(migrate[b, l, k, s], 0.0) * p.migrate_allowed[l, k] * p.movable[now, k, s]
                moved[k, s] = min(m, most[l, k]) * leaving[src, k, s]
                wanted += p.migrate_gb_per_mwh[l, k] * moved[k, s]
        share = _scale(wanted, room_gb[l])
        gb[l] += wanted * share
        cost[NETWORK] += gb[l] * p.link_price_cny_per_gb[l]
        for k in range(n_k):
            for s in range(n_s):
                kept[src, k, s] -= moved[k, s] * share
                kept[dst, k, s] += moved[k, s] * share * (1.0 + p.restart_overhead[k])

    # deadlines
    last = p.prices_end and state.t[b] + 1 == p.steps
    for r in range(n_r):
        for k in range(n_k):
            closing = p.closes[now, k] > 0.0
            if closing:
                cost[MISSED] += kept[r, k, 0] * p.missed_cny_per_mwh[k]
            for s in range(n_s):
                value = kept[r, k, s]
                if closing:
                    value = kept[r, k, s + 1] if s + 1 < n_s else np.float32(0.0)
                if last:
                    cost[TERMINAL] += value * p.work_terminal_cny_per_mwh[k]
                out.backlog_mwh[b, r, k, s] = value + row.next_arrivals_mwh[b, r, k] * p.joins[later, k, s]

    for r in range(n_r):
        _power(p, state, charge, discharge, spill, row, out, b, r, work[r], n_u, last, cost)
    for i in range(N_TERMS):
        out.cost_cny[b, i] = cost[i]


@njit(cache=True)
def _power(p, state, charge, discharge, spill, row, out, b, r, work, n_u, last, cost):  # type: ignore[no-untyped-def]
    """Cooling, storage, dispatch and settlement of one region."""
    it, full = 0.0, 0.0
    for q in range(work.shape[0]):
        room = p.capacity_mwh[r, q] * row.site_availability[b, r]
        it += p.idle_share[q] * room + (1.0 - p.idle_share[q]) * work[q]
        full += room
    facility = it + (row.pue_full[b, r] - 1.0) * (0.6 * it + 0.4 * full)
    load, heat, wish, held = facility, 0.0, 0.0, 0.0
    for u in range(n_u):
        if p.unit_region[u] == r:
            wish += _clip(discharge[b, u], 0.0, p.discharge_limit_mwh[u])
    share = _scale(wish, facility)
    for u in range(n_u):
        if p.unit_region[u] == r:
            floor, top = p.soc_min_mwh[u], p.soc_max_mwh[u]
            eta_c, eta_d, inflow = p.efficiency_charge[u], p.efficiency_discharge[u], row.inflow_mwh[b, u]
            e = state.soc_mwh[b, u] - p.standing_loss[u] * (state.soc_mwh[b, u] - floor)
            ch = _clip(charge[b, u], 0.0, p.charge_limit_mwh[u])
            dis = share * _clip(discharge[b, u], 0.0, p.discharge_limit_mwh[u])
            sp = _clip(spill[b, u], 0.0, inflow)
            dis = min(dis, eta_d * max(e + eta_c * ch + inflow - sp - floor, 0.0))
            excess = max(0.0, e + eta_c * ch + inflow - dis / eta_d - sp - top)
            extra = min(excess, inflow - sp)
            sp += extra
            ch = max(ch - (excess - extra) / eta_c, 0.0)
            soc = e + eta_c * ch + inflow - dis / eta_d - sp
            out.soc_mwh[b, u] = soc
            load += ch - dis
            heat += dis * p.is_csp[u]
            held += p.firm[u] * (soc - floor)
            cost[STORAGE] += dis * p.wear_cny_per_mwh[u]
            if last:
                cost[TERMINAL] += (p.soc_start_mwh[u] - soc) * p.soc_terminal_cny_per_mwh[u]
    load = max(load, 0.0)

    green, carbon = row.green_mwh[b, r], row.carbon_kg_per_mwh[b, r]
    meter = p.connection_mwh[r] * row.grid_availability[b, r]
    e_max = min(p.export_fraction[r] * green, p.export_limit_mwh[r] * row.grid_availability[b, r])
    green_price, export_price = p.green_cost_cny_per_mwh[r], row.export_price_cny_per_mwh[b, r]
    tariff = row.grid_price_cny_per_mwh[b, r] + p.grid_adder_cny_per_mwh[r]
    due = np.empty(6, dtype=np.float32)
    due[0] = p.green_target * facility - heat
    due[1] = p.physical_target * facility - heat
    due[2] = p.take_or_pay_share * row.ppa_mwh[b, r]
    due[3] = facility - p.pue_cap[r] * it
    due[4] = p.direct_generation_share * green
    due[5] = p.direct_consumption_share * facility
    worth = np.zeros(6, dtype=np.float32)
    for a in range(6):
        due[a] += state.owed_mwh[b, r, a]
        if due[a] > 0.0:
            worth[a] = p.owed_price_cny_per_mwh[r, a]
    used_price = p.own_wires_cny_per_mwh[r] - (worth[0] + worth[1] + worth[4] + worth[5])
    grid_price = tariff + p.carbon_price_cny_per_kg[r] * carbon
    ppa_price = p.ppa_price_cny_per_mwh[r] - (worth[0] + worth[1] + worth[2])
    price, offered = np.empty(4, dtype=np.float32), np.empty(4, dtype=np.float32)
    price[0], price[1] = green_price + used_price, max(green_price, export_price) + used_price
    price[2], price[3] = ppa_price, grid_price
    ppa_room = np.float32(0.0)
    if grid_price >= ppa_price:  # else the grid has first call on the meter
        ppa_room = min(row.ppa_mwh[b, r], meter)
    offered[0], offered[1], offered[2], offered[3] = green - e_max, e_max, ppa_room, meter - ppa_room
    taken = np.zeros(4, dtype=np.float32)
    for i in range(4):
        before = 0.0
        for j in range(4):
            if price[j] < price[i] or (price[j] == price[i] and j < i):
                before += offered[j]
        taken[i] = min(max(load - before, 0.0), offered[i])
    rest = max(load - taken[0] - taken[1] - taken[2] - taken[3], 0.0)
    rounding = min(rest, max(meter - taken[2] - taken[3], 0.0))
    grid, ppa, rest = taken[3] + rounding, taken[2], rest - rounding
    diesel = min(rest, p.diesel_limit_mwh[r])
    export = e_max - taken[1] if export_price > green_price else np.float32(0.0)
    curtail = max(green - taken[0] - taken[1] - export, 0.0)

    peak = max(state.peak_mw[b, r], (grid + ppa) / p.dt_h)
    used = green - curtail - export
    cost[GRID] += grid * tariff
    cost[PPA] += ppa * p.ppa_price_cny_per_mwh[r]
    cost[GREEN_OM] += (green - curtail) * green_price
    cost[EXPORT] -= export * export_price
    cost[DEMAND] += (peak - state.peak_mw[b, r]) * p.demand_fee_cny_per_mw[r]
    cost[CARBON] += (grid * carbon + diesel * p.diesel_carbon_kg_per_mwh) * p.carbon_price_cny_per_kg[r]
    cost[DIESEL] += diesel * p.diesel_cost_cny_per_mwh
    cost[UNSERVED] += (rest - diesel) * p.lost_load_cny_per_mwh
    cost[WIRES] += used * p.own_wires_cny_per_mwh[r] + p.capacity_fee_cny[r]
    cost[RESERVE] += max(p.reserve_mwh[r] * row.grid_availability[b, r] - held, 0.0) * p.reserve_price_cny_per_mwh
    out.peak_mw[b, r] = peak
    for a in range(6):
        if a in (0, 1, 4, 5):
            due[a] -= used
        if a < 3:
            due[a] -= ppa
        out.owed_mwh[b, r, a] = due[a]
        rise = max(due[a], 0.0) - max(state.owed_mwh[b, r, a], 0.0)
        cost[BILLED[a]] += rise * p.owed_price_cny_per_mwh[r, a]
