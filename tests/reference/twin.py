"""Oracle of the step: one environment, float64 NumPy, plain loops, written from section 4 of docs/design.md alone.

Quantities travel in plain namespaces whose fields bear the names of `greenhop.physics.state`, without the batch axis.
The code reads in the order of the design and prefers a loop over an index trick everywhere. It shares nothing with the
torch step but names.
"""

from __future__ import annotations

import math
from dataclasses import fields
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from greenhop.physics.params import Params
from greenhop.physics.state import ACCOUNTS, COST_TERMS
from greenhop.scenario.config import ScenarioConfig

Array = NDArray[np.float64]
Space = SimpleNamespace


class ClassClock(NamedTuple):
    """Deadline rules of one deferrable class, in steps."""

    window: int
    quantum: int
    rate_per_step: float


def from_params(params: Params, scenario: ScenarioConfig | None = None) -> Space:
    """`params` as NumPy; with a `scenario`, its clock tables are replaced by those derived here from the windows."""
    p = Space(**{f.name: _plain(getattr(params, f.name)) for f in fields(params)})
    if scenario is not None:
        vars(p).update(clock_tables(scenario))
    return p


def unbatch(batch: Any, row: int = 0) -> Space:
    """Environment `row` of a batched named tuple in float64 (or int); a nested tuple becomes a nested namespace."""
    out = Space()
    for name, value in batch._asdict().items():
        nested = value is not None and not isinstance(value, Tensor)
        setattr(out, name, unbatch(value, row) if nested else None if value is None else _plain(value[row]))
    return out


def _plain(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    return value.detach().double().numpy() if value.is_floating_point() else value.detach().numpy()


def scale(total: float, limit: float) -> float:
    """min(1, limit/total), and 1 where the total is 0; what rounding left below 0 counts as 0."""
    return 1.0 if total <= 0 else min(1.0, max(0.0, limit) / total)


def clip(x: float, low: float, high: float) -> float:
    """`x` held inside [low, high]."""
    return min(max(x, low), high)


# clock


def class_clocks(scenario: ScenarioConfig) -> list[ClassClock]:
    """Window, quantum and rate of each deferrable class of the scenario."""
    dt_h = scenario.dt_h
    return [
        ClassClock(round(c.window_h / dt_h), round(c.quantum_h / dt_h), c.max_rate_per_h * dt_h)
        for c in scenario.deferrable.values()
    ]


def slack_of(clock: ClassClock, tau: int, slot: int) -> int:
    """Steps from τ to the last one in which the slot may be served: D_s − τ with D_s = (⌊τ/q⌋ + 1 + s)·q − 1."""
    return (tau // clock.quantum + 1 + slot) * clock.quantum - 1 - tau


def join_slot(clock: ClassClock, tau: int) -> int:
    """The latest slot that is due no later than τ + W."""
    slot = 0
    while slack_of(clock, tau, slot + 1) <= clock.window:
        slot += 1
    return slot


def clock_tables(scenario: ScenarioConfig) -> dict[str, Any]:
    """The tables of `Params` that follow from the deadlines, by phase of τ, class and slot."""
    clocks = class_clocks(scenario)
    period = math.lcm(*(c.quantum for c in clocks))
    used = [max(join_slot(c, tau) for tau in range(period)) + 1 for c in clocks]
    shape = (period, len(clocks), max(used))
    slack, rate, joins, movable = (np.zeros(shape) for _ in range(4))
    closes, slots_used = np.zeros(shape[:2]), np.zeros(shape[1:])
    for k, clock in enumerate(clocks):
        slots_used[k, : used[k]] = 1.0
        for tau in range(period):
            joins[tau, k, join_slot(clock, tau)] = 1.0
            closes[tau, k] = 1.0 if (tau + 1) % clock.quantum == 0 else 0.0
            for s in range(shape[2]):
                slack[tau, k, s] = slack_of(clock, tau, s)
                rate[tau, k, s] = min(1.0, max(clock.rate_per_step, 1.0 / (slack[tau, k, s] + 1.0)))
                movable[tau, k, s] = 1.0 if slack[tau, k, s] > 0 and s < used[k] else 0.0
    tables = {"slack": slack, "rate_limit": rate, "joins": joins, "movable": movable, "closes": closes}
    return {"period": period, "slots_used": slots_used, **tables}


# the step, in the order of the design


def twin_step(p: Space, state: Space, plan: Space, row: Space) -> tuple[Space, Space]:
    """(params, state, plan, row) → (next state, flows), both without a batch axis."""
    tau = int(state.world_row) + int(state.t)
    now, later = tau % p.period, (tau + 1) % p.period
    f = Space()
    sync_gb = _synchronise(p, row)
    presented, route_gb = _route(p, plan, row, f, sync_gb)
    _serve(p, state, plan, row, f, presented, p.rate_limit[now])
    kept = _migrate(p, state, plan, row, f, sync_gb + route_gb, p.slack[now])
    deferred = _deadlines(p, f, kept, p.closes[now])
    _cool(p, row, f)
    soc = _store(p, state, plan, row, f)
    due = state.owed_mwh + _duties(p, row, f)
    _dispatch(p, plan, row, f, due)
    peak = _settle(p, state, row, f, deferred, soc)
    owed = _accounts(p, state, f, due)
    after = Space(
        backlog_mwh=_joined(p, deferred, row.next_arrivals_mwh, p.joins[later]),
        soc_mwh=soc,
        peak_mw=peak,
        owed_mwh=owed,
        t=state.t + 1,
        world_row=state.world_row,
    )
    return after, f


def _links_from(p: Space, r: int) -> list[int]:
    return [l for l in range(len(p.links)) if p.link_source[l] == r]


def _links_to(p: Space, r: int) -> list[int]:
    return [l for l in range(len(p.links)) if p.link_target[l] == r]


def _units_at(p: Space, r: int) -> list[int]:
    return [u for u in range(len(p.units)) if p.unit_region[u] == r]


def _link_gb(p: Space, row: Space, l: int) -> float:
    return float(p.link_gb[l] * row.link_availability[l])


def _synchronise(p: Space, row: Space) -> Array:
    """1. Route: what arriving work sends to its replicas over each link [L], in GB."""
    gb = np.zeros(len(p.links))
    for l in range(len(p.links)):
        new = row.next_arrivals_mwh[p.link_source[l]]
        wanted = sum(p.sync_gb_per_mwh[l, k] * new[k] for k in range(len(p.deferrable)))
        gb[l] = min(wanted, _link_gb(p, row, l))
    return gb


def _route(p: Space, plan: Space, row: Space, f: Space, sync_gb: Array) -> tuple[Array, Array]:
    """1. Route: sets `route_mwh`; returns the work presented [R, Z] and the data of each link [L] in GB."""
    x = np.zeros_like(plan.route_mwh)
    for l in range(len(p.links)):
        for z in range(len(p.online)):
            x[l, z] = clip(plan.route_mwh[l, z], 0.0, p.route_allowed[l, z] * row.online_mwh[p.link_source[l], z])
    gb = np.zeros(len(p.links))
    for z in range(len(p.online)):
        for r in range(len(p.regions)):
            share = scale(sum(x[l, z] for l in _links_from(p, r)), row.online_mwh[r, z])
            for l in _links_from(p, r):
                x[l, z] *= share
    for l in range(len(p.links)):
        wanted = sum(p.route_gb_per_mwh[z] * x[l, z] for z in range(len(p.online)))
        x[l] *= scale(wanted, _link_gb(p, row, l) - sync_gb[l])
        gb[l] = sum(p.route_gb_per_mwh[z] * x[l, z] for z in range(len(p.online)))
    presented: Array = row.online_mwh.copy()
    for l in range(len(p.links)):
        presented[p.link_source[l]] -= x[l]
        presented[p.link_target[l]] += x[l]
    f.route_mwh = x
    return presented, gb


def _serve(p: Space, state: Space, plan: Space, row: Space, f: Space, presented: Array, rate_limit: Array) -> None:
    """2. Serve: sets `serve_online_mwh`, `missed_online_mwh`, `serve_mwh`, `alternative_mwh`."""
    v, u = np.zeros_like(presented), np.zeros_like(state.backlog_mwh)
    away = np.zeros(u.shape[:2])
    n_classes, n_slots = u.shape[1:]
    for r in range(len(p.regions)):
        for z in range(len(p.online)):
            v[r, z] = clip(plan.serve_online_mwh[r, z], 0.0, presented[r, z])
        for k in range(n_classes):
            for s in range(n_slots):
                u[r, k, s] = clip(plan.serve_mwh[r, k, s], 0.0, state.backlog_mwh[r, k, s] * rate_limit[k, s])
            if p.alternative_pool[k].any():
                away[r, k] = clip(plan.alternative_mwh[r, k], 0.0, u[r, k].sum())
        fits = np.ones(len(p.pools))
        for pool in range(len(p.pools)):
            room = p.capacity_mwh[r, pool] * row.site_availability[r]
            urgent = [z for z in range(len(p.online)) if p.online_pool[z, pool] == 1]
            v[r, urgent] *= scale(v[r, urgent].sum(), room)
            taken = 0.0
            for k in range(n_classes):
                if p.deferrable_pool[k, pool] == 1:
                    taken += u[r, k].sum() - away[r, k]
                if p.alternative_pool[k, pool] == 1:
                    taken += p.alternative_room[k] * away[r, k]
            fits[pool] = scale(taken, room - v[r, urgent].sum())
        for k in range(n_classes):
            home = u[r, k].sum() - away[r, k]
            if p.alternative_pool[k].any():
                away[r, k] *= fits[int(p.alternative_pool[k].argmax())]
            left = fits[int(p.deferrable_pool[k].argmax())] * home + away[r, k]
            if u[r, k].sum() > 0:
                u[r, k] *= left / u[r, k].sum()
    f.serve_online_mwh, f.missed_online_mwh, f.serve_mwh, f.alternative_mwh = v, presented - v, u, away


def _migrate(p: Space, state: Space, plan: Space, row: Space, f: Space, taken_gb: Array, slack: Array) -> Array:
    """3. Migrate: sets `migrate_mwh`, `data_gb`; returns the work kept [R, K, S]."""
    left = state.backlog_mwh - f.serve_mwh
    n_classes, n_slots = left.shape[1:]
    m = np.zeros((len(p.links), n_classes, n_slots))
    for k in range(n_classes):
        for s in range(n_slots):
            for r in range(len(p.regions)):
                for l in _links_from(p, r):
                    open_ = p.migrate_allowed[l, k] if slack[k, s] > 0 else 0.0
                    m[l, k, s] = max(plan.migrate_mwh[l, k, s], 0.0) * open_
                    if p.migrate_gb_per_mwh[l, k] > 0:
                        read_gb = _link_gb(p, row, l) * row.site_availability[r]
                        m[l, k, s] = min(m[l, k, s], read_gb / p.migrate_gb_per_mwh[l, k])
                share = scale(sum(m[l, k, s] for l in _links_from(p, r)), left[r, k, s])
                for l in _links_from(p, r):
                    m[l, k, s] *= share
    kept: Array = left.copy()
    f.data_gb = taken_gb.copy()
    for l in range(len(p.links)):
        wanted = sum(p.migrate_gb_per_mwh[l, k] * m[l, k].sum() for k in range(n_classes))
        m[l] *= scale(wanted, _link_gb(p, row, l) - taken_gb[l])
        f.data_gb[l] += sum(p.migrate_gb_per_mwh[l, k] * m[l, k].sum() for k in range(n_classes))
        for k in range(n_classes):
            kept[p.link_source[l], k] -= m[l, k]
            kept[p.link_target[l], k] += (1.0 + p.restart_overhead[k]) * m[l, k]
    f.migrate_mwh = m
    return kept


def _deadlines(p: Space, f: Space, kept: Array, closes: Array) -> Array:
    """4. Deadlines: sets `missed_mwh`; returns the deferred work [R, K, S] in the slots of the next step."""
    n_regions, n_classes, n_slots = kept.shape
    f.missed_mwh, deferred = np.zeros((n_regions, n_classes)), np.zeros_like(kept)
    for r in range(n_regions):
        for k in range(n_classes):
            if closes[k]:
                f.missed_mwh[r, k] = kept[r, k, 0]
            for s in range(n_slots):
                old = s + 1 if closes[k] else s
                deferred[r, k, s] = kept[r, k, old] if old < n_slots else 0.0
    return deferred


def _joined(p: Space, deferred: Array, arrivals: Array, joins: Array) -> Array:
    """The next backlog: each arrival joins its slot of step τ+1."""
    backlog = deferred.copy()
    for r in range(len(p.regions)):
        for k in range(len(p.deferrable)):
            backlog[r, k, int(joins[k].argmax())] += arrivals[r, k]
    return backlog


def _cool(p: Space, row: Space, f: Space) -> None:
    """5. Cool: sets `it_mwh`, `facility_mwh`."""
    f.it_mwh, f.facility_mwh = np.zeros(len(p.regions)), np.zeros(len(p.regions))
    for r in range(len(p.regions)):
        room = [p.capacity_mwh[r, pool] * row.site_availability[r] for pool in range(len(p.pools))]
        for pool in range(len(p.pools)):
            work = sum(f.serve_online_mwh[r, z] for z in range(len(p.online)) if p.online_pool[z, pool] == 1)
            for k in range(len(p.deferrable)):
                if p.deferrable_pool[k, pool] == 1:
                    work += f.serve_mwh[r, k].sum() - f.alternative_mwh[r, k]
                if p.alternative_pool[k, pool] == 1:
                    work += p.alternative_energy[k] * f.alternative_mwh[r, k]
            f.it_mwh[r] += p.idle_share[pool] * room[pool] + (1.0 - p.idle_share[pool]) * work
        f.facility_mwh[r] = f.it_mwh[r] + (row.pue_full[r] - 1.0) * (0.6 * f.it_mwh[r] + 0.4 * sum(room))


def _store(p: Space, state: Space, plan: Space, row: Space, f: Space) -> Array:
    """6. Store: sets `charge_mwh`, `discharge_mwh`, `spill_mwh`; returns the new energies [U]."""
    n = len(p.units)
    ch = np.array([clip(plan.charge_mwh[u], 0.0, p.charge_limit_mwh[u]) for u in range(n)])
    dis = np.array([clip(plan.discharge_mwh[u], 0.0, p.discharge_limit_mwh[u]) for u in range(n)])
    sp, soc = np.zeros(n), np.zeros(n)
    for r in range(len(p.regions)):
        here = _units_at(p, r)
        dis[here] *= scale(sum(dis[u] for u in here), f.facility_mwh[r])
    for u in range(n):
        ch[u], dis[u], sp[u], soc[u] = _unit(
            p, u, state.soc_mwh[u], (ch[u], dis[u], plan.spill_mwh[u]), row.inflow_mwh[u]
        )
    f.charge_mwh, f.discharge_mwh, f.spill_mwh = ch, dis, sp
    return soc


def _unit(
    p: Space, u: int, soc: float, wish: tuple[float, float, float], inflow: float
) -> tuple[float, float, float, float]:
    """One unit: (charge, discharge, spill) wished, inside the power limits → (charge, discharge, spill, new energy)."""
    ch, dis, spill = wish
    eta_c, eta_d = p.efficiency_charge[u], p.efficiency_discharge[u]
    e = soc - p.standing_loss[u] * (soc - p.soc_min_mwh[u])
    sp = clip(spill, 0.0, inflow)
    dis = min(dis, eta_d * (e + eta_c * ch + inflow - sp - p.soc_min_mwh[u]))
    excess = max(0.0, e + eta_c * ch + inflow - dis / eta_d - sp - p.soc_max_mwh[u])
    extra = min(excess, inflow - sp)
    sp += extra
    ch -= (excess - extra) / eta_c
    return ch, dis, sp, e + eta_c * ch + inflow - dis / eta_d - sp


def _duties(p: Space, row: Space, f: Space) -> Array:
    """What the step adds to the accounts [R, A] before any green power is used."""
    duty: Array = np.zeros_like(p.owed_price_cny_per_mwh)
    for r in range(len(p.regions)):
        heat = sum(f.discharge_mwh[u] * p.is_csp[u] for u in _units_at(p, r))
        duty[r, ACCOUNTS.index("green")] = p.green_target * f.facility_mwh[r] - heat
        duty[r, ACCOUNTS.index("green_physical")] = p.physical_target * f.facility_mwh[r] - heat
        duty[r, ACCOUNTS.index("take_or_pay")] = p.take_or_pay_share * row.ppa_mwh[r]
        duty[r, ACCOUNTS.index("pue")] = f.facility_mwh[r] - p.pue_cap[r] * f.it_mwh[r]
        duty[r, ACCOUNTS.index("direct_generation")] = 0.6 * row.green_mwh[r]
        duty[r, ACCOUNTS.index("direct_consumption")] = 0.3 * f.facility_mwh[r]
    return duty


def _worth(p: Space, due: Array, r: int, accounts: tuple[str, ...]) -> float:
    """The prices of those of `accounts` of a region that are in deficit."""
    numbers = [ACCOUNTS.index(name) for name in accounts]
    return float(sum(p.owed_price_cny_per_mwh[r, a] for a in numbers if due[r, a] > 0))


def _dispatch(p: Space, plan: Space, row: Space, f: Space, due: Array) -> None:
    """7. Dispatch: sets `green_mwh` and the six flows of the power balance."""
    f.green_mwh = row.green_mwh.copy()
    for name in ("ppa_mwh", "grid_mwh", "diesel_mwh", "unserved_mwh", "export_mwh", "curtail_mwh"):
        setattr(f, name, np.zeros(len(p.regions)))
    for r in range(len(p.regions)):
        here = _units_at(p, r)
        load = f.facility_mwh[r] + sum(f.charge_mwh[u] for u in here) - sum(f.discharge_mwh[u] for u in here)
        available = row.grid_availability[r]
        limit = p.connection_mwh[r] * available
        e_max = min(p.export_fraction[r] * row.green_mwh[r], p.export_limit_mwh[r] * available)
        if plan.dispatch is None:
            _merit_order(p, row, f, r, load, limit, e_max, due)
        else:
            _given(p, plan.dispatch, row, f, r, load, limit, e_max)


def _given(p: Space, d: Space, row: Space, f: Space, r: int, load: float, limit: float, e_max: float) -> None:
    green = row.green_mwh[r]
    ppa = clip(d.ppa_mwh[r], 0.0, min(row.ppa_mwh[r], load, limit))
    diesel = clip(d.diesel_mwh[r], 0.0, min(p.diesel_limit_mwh[r], load - ppa))
    export = clip(d.export_mwh[r], 0.0, e_max)
    rest = load - ppa - diesel
    curtail = clip(max(d.curtail_mwh[r], green - export - rest), 0.0, green - export)
    need = rest - (green - export - curtail)
    grid = min(need, limit - ppa)
    f.ppa_mwh[r], f.diesel_mwh[r], f.export_mwh[r], f.curtail_mwh[r] = ppa, diesel, export, curtail
    f.grid_mwh[r], f.unserved_mwh[r] = grid, need - grid


def _merit_order(p: Space, row: Space, f: Space, r: int, load: float, limit: float, e_max: float, due: Array) -> None:
    green, green_cost, export_price = row.green_mwh[r], p.green_cost_cny_per_mwh[r], row.export_price_cny_per_mwh[r]
    carbon = p.carbon_price_cny_per_kg[r] * row.carbon_kg_per_mwh[r]
    own_worth = _worth(p, due, r, ("green", "green_physical", "direct_generation", "direct_consumption"))
    price = {
        "captive": green_cost + p.own_wires_cny_per_mwh[r] - own_worth,
        "exportable": max(green_cost, export_price) + p.own_wires_cny_per_mwh[r] - own_worth,
        "ppa": p.ppa_price_cny_per_mwh[r] - _worth(p, due, r, ("green", "green_physical", "take_or_pay")),
        "grid": row.grid_price_cny_per_mwh[r] + p.grid_adder_cny_per_mwh[r] + carbon,
    }
    at_most = {"captive": green - e_max, "exportable": e_max, "ppa": row.ppa_mwh[r], "grid": math.inf}
    used = dict.fromkeys(price, 0.0)
    rest = load
    for source in sorted(price, key=lambda name: price[name]):  # stable: ties keep the order above
        metered = source in ("ppa", "grid")
        room = limit - used["ppa"] - used["grid"] if metered else math.inf
        used[source] = min(rest, at_most[source], room)
        rest -= used[source]
    f.ppa_mwh[r], f.grid_mwh[r] = used["ppa"], used["grid"]
    f.diesel_mwh[r] = min(rest, p.diesel_limit_mwh[r])
    f.unserved_mwh[r] = rest - f.diesel_mwh[r]
    f.export_mwh[r] = e_max - used["exportable"] if export_price > green_cost else 0.0
    f.curtail_mwh[r] = green - used["captive"] - used["exportable"] - f.export_mwh[r]


def _settle(p: Space, state: Space, row: Space, f: Space, deferred: Array, soc: Array) -> Array:
    """8. Settle: sets `carbon_kg`, `cost_cny`; returns the new peaks [R]."""
    cost = dict.fromkeys(COST_TERMS, 0.0)
    peak: Array = state.peak_mw.copy()
    f.carbon_kg = np.zeros(len(p.regions))
    for r in range(len(p.regions)):
        _bill_region(p, row, f, r, cost)
        metered = (f.grid_mwh[r] + f.ppa_mwh[r]) / p.dt_h
        cost["demand"] += p.demand_fee_cny_per_mw[r] * max(0.0, metered - peak[r])
        peak[r] = max(peak[r], metered)
        held = sum(p.firm[u] * (soc[u] - p.soc_min_mwh[u]) for u in _units_at(p, r))
        lacking = max(0.0, p.reserve_mwh[r] * row.grid_availability[r] - held)
        cost["reserve"] += p.reserve_price_cny_per_mwh * lacking
    for l in range(len(p.links)):
        cost["network"] += f.data_gb[l] * p.link_price_cny_per_gb[l]
        cost["latency"] += sum(p.latency_cny_per_mwh[l, z] * f.route_mwh[l, z] for z in range(len(p.online)))
    for u in range(len(p.units)):
        cost["storage"] += f.discharge_mwh[u] * p.wear_cny_per_mwh[u]
    if int(state.t) + 1 == p.steps:
        cost["terminal"] = _terminal(p, deferred, soc)
    f.cost_cny = np.array([cost[term] for term in COST_TERMS])
    return peak


def _accounts(p: Space, state: Space, f: Space, due: Array) -> Array:
    """The last part of 8: bills the rules that hold over an episode; returns the new accounts [R, A]."""
    billed = {
        "green_gap": ("green", "green_physical"),
        "take_or_pay": ("take_or_pay",),
        "pue_excess": ("pue",),
        "direct_rule": ("direct_generation", "direct_consumption"),
    }
    owed: Array = due.copy()
    for r in range(len(p.regions)):
        own = f.green_mwh[r] - f.export_mwh[r] - f.curtail_mwh[r]
        done = {
            "green": own + f.ppa_mwh[r],
            "green_physical": own + f.ppa_mwh[r],
            "take_or_pay": f.ppa_mwh[r],
            "direct_generation": own,
            "direct_consumption": own,
        }
        for term, accounts in billed.items():
            for name in accounts:
                a = ACCOUNTS.index(name)
                owed[r, a] -= done.get(name, 0.0)
                rise = max(0.0, owed[r, a]) - max(0.0, state.owed_mwh[r, a])
                f.cost_cny[COST_TERMS.index(term)] += p.owed_price_cny_per_mwh[r, a] * rise
    return owed


def _bill_region(p: Space, row: Space, f: Space, r: int, cost: dict[str, float]) -> None:
    """Adds the terms that are a flow of the region times a price, and sets its carbon."""
    f.carbon_kg[r] = f.grid_mwh[r] * row.carbon_kg_per_mwh[r] + f.diesel_mwh[r] * p.diesel_carbon_kg_per_mwh
    cost["grid_energy"] += f.grid_mwh[r] * (row.grid_price_cny_per_mwh[r] + p.grid_adder_cny_per_mwh[r])
    cost["ppa"] += f.ppa_mwh[r] * p.ppa_price_cny_per_mwh[r]
    cost["green_om"] += (f.green_mwh[r] - f.curtail_mwh[r]) * p.green_cost_cny_per_mwh[r]
    cost["export"] -= f.export_mwh[r] * row.export_price_cny_per_mwh[r]
    cost["carbon"] += p.carbon_price_cny_per_kg[r] * f.carbon_kg[r]
    own = f.green_mwh[r] - f.curtail_mwh[r] - f.export_mwh[r]
    cost["wires"] += own * p.own_wires_cny_per_mwh[r] + p.capacity_fee_cny[r]
    cost["diesel"] += f.diesel_mwh[r] * p.diesel_cost_cny_per_mwh
    cost["unserved"] += f.unserved_mwh[r] * p.lost_load_cny_per_mwh
    for z in range(len(p.online)):
        cost["missed"] += f.missed_online_mwh[r, z] * p.missed_online_cny_per_mwh[z]
    for k in range(len(p.deferrable)):
        cost["missed"] += f.missed_mwh[r, k] * p.missed_cny_per_mwh[k]


def _terminal(p: Space, deferred: Array, soc: Array) -> float:
    """Price of the work left undone and of the energy missing from the stores at the end of the episode, if priced."""
    if not p.prices_end:
        return 0.0
    work = sum(
        deferred[r, k].sum() * p.work_terminal_cny_per_mwh[k]
        for r in range(len(p.regions))
        for k in range(len(p.deferrable))
    )
    energy = sum((p.soc_start_mwh[u] - soc[u]) * p.soc_terminal_cny_per_mwh[u] for u in range(len(p.units)))
    return float(work + energy)
