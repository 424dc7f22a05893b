"""One step as named numbers per hub and per link, for pictures and records."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor

from greenhop.arrays import Array
from greenhop.physics.params import Params
from greenhop.physics.state import Flows, Row, State


class Snapshot(NamedTuple):
    """One environment after one step. Power is the mean over the step."""

    t: int  # steps taken
    hour: float  # of the year, when the step began
    price_cny_per_mwh: Array  # [R] grid energy, adders included
    green_mw: Array  # [R] own green available
    used_green_mw: Array  # [R] own green used on site
    ppa_mw: Array  # [R]
    grid_mw: Array  # [R]
    discharge_mw: Array  # [R]
    charge_mw: Array  # [R]
    diesel_mw: Array  # [R]
    unserved_mw: Array  # [R]
    export_mw: Array  # [R]
    curtailed_mw: Array  # [R]
    facility_mw: Array  # [R]
    it_mw: Array  # [R]
    missed_mwh: Array  # [R]
    backlog_mwh: Array  # [R] waiting after the step
    soc_share: Array  # [R] energy stored per capacity; NaN without storage
    moved_mw: Array  # [L] work migrated or routed over each link
    cost_cny: float


def snapshot(params: Params, row: Row, state: State, flows: Flows | None, env: int = 0) -> Snapshot:
    """The numbers of environment `env`: `row` of the step, `state` after it, `flows` in it (None before the first)."""
    zeros = np.zeros(params.n_regions)

    def power(name: str) -> Array:
        return zeros if flows is None else _array(getattr(flows, name)[env]) / params.dt_h

    homes = _array(params.unit_of_region)
    green, export, curtailed = _array(row.green_mwh[env]) / params.dt_h, power("export_mwh"), power("curtail_mwh")
    t = int(state.t[env])
    begun = (int(state.world_row[env]) + max(t - 1, 0)) % params.rows_per_year
    return Snapshot(
        t=t,
        hour=begun * params.dt_h,
        price_cny_per_mwh=_array(row.grid_price_cny_per_mwh[env] + params.grid_adder_cny_per_mwh),
        green_mw=green,
        used_green_mw=zeros if flows is None else green - export - curtailed,
        ppa_mw=power("ppa_mwh"),
        grid_mw=power("grid_mwh"),
        discharge_mw=zeros if flows is None else power("discharge_mwh") @ homes,
        charge_mw=zeros if flows is None else power("charge_mwh") @ homes,
        diesel_mw=power("diesel_mwh"),
        unserved_mw=power("unserved_mwh"),
        export_mw=export,
        curtailed_mw=curtailed,
        facility_mw=power("facility_mwh"),
        it_mw=power("it_mwh"),
        missed_mwh=zeros
        if flows is None
        else _array((flows.missed_mwh.sum(-1) + flows.missed_online_mwh.sum(-1))[env]),
        backlog_mwh=_array(state.backlog_mwh[env].sum((-1, -2))),
        soc_share=_soc_share(params, state, homes, env),
        moved_mw=_moved(params, flows, env),
        cost_cny=0.0 if flows is None else float(flows.cost_cny[env].sum()),
    )


def _array(x: Tensor) -> Array:
    return np.asarray(x.detach().cpu().double().numpy())


def _soc_share(params: Params, state: State, homes: Array, env: int) -> Array:
    held, room = _array(state.soc_mwh[env]) @ homes, _array(params.soc_max_mwh) @ homes
    return np.where(room > 0, held / np.where(room > 0, room, 1.0), np.nan)


def _moved(params: Params, flows: Flows | None, env: int) -> Array:
    if flows is None:
        return np.zeros(len(params.links))
    return _array((flows.migrate_mwh.sum((-1, -2)) + flows.route_mwh.sum(-1))[env]) / params.dt_h
