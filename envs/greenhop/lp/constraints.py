"""One function per family of constraints: its equation, its coefficients and its right-hand side.

Quantities are physical (MWh per step, GB per step, MW); `model.py` scales them. Letters: t snapshot, r region, l link,
k deferrable class, z online class, s slot, p pool, u storage unit. `Σ_out` and `Σ_in` run over the links that leave and
enter a region.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from greenhop.arrays import Array, Bools
from greenhop.lp.accounts import add_rows, priced
from greenhop.lp.columns import Layout, Terms
from greenhop.lp.window import Window


class Sides(NamedTuple):
    """Bounds of a family of rows: lower ≤ a·x ≤ upper, broadcast to the family's shape."""

    lower: Array | float
    upper: Array | float


Family = Callable[[Window, Layout, Layout, Terms], Sides]


def masks(w: Window) -> dict[str, Bools]:
    """Which entries each family of rows has: a matter of parameters and clock, never of the world's rows."""
    every = np.ones((w.steps, w.params.n_regions), dtype=bool)
    pools, online, units = len(w.params.pools), len(w.params.online), len(w.params.units)
    work = np.broadcast_to(w.used[:, None], (*every.shape, *w.used.shape[1:]))
    compressible = np.broadcast_to((w.used & (w.rate_limit < 1.0))[:, None], work.shape)
    return {
        "work": work,
        "rate": compressible,
        "online": np.repeat(every[:, :, None], online, axis=2),
        "alternative": every[:, :, None] & (w.p.alternative_room > 0),
        "pools": np.repeat(every[:, :, None], pools, axis=2),
        "links": np.ones((w.steps, len(w.params.links)), dtype=bool),
        "storage": np.ones((w.steps, units), dtype=bool),
        "power": every,
        "site": every & (w.p.unit_of_region.sum(axis=0) > 0),
        "contract": every,
        "green": every & (w.p.export_fraction * w.p.export_limit_mwh > 0),
        "peak": every & (w.p.demand_fee_cny_per_mw > 0),
        "accounts": priced(w),
        "reserve": every & (w.reserve_price_cny_per_mwh > 0),
    }


def work(w: Window, x: Layout, row: Layout, terms: Terms) -> Sides:
    """Work is served, moved or kept, and what is kept or moved is there at the next snapshot.

    serve_t + Σ_out migrate_t + keep_t − [keep + (1+ε)·Σ_in migrate]_{t−1} = arrivals joining s (t = 0: the backlog)

    The slot of t−1 is s+1 where the class closed a slot, else s. `keep` of a slot that closes is missed work.
    """
    here = row["work"]
    there = np.full_like(here, -1)
    slot = np.broadcast_to(w.next_slot[:-1, None], here[1:].shape)
    there[:-1] = np.where(slot >= 0, np.take_along_axis(here[1:], np.maximum(slot, 0), axis=-1), -1)
    terms.add(here, x["serve"], 1.0)
    terms.add(here, x["keep"], 1.0)
    terms.add(there, x["keep"], -1.0)
    terms.add(here[:, w.p.link_source], x["migrate"], 1.0)
    terms.add(there[:, w.p.link_target], x["migrate"], -(1.0 + w.p.restart_overhead[:, None]))
    supply = np.concatenate([w.backlog_mwh[None], w.joining_mwh])
    return Sides(supply, supply)


def rate(w: Window, x: Layout, row: Layout, terms: Terms) -> Sides:
    """A cohort cannot be compressed at will: (1 − ρ)·serve ≤ ρ·(keep + Σ_out migrate), that is serve ≤ ρ·backlog."""
    share = w.rate_limit[:, None]
    terms.add(row["rate"], x["serve"], 1.0 - share)
    terms.add(row["rate"], x["keep"], -share)
    terms.add(row["rate"][:, w.p.link_source], x["migrate"], -share)
    return Sides(-np.inf, 0.0)


def online(w: Window, x: Layout, row: Layout, terms: Terms) -> Sides:
    """Online work is served at home, routed or missed: serve_home + Σ_out route + missed = arriving online work.

    What is routed is served where it goes; missing it there would only add its network price to the same penalty.
    """
    terms.add(row["online"], x["serve_home"], 1.0)
    terms.add(row["online"], x["missed_online"], 1.0)
    terms.add(row["online"][:, w.p.link_source], x["route"], 1.0)
    return Sides(w.row.online_mwh, w.row.online_mwh)


def alternative(w: Window, x: Layout, row: Layout, terms: Terms) -> Sides:
    """What runs on a class's alternative pool is part of what is served: alternative − Σ_s serve ≤ 0."""
    terms.add(row["alternative"], x["alternative"], 1.0)
    terms.add(row["alternative"][..., None], x["serve"], -1.0)
    return Sides(-np.inf, 0.0)


def pools(w: Window, x: Layout, row: Layout, terms: Terms) -> Sides:
    """Room taken in a pool is its load, at most capacity·availability.

    Σ_{z∈p} (serve_home + Σ_in route) + Σ_{k∈p} (Σ_s serve − alternative) + Σ_{k alt∈p} ω_k·alternative = load
    """
    of_online, of_class = w.p.online_pool.argmax(axis=1), w.p.deferrable_pool.argmax(axis=1)
    elsewhere = w.p.alternative_pool.argmax(axis=1)
    terms.add(row["pools"][:, :, of_online], x["serve_home"], 1.0)
    terms.add(row["pools"][:, w.p.link_target][:, :, of_online], x["route"], 1.0)
    terms.add(row["pools"][:, :, of_class, None], x["serve"], 1.0)
    terms.add(row["pools"][:, :, of_class], x["alternative"], -1.0)
    terms.add(row["pools"][:, :, elsewhere], x["alternative"], w.p.alternative_room)
    terms.add(row["pools"], x["load"], -1.0)
    return Sides(0.0, 0.0)


def links(w: Window, x: Layout, row: Layout, terms: Terms) -> Sides:
    """Data on a link: Σ_z γ_z·route + Σ_{k,s} γ_lk·migrate ≤ bandwidth·availability − synchronisation (GB per step)."""
    terms.add(row["links"][:, :, None], x["route"], w.p.route_gb_per_mwh)
    terms.add(row["links"][:, :, None, None], x["migrate"], w.p.migrate_gb_per_mwh[:, :, None])
    return Sides(-np.inf, w.link_gb - w.sync_gb)


def storage(w: Window, x: Layout, row: Layout, terms: Terms) -> Sides:
    """Energy stored: soc_t − (1 − σ)·soc_{t−1} − η_c·charge + discharge/η_d = σ·soc_min + inflow − spill.

    With 0 ≤ spill ≤ inflow: the row's slack.
    """
    here, loss = row["storage"], w.standing_loss
    terms.add(here, x["soc"], 1.0)
    terms.add(here[1:], x["soc"][:-1], -(1.0 - loss[1:]))
    terms.add(here, x["charge"], -w.p.efficiency_charge)
    terms.add(here, x["discharge"], 1.0 / w.p.efficiency_discharge)
    low = loss * w.p.soc_min_mwh
    low[:1] += (1.0 - loss[:1]) * w.soc_mwh
    return Sides(low, low + w.row.inflow_mwh)


def power(w: Window, x: Layout, row: Layout, terms: Terms) -> Sides:
    """Balance: import + green + diesel + unserved + Σ discharge − Σ charge − Σ_p b_p·load_p = facility without work.

    b_p = (1 − idle_p)·(1 + 0.6·(pue_full − 1)); `import` is grid and PPA power over the one meter. On an alternative
    pool work takes e_k of energy where it takes ω_k of room: Σ_k b·(ω_k − e_k)·alternative is not drawn.
    """
    here = row["power"]
    for source in ("import", "green", "diesel", "unserved"):
        terms.add(here, x[source], 1.0)
    terms.add(here[:, w.p.unit_region], x["discharge"], 1.0)
    terms.add(here[:, w.p.unit_region], x["charge"], -1.0)
    terms.add(here[:, :, None], x["load"], -w.facility_per_work)
    unused = w.facility_per_work[..., w.p.alternative_pool.argmax(axis=1)]
    unused = unused * (w.p.alternative_room - w.p.alternative_energy)
    terms.add(here[:, :, None], x["alternative"], unused)
    return Sides(w.facility_idle_mwh, w.facility_idle_mwh)


def site(w: Window, x: Layout, row: Layout, terms: Terms) -> Sides:
    """Discharge serves the site, Σ discharge ≤ facility: by balance import + green + diesel + unserved ≥ Σ charge."""
    for source in ("import", "green", "diesel", "unserved"):
        terms.add(row["site"], x[source], 1.0)
    terms.add(row["site"][:, w.p.unit_region], x["charge"], -1.0)
    return Sides(0.0, np.inf)


def contract(w: Window, x: Layout, row: Layout, terms: Terms) -> Sides:
    """Contracted green power comes over the meter: import − ppa = grid ≥ 0."""
    terms.add(row["contract"], x["import"], 1.0)
    terms.add(row["contract"], x["ppa"], -1.0)
    return Sides(0.0, np.inf)


def green(w: Window, x: Layout, row: Layout, terms: Terms) -> Sides:
    """Own green power is used, exported or curtailed: green + export ≤ available."""
    terms.add(row["green"], x["green"], 1.0)
    terms.add(row["green"], x["export"], 1.0)
    return Sides(-np.inf, w.row.green_mwh)


def peak(w: Window, x: Layout, row: Layout, terms: Terms) -> Sides:
    """The demand fee pays for import beyond what is billed anyway: import − hours·Σ_q rise_q ≤ hours·free."""
    terms.add(row["peak"], x["import"], 1.0)
    terms.add(row["peak"][..., None], x["peak_rise"], -w.hours[:, None, None])
    return Sides(-np.inf, w.hours[:, None] * w.free_peak_mw[:, 0])


def accounts(w: Window, x: Layout, row: Layout, terms: Terms) -> Sides:
    """Rules over the episode: Σ_t (duty − done) − Σ_q short_q ≤ free − owed so far, see `accounts.py`."""
    return Sides(-np.inf, add_rows(w, x, row, terms))


def reserve(w: Window, x: Layout, row: Layout, terms: Terms) -> Sides:
    """Grid-forming stores hold the reserve: Σ_u firm·soc + short ≥ reserve·grid_availability + Σ_u firm·soc_min."""
    terms.add(row["reserve"], x["reserve_short"], 1.0)
    terms.add(row["reserve"][:, w.p.unit_region], x["soc"], w.p.firm)
    floor = (w.p.firm * w.p.soc_min_mwh) @ w.p.unit_of_region
    return Sides(w.p.reserve_mwh * w.row.grid_availability + floor, np.inf)


FAMILIES: dict[str, Family] = {
    "work": work,
    "rate": rate,
    "online": online,
    "alternative": alternative,
    "pools": pools,
    "links": links,
    "storage": storage,
    "power": power,
    "site": site,
    "contract": contract,
    "green": green,
    "peak": peak,
    "accounts": accounts,
    "reserve": reserve,
}
