"""`Window`: the piece of an episode a linear programme covers, as NumPy arrays with the snapshot axis T first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from greenhop.errors import ConfigError
from greenhop.lp.columns import Array, Arrays, Index, Mask
from greenhop.params import FIXED_OVERHEAD_SHARE, Params
from greenhop.state import Row, State


class Terminal(NamedTuple):
    """What is left at the end of a window costs (work) or earns (storage)."""

    work_cny_per_mwh: Array  # [R, K, S] by the slot after the last step's shift
    soc_cny_per_mwh: Array  # [U]


def episode_terminal(params: Params) -> Terminal:
    """The terminal prices of an episode's last step: one price per class, whatever region and slot."""
    p = Arrays(params)
    shape = (params.n_regions, len(params.deferrable), params.n_slots)
    return Terminal(np.broadcast_to(p.work_terminal_cny_per_mwh[:, None], shape), p.soc_terminal_cny_per_mwh)


@dataclass(frozen=True)
class Window:
    """Parameters, start, exogenous rows and terminal prices of one linear programme."""

    params: Params
    p: Arrays  # the tensors of `params`
    row: Arrays  # the fields of `Row`, each [T, …]
    backlog_mwh: Array  # [R, K, S] arrivals of the first snapshot included
    soc_mwh: Array  # [U]
    peak_mw: Array  # [R]
    green_gap_mwh: Array  # [R]
    phase: Index  # [T] clock phase of each snapshot
    terminal: Terminal

    @property
    def steps(self) -> int:
        """T: snapshots in the window."""
        return len(self.phase)

    @cached_property
    def used(self) -> Mask:
        """[T, K, S] slots that may hold work: those up to the one that new work joins."""
        join = self.p.joins[self.phase].argmax(axis=-1)
        slots = np.arange(self.params.n_slots)
        return np.asarray(slots <= join[:, :, None])

    @cached_property
    def closes(self) -> Mask:
        """[T, K] true where slot 0 closes at the end of the snapshot."""
        return np.asarray(self.p.closes[self.phase] > 0)

    @cached_property
    def next_slot(self) -> Index:
        """[T, K, S] slot in which what is kept appears at the next snapshot; −1 where it is missed."""
        return np.arange(self.params.n_slots) - self.closes[:, :, None].astype(np.int64)

    @cached_property
    def room_mwh(self) -> Array:
        """[T, R, P] work the pools can do: capacity · availability."""
        return np.asarray(self.p.capacity_mwh * self.row.site_availability[:, :, None])

    @cached_property
    def facility_per_it(self) -> Array:
        """[T, R] MWh at the meter per MWh of IT: 1 + 0.6·(pue_full − 1)."""
        return np.asarray(1.0 + (1.0 - FIXED_OVERHEAD_SHARE) * (self.row.pue_full - 1.0))

    @cached_property
    def facility_per_work(self) -> Array:
        """[T, R, P] MWh at the meter per MWh of work: (1 − idle)·(1 + 0.6·(pue_full − 1))."""
        return np.asarray(self.facility_per_it[:, :, None] * (1.0 - self.p.idle_share))

    @cached_property
    def facility_idle_mwh(self) -> Array:
        """[T, R] demand of a site without work: (1 + 0.6·(pue − 1))·Σ_p idle·C + 0.4·(pue − 1)·Σ_p C."""
        fixed = FIXED_OVERHEAD_SHARE * (self.row.pue_full - 1.0) * self.room_mwh.sum(axis=-1)
        return np.asarray(self.facility_per_it * (self.room_mwh * self.p.idle_share).sum(axis=-1) + fixed)

    @cached_property
    def facility_max_mwh(self) -> Array:
        """[T, R] demand of a site whose pools are full."""
        return np.asarray(self.facility_idle_mwh + (self.facility_per_work * self.room_mwh).sum(axis=-1))

    @cached_property
    def limit_mwh(self) -> Array:
        """[T, R] what the connection carries: PPA and grid power share it."""
        return np.asarray(self.p.connection_mwh * self.row.grid_availability)

    @cached_property
    def export_max_mwh(self) -> Array:
        """[T, R] min(export_fraction·green, export limit·availability)."""
        meter = self.p.export_limit_mwh * self.row.grid_availability
        return np.asarray(np.minimum(self.p.export_fraction * self.row.green_mwh, meter))

    @cached_property
    def link_gb(self) -> Array:
        """[T, L] data the links carry in a step."""
        return np.asarray(self.p.link_gb * self.row.link_availability)

    @cached_property
    def grid_cost(self) -> Array:
        """[T, R] CNY per MWh of grid energy: price + adder + carbon."""
        carbon = self.params.carbon_price_cny_per_kg * self.row.carbon_kg_per_mwh
        return np.asarray(self.row.grid_price_cny_per_mwh + self.p.grid_adder_cny_per_mwh + carbon)

    @cached_property
    def alive_mwh(self) -> Array:
        """[T, K] no cohort can be larger: all work not yet due, grown by a restart in every step it may have moved."""
        life = np.asarray((self.p.slack * self.p.slots_used).max(axis=(0, 2)), dtype=np.int64)
        arrived = np.concatenate([self.backlog_mwh.sum(axis=(0, 2))[None], self.row.next_arrivals_mwh[:-1].sum(axis=1)])
        total = np.concatenate([np.zeros((1, len(life))), np.cumsum(arrived, axis=0)])
        snapshot = np.arange(self.steps)[:, None]
        first = np.maximum(snapshot - life, 0)
        alive = total[1:] - np.take_along_axis(total, first, axis=0)
        return np.asarray(alive * (1.0 + self.p.restart_overhead) ** np.minimum(snapshot, life))


def make_window(params: Params, state: State, rows: Row, terminal: Terminal | None = None) -> Window:
    """Cut a window: `state` is a batch of one, `rows` has snapshots where a step has its batch.

    Without `terminal` the window must end the episode and takes the episode's own terminal prices.
    """
    if state.t.shape[0] != 1:
        raise ConfigError(f"a window starts from one state, not from a batch of {state.t.shape[0]}; slice it first")
    steps, start = rows.green_mwh.shape[0], int(state.t[0])
    if (terminal is None) != (start + steps == params.steps):
        need = "must be given unless" if terminal is None else "belong to the episode itself where"
        raise ConfigError(
            f"the window covers steps {start}…{start + steps - 1} of {params.steps}: "
            f"terminal prices {need} it ends the episode"
        )
    first = int(state.world_row[0]) + start
    window = Window(
        params=params,
        p=Arrays(params),
        row=Arrays(rows),
        backlog_mwh=_first(state.backlog_mwh),
        soc_mwh=_first(state.soc_mwh),
        peak_mw=_first(state.peak_mw),
        green_gap_mwh=_first(state.green_gap_mwh),
        phase=(first + np.arange(steps)) % params.period,
        terminal=episode_terminal(params) if terminal is None else terminal,
    )
    if steps and np.any(np.where(window.used[0], 0.0, window.backlog_mwh) != 0.0):
        raise ConfigError("the initial backlog holds work in a slot that its class does not use at this phase")
    return window


def _first(tensor: object) -> Array:
    array = tensor[0].detach().cpu().numpy()  # type: ignore[index]
    return np.asarray(array, dtype=np.float64)
