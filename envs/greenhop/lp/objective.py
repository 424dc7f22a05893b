"""The variables of a window: which exist, what they cost and how large they can be."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from greenhop.arrays import Array, Bools
from greenhop.lp.accounts import priced, short_max_mwh
from greenhop.lp.window import Window


class Column(NamedTuple):
    """Cost and bounds of a family of variables, broadcast to its shape.

    `implied` marks upper bounds that follow from the rows: the solver need not see them, the certificate uses them.
    """

    cost: Array | float
    lower: Array | float
    upper: Array | float
    implied: bool | Bools = False


def masks(w: Window) -> dict[str, Bools]:
    """Which entries each family of variables has: a matter of parameters and clock, never of the world's rows."""
    shape, units = (w.steps, w.params.n_regions), len(w.params.units)
    every = np.ones(shape, dtype=bool)
    slots = np.broadcast_to(w.used[:, None], (*shape, *w.used.shape[1:]))
    online = np.ones((*shape, len(w.params.online)), dtype=bool)
    movable = w.used & (w.p.movable[w.phase] > 0)
    return {
        "route": np.broadcast_to(w.p.route_allowed > 0, (w.steps, *w.p.route_allowed.shape)),
        "serve_home": online,
        "missed_online": online,
        "migrate": (w.p.migrate_allowed > 0)[None, :, :, None] & movable[:, None],
        "serve": slots,
        "alternative": every[:, :, None] & (w.p.alternative_room > 0),
        "keep": slots,
        "load": np.ones((*shape, len(w.params.pools)), dtype=bool),
        "charge": np.broadcast_to(w.p.charge_limit_mwh > 0, (w.steps, units)),
        "discharge": np.ones((w.steps, units), dtype=bool),
        "soc": np.ones((w.steps, units), dtype=bool),
        "import": every,
        "ppa": every,
        "green": every,
        "export": every & (w.p.export_fraction * w.p.export_limit_mwh > 0),
        "diesel": every & (w.p.diesel_limit_mwh > 0),
        "unserved": every,
        "peak_rise": np.repeat((w.p.demand_fee_cny_per_mw > 0)[:, None], w.futures, axis=-1),
        "short": np.repeat(priced(w)[..., None], w.futures, axis=-1),
        "reserve_short": every & (w.reserve_price_cny_per_mwh > 0),
    }


def columns(w: Window) -> dict[str, Column]:
    """Cost (CNY per MWh, MW) and bounds of every family."""
    return {**_computing(w), **_storing(w), **_power(w), **_accounts(w)}


def offset_cny(w: Window) -> float:
    """Constant part of the cost: start of stores, capacity fees and replicas, less what accounts cost before."""
    owed = np.maximum(w.owed_mwh[..., None] + w.later.owed_mwh, 0.0).mean(axis=-1)
    billed = (owed * w.p.owed_price_cny_per_mwh).sum()
    fixed = w.p.capacity_fee_cny.sum() * w.span.sum() + (w.sync_gb * w.p.link_price_cny_per_gb).sum()
    return float((w.p.soc_start_mwh * w.terminal.soc_cny_per_mwh).sum() + fixed - billed)


def _computing(w: Window) -> dict[str, Column]:
    home = w.row.online_mwh
    of_class = w.p.deferrable_pool.argmax(axis=1)
    alive = w.alive_mwh[:, None, :, None]
    per_gb = w.p.link_price_cny_per_gb[:, None]
    travels = w.p.migrate_gb_per_mwh > 0
    carried = w.link_gb[:, :, None] / np.where(travels, w.p.migrate_gb_per_mwh, 1.0)
    up = w.row.site_availability[:, w.p.link_source, None]
    most = np.where(travels, carried * up, np.inf)[..., None]
    near, other = w.p.route_allowed, w.p.alternative_room > 0
    away = other * w.room_mwh[:, :, w.p.alternative_pool.argmax(axis=1)] / np.where(other, w.p.alternative_room, 1.0)
    return {
        "route": Column(
            per_gb * w.p.route_gb_per_mwh + w.p.latency_cny_per_mwh, 0.0, near * home[:, w.p.link_source], near == 1.0
        ),
        "serve_home": Column(0.0, 0.0, home, implied=True),
        "missed_online": Column(w.p.missed_online_cny_per_mwh, 0.0, home, implied=True),
        "migrate": Column(_migrate_cost(w), 0.0, np.minimum(alive, most), (up == 1.0)[..., None]),
        "serve": Column(0.0, 0.0, np.minimum((w.room_mwh[:, :, of_class] + away)[..., None], alive), implied=True),
        "alternative": Column(0.0, 0.0, away, implied=True),
        "keep": Column(_keep_cost(w), 0.0, alive, implied=True),
        "load": Column(0.0, 0.0, w.room_mwh),
    }


def _keep_cost(w: Window) -> Array:
    """[T, R, K, S] penalty where a slot closes; at the last snapshot the terminal price of the slot it shifts to."""
    cost = np.zeros((w.steps, w.params.n_regions, *w.used.shape[1:]))
    missed = np.broadcast_to((w.next_slot < 0)[:, None], cost.shape)
    cost[-1] = _last_price(w)
    return np.where(missed, w.p.missed_cny_per_mwh[:, None], cost)


def _last_price(w: Window) -> Array:
    """[R, K, S] terminal price of what is kept in slot s of the last snapshot."""
    slot = np.broadcast_to(np.maximum(w.next_slot[-1], 0), w.terminal.work_cny_per_mwh.shape)
    return np.take_along_axis(w.terminal.work_cny_per_mwh, slot, axis=-1)


def _migrate_cost(w: Window) -> Array:
    """[T, L, K, 1|S] price of the data; at the last snapshot also the terminal price of what arrives."""
    network = (w.p.link_price_cny_per_gb[:, None] * w.p.migrate_gb_per_mwh)[:, :, None]
    cost = np.broadcast_to(network, (w.steps, *network.shape[:2], w.params.n_slots)).copy()
    cost[-1] += (1.0 + w.p.restart_overhead[:, None]) * _last_price(w)[w.p.link_target]
    return cost


def _storing(w: Window) -> dict[str, Column]:
    value = np.zeros((w.steps, len(w.params.units)))
    value[-1] = -w.terminal.soc_cny_per_mwh
    return {
        "charge": Column(0.0, 0.0, w.charge_max_mwh),
        "discharge": Column(w.p.wear_cny_per_mwh, 0.0, w.discharge_max_mwh),
        "soc": Column(value, w.p.soc_min_mwh, w.p.soc_max_mwh),
    }


def _power(w: Window) -> dict[str, Column]:
    """`unserved` can only be what demand and charging have above the connection: the step imports before it sheds."""
    par = w.params
    charging = w.charge_max_mwh @ w.p.unit_of_region
    shed = np.maximum(w.facility_max_mwh + charging - w.limit_mwh, 0.0)
    diesel = par.diesel_cost_cny_per_mwh + w.p.carbon_price_cny_per_kg * par.diesel_carbon_kg_per_mwh
    ppa = np.minimum(w.row.ppa_mwh, w.limit_mwh)
    own = w.p.green_cost_cny_per_mwh
    return {
        "import": Column(w.grid_cost, 0.0, w.limit_mwh),
        "ppa": Column(w.p.ppa_price_cny_per_mwh - w.grid_cost, 0.0, ppa),
        "green": Column(own + w.p.own_wires_cny_per_mwh, 0.0, w.row.green_mwh),
        "export": Column(own - w.row.export_price_cny_per_mwh, 0.0, w.export_max_mwh),
        "diesel": Column(diesel, 0.0, w.diesel_max_mwh),
        "unserved": Column(par.lost_load_cny_per_mwh, 0.0, shed),
    }


def _accounts(w: Window) -> dict[str, Column]:
    """Peaks and debts cost more the further they rise, in Q segments: the q-th in q of the Q futures."""
    rise = (w.limit_mwh / w.hours[:, None]).max(axis=0) - w.free_peak_mw[:, 0]
    missing = w.p.reserve_mwh * w.row.grid_availability
    share = np.arange(1, w.futures + 1) / w.futures
    last = share == 1.0
    return {
        "peak_rise": Column(
            w.p.demand_fee_cny_per_mw[:, None] * share,
            0.0,
            _segments(w.free_peak_mw, rise),
            last,
        ),
        "short": Column(
            w.p.owed_price_cny_per_mwh[..., None] * share,
            0.0,
            _segments(w.free_owed_mwh, short_max_mwh(w)),
            last,
        ),
        "reserve_short": Column(w.reserve_price_cny_per_mwh * w.span[:, None], 0.0, missing, implied=True),
    }


def _segments(points: Array, most: Array) -> Array:
    """[…, Q] lengths of the segments that begin at the ascending `points`; the last ends `most` above the first."""
    inner = np.diff(points, axis=-1)
    return np.concatenate([inner, np.maximum(most - inner.sum(axis=-1), 0.0)[..., None]], axis=-1)
