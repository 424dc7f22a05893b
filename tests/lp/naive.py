"""The window's linear programme a second time: plain loops over section 4 of docs/design.md, solved by scipy.

It keeps the quantities of the design as variables of their own (backlog, kept work, facility, spill, curtailment, grid,
peak) and shares no code, no substitution and no scaling with `greenhop.lp`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array

from tests.lp.windows import Case
from tests.reference.twin import from_params, unbatch

Terms = dict[Hashable, float]


class Loops:
    """Collects variables by key and constraints as dictionaries."""

    def __init__(self) -> None:
        self.number: dict[Hashable, int] = {}
        self.cost: list[float] = []
        self.bounds: list[tuple[float, float | None]] = []
        self.rows: dict[str, list[tuple[Terms, float]]] = {"eq": [], "ub": []}
        self.constant = 0.0

    def var(self, *key: Hashable, cost: float = 0.0, low: float = 0.0, high: float | None = None) -> Hashable:
        self.number[key] = len(self.cost)
        self.cost.append(float(cost))
        self.bounds.append((float(low), None if high is None else float(high)))
        return key

    def equal(self, terms: Terms, value: float) -> None:
        self.rows["eq"].append((terms, float(value)))

    def at_most(self, terms: Terms, value: float) -> None:
        self.rows["ub"].append((terms, float(value)))

    def matrices(self) -> dict[str, Any]:
        """`A_eq, b_eq, A_ub, b_ub` as scipy's and other solvers take them."""
        sides: dict[str, Any] = {}
        for kind, rows in self.rows.items():
            at = [(i, self.number[key], c) for i, (terms, _) in enumerate(rows) for key, c in terms.items()]
            i, j, c = zip(*at, strict=True)
            sides[f"A_{kind}"] = coo_array((c, (i, j)), shape=(len(rows), len(self.cost))).tocsr()
            sides[f"b_{kind}"] = np.array([value for _, value in rows])
        return sides

    def solve(self) -> float:
        tight: Any = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
        result: Any = linprog(self.cost, bounds=self.bounds, method="highs-ds", options=tight, **self.matrices())
        assert result.status == 0, result.message
        return float(result.fun) + self.constant


def naive_bound(case: Case) -> float:
    """Cost of the window under perfect foresight; the window ends its episode."""
    return naive_programme(case).solve()


def naive_programme(case: Case) -> Loops:
    """The programme whose optimum is that cost."""
    p, start = from_params(case.params), unbatch(case.state)
    rows = [unbatch(case.rows, t) for t in range(case.params.steps)]
    m = Loops()
    if not p.prices_end:
        p.work_terminal_cny_per_mwh, p.soc_terminal_cny_per_mwh = (
            0.0 * x for x in (p.work_terminal_cny_per_mwh, p.soc_terminal_cny_per_mwh)
        )
    m.constant = float((p.soc_start_mwh * p.soc_terminal_cny_per_mwh).sum())
    n_r, n_k, n_s = start.backlog_mwh.shape
    for r in range(n_r):
        m.var("peak", r, cost=p.demand_fee_cny_per_mw[r], low=start.peak_mw[r])
        m.constant -= p.demand_fee_cny_per_mw[r] * start.peak_mw[r]
        m.constant += p.capacity_fee_cny[r] * len(rows)
        for a in range(6):
            m.var("owed", r, a, cost=p.owed_price_cny_per_mwh[r, a])
            m.constant -= p.owed_price_cny_per_mwh[r, a] * max(0.0, start.owed_mwh[r, a])
    for r, k, s in np.ndindex(n_r, n_k, n_s):
        m.equal({m.var("w", 0, r, k, s): 1.0}, start.backlog_mwh[r, k, s])
    owed: list[list[Terms]] = [[{("owed", r, a): -1.0} for a in range(6)] for r in range(n_r)]
    right = -start.owed_mwh
    for t, row in enumerate(rows):
        phase, last = int(start.world_row + t) % p.period, t == len(rows) - 1
        links: list[Terms] = [{} for _ in p.links]
        pools: list[list[Terms]] = [[{} for _ in p.pools] for _ in p.regions]
        energy: list[list[Terms]] = [[{} for _ in p.pools] for _ in p.regions]
        for z in range(len(p.online)):
            _route(m, p, row, (t, z), links, pools)
        for k in range(n_k):
            _defer(m, p, row, (t, k, phase), links, pools, last)
            if not last:
                _shift(m, p, row, (t, k, phase))
        for r in range(n_r):
            for i, terms in enumerate(pools[r]):
                energy[r][i] |= terms
            for k in range(n_k):
                _elsewhere(m, p, (t, r, k), pools[r], energy[r])
        for li, terms in enumerate(links):
            carried = p.link_gb[li] * row.link_availability[li]
            sync = min(carried, float(p.sync_gb_per_mwh[li] @ row.next_arrivals_mwh[p.link_source[li]]))
            m.at_most(terms, carried - sync)
            m.constant += sync * p.link_price_cny_per_gb[li]
        for r in range(n_r):
            _cool(m, p, row, (t, r), pools[r], energy[r])
        _store(m, p, row, t, start.soc_mwh, last)
        for r in range(n_r):
            _dispatch(m, p, row, (t, r))
            _owe(p, row, (t, r), owed[r], right[r])
    for r in range(n_r):
        for a in range(6):
            m.at_most(owed[r][a], right[r, a])
    return m


def _owe(p: Any, row: Any, at: tuple[int, int], owed: list[Terms], right: Any) -> None:
    """The step's part of every account; own green power used is green − export − curtail."""
    t, r = at
    facility, it, ppa = ("facility", t, r), ("it", t, r), ("ppa", t, r)
    lost: Terms = {("export", t, r): 1.0, ("curtail", t, r): 1.0}
    heat: Terms = {("dis", t, u): -1.0 for u in range(len(p.units)) if p.unit_region[u] == r and p.is_csp[u]}
    owed[0] |= {facility: p.green_target, ppa: -1.0} | lost | heat
    owed[1] |= {facility: p.physical_target, ppa: -1.0} | lost | heat
    owed[2] |= {ppa: -1.0}
    owed[3] |= {facility: 1.0, it: -p.pue_cap[r]}
    owed[4] |= lost
    owed[5] |= lost | {facility: 0.3}
    right += row.green_mwh[r] * np.array([1.0, 1.0, 0.0, 0.0, 0.4, 1.0])
    right[2] -= p.take_or_pay_share * row.ppa_mwh[r]


def _at(p: Any, ends: str, r: int) -> Iterator[int]:
    """Links whose source or target is region `r`."""
    return (li for li in range(len(p.links)) if getattr(p, f"link_{ends}")[li] == r)


def _route(m: Loops, p: Any, row: Any, at: tuple[int, int], links: list[Terms], pools: list[list[Terms]]) -> None:
    t, z = at
    for li, terms in enumerate(links):
        price = p.route_gb_per_mwh[z] * p.link_price_cny_per_gb[li] + p.latency_cny_per_mwh[li, z]
        x = m.var("x", t, li, z, cost=price, high=p.route_allowed[li, z] * row.online_mwh[p.link_source[li], z])
        terms[x] = p.route_gb_per_mwh[z]
    for r in range(len(p.regions)):
        out: Terms = {("x", t, li, z): 1.0 for li in _at(p, "source", r)}
        into: Terms = {("x", t, li, z): -1.0 for li in _at(p, "target", r)}
        m.at_most(out, row.online_mwh[r, z])
        v, miss = m.var("v", t, r, z), m.var("miss", t, r, z, cost=p.missed_online_cny_per_mwh[z])
        m.equal({v: 1.0, miss: 1.0} | out | into, row.online_mwh[r, z])
        pools[r][int(p.online_pool[z].argmax())][v] = 1.0


def _defer(
    m: Loops, p: Any, row: Any, at: tuple[int, int, int], links: list[Terms], pools: list[list[Terms]], last: bool
) -> None:
    t, k, phase = at
    grown = 1.0 + p.restart_overhead[k]
    for s in range(p.slack.shape[2]):
        for li, terms in enumerate(links):
            allowed = p.migrate_allowed[li, k] and p.slots_used[k, s] and p.slack[phase, k, s] > 0
            gb = p.migrate_gb_per_mwh[li, k]
            price, high = gb * p.link_price_cny_per_gb[li], None if allowed else 0.0
            if allowed and gb > 0:
                up = row.site_availability[p.link_source[li]]
                high = p.link_gb[li] * row.link_availability[li] * up / gb
            terms[m.var("m", t, li, k, s, cost=price, high=high)] = gb
        missed = p.closes[phase, k] and s == 0
        cost = p.missed_cny_per_mwh[k] if missed else p.work_terminal_cny_per_mwh[k] if last else 0.0
        for r in range(len(p.regions)):
            w, u, kept = ("w", t, r, k, s), m.var("u", t, r, k, s), m.var("kept", t, r, k, s, cost=cost)
            out: Terms = {("m", t, li, k, s): 1.0 for li in _at(p, "source", r)}
            into: Terms = {("m", t, li, k, s): -grown for li in _at(p, "target", r)}
            m.at_most({u: 1.0, w: -p.rate_limit[phase, k, s]}, 0.0)
            m.at_most({u: 1.0, w: -1.0} | out, 0.0)
            m.equal({kept: 1.0, w: -1.0, u: 1.0} | out | into, 0.0)
            pools[r][int(p.deferrable_pool[k].argmax())][u] = 1.0


def _shift(m: Loops, p: Any, row: Any, at: tuple[int, int, int]) -> None:
    t, k, phase = at
    n_s, closes = p.slack.shape[2], int(p.closes[phase, k])
    for r, s in np.ndindex(len(p.regions), n_s):
        terms: Terms = {m.var("w", t + 1, r, k, s): 1.0}
        if s + closes < n_s:
            terms["kept", t, r, k, s + closes] = -1.0
        m.equal(terms, row.next_arrivals_mwh[r, k] * p.joins[(phase + 1) % p.period, k, s])


def _elsewhere(m: Loops, p: Any, at: tuple[int, int, int], pools: list[Terms], energy: list[Terms]) -> None:
    """Work on the alternative pool: not at home, but in that pool's room and energy."""
    t, r, k = at
    if not p.alternative_pool[k].any():
        return
    home, there = int(p.deferrable_pool[k].argmax()), int(p.alternative_pool[k].argmax())
    away = m.var("away", t, r, k)
    m.at_most({away: 1.0} | {("u", t, r, k, s): -1.0 for s in range(p.slack.shape[2])}, 0.0)
    pools[home][away] = energy[home][away] = -1.0
    pools[there][away], energy[there][away] = p.alternative_room[k], p.alternative_energy[k]


def _cool(m: Loops, p: Any, row: Any, at: tuple[int, int], pools: list[Terms], energy: list[Terms]) -> None:
    t, r = at
    room = p.capacity_mwh[r] * row.site_availability[r]
    factor = 1.0 + 0.6 * (row.pue_full[r] - 1.0)
    it: Terms = {m.var("it", t, r): 1.0}
    for i, terms in enumerate(pools):
        m.at_most(terms, room[i])
        for key, share in energy[i].items():
            it[key] = it.get(key, 0.0) - (1.0 - p.idle_share[i]) * share
    m.equal(it, (p.idle_share * room).sum())
    m.equal({m.var("facility", t, r): 1.0, ("it", t, r): -factor}, 0.4 * (row.pue_full[r] - 1.0) * room.sum())


def _store(m: Loops, p: Any, row: Any, t: int, soc_start: Any, last: bool) -> None:
    for u in range(len(p.units)):
        ch = m.var("ch", t, u, high=p.charge_limit_mwh[u])
        dis = m.var("dis", t, u, high=p.discharge_limit_mwh[u], cost=p.wear_cny_per_mwh[u])
        spill = m.var("spill", t, u, high=row.inflow_mwh[u])
        value = -p.soc_terminal_cny_per_mwh[u] if last else 0.0
        soc = m.var("soc", t, u, low=p.soc_min_mwh[u], high=p.soc_max_mwh[u], cost=value)
        terms: Terms = {soc: 1.0, ch: -p.efficiency_charge[u], dis: 1.0 / p.efficiency_discharge[u], spill: 1.0}
        loss = p.standing_loss[u]
        right = loss * p.soc_min_mwh[u] + row.inflow_mwh[u]
        if t:
            terms["soc", t - 1, u] = -(1.0 - loss)
        m.equal(terms, right if t else right + (1.0 - loss) * soc_start[u])
    for r in range(len(p.regions)):
        lacking: Terms = {m.var("lack", t, r, cost=p.reserve_price_cny_per_mwh): -1.0}
        held = {("soc", t, u): -p.firm[u] for u in range(len(p.units)) if p.unit_region[u] == r}
        floor = sum(p.firm[u] * p.soc_min_mwh[u] for u in range(len(p.units)) if p.unit_region[u] == r)
        m.at_most(lacking | held, -p.reserve_mwh[r] * row.grid_availability[r] - floor)


def _dispatch(m: Loops, p: Any, row: Any, at: tuple[int, int]) -> None:
    t, r = at
    here = [u for u in range(len(p.units)) if p.unit_region[u] == r]
    facility: Hashable = ("facility", t, r)
    dis = [("dis", t, u) for u in here]
    m.at_most(dict.fromkeys(dis, 1.0) | {facility: -1.0}, 0.0)
    energy = row.grid_price_cny_per_mwh[r] + p.grid_adder_cny_per_mwh[r]
    carbon = p.carbon_price_cny_per_kg[r]
    limit, green = p.connection_mwh[r] * row.grid_availability[r], row.green_mwh[r]
    e_max = min(p.export_fraction[r] * green, p.export_limit_mwh[r] * row.grid_availability[r])
    burned = p.diesel_cost_cny_per_mwh + carbon * p.diesel_carbon_kg_per_mwh
    ppa = m.var("ppa", t, r, high=row.ppa_mwh[r], cost=p.ppa_price_cny_per_mwh[r])
    grid = m.var("grid", t, r, cost=energy + carbon * row.carbon_kg_per_mwh[r])
    diesel = m.var("diesel", t, r, high=p.diesel_limit_mwh[r], cost=burned)
    own, wires = p.green_cost_cny_per_mwh[r], p.own_wires_cny_per_mwh[r]
    export = m.var("export", t, r, high=e_max, cost=-row.export_price_cny_per_mwh[r] - wires)
    curtail = m.var("curtail", t, r, cost=-own - wires)
    unserved = m.var("unserved", t, r, cost=p.lost_load_cny_per_mwh)
    m.constant += green * (own + wires)
    m.at_most({export: 1.0, curtail: 1.0}, green)
    m.at_most({ppa: 1.0, grid: 1.0}, limit)
    m.at_most({ppa: 1.0 / p.dt_h, grid: 1.0 / p.dt_h, ("peak", r): -1.0}, 0.0)
    load = {facility: -1.0} | {("ch", t, u): -1.0 for u in here} | dict.fromkeys(dis, 1.0)
    supply = {ppa: 1.0, grid: 1.0, diesel: 1.0, unserved: 1.0, export: -1.0, curtail: -1.0}
    m.equal(load | supply, -green)
