"""`Window`: the piece of an episode a linear programme covers, as NumPy arrays with the snapshot axis T first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from greenhop.arrays import Array, Bools, Ints
from greenhop.errors import ConfigError
from greenhop.lp.columns import Arrays
from greenhop.physics.params import FIXED_OVERHEAD_SHARE, Params
from greenhop.physics.state import Row, State


class Terminal(NamedTuple):
    """What is left at the end of a window costs (work) or earns (storage)."""

    work_cny_per_mwh: Array  # [R, K, S] by the slot after the last step's shift
    soc_cny_per_mwh: Array  # [U]


class Later(NamedTuple):
    """What follows a window that ends before its episode: Q futures, all as likely."""

    peak_mw: Array  # [R, Q] highest import from the end of the window to that of the episode
    owed_mwh: Array  # [R, A, Q] what the accounts move by in that time


def episode_terminal(params: Params) -> Terminal:
    """The terminal prices of a scenario: one price per class, whatever region and slot."""
    p = Arrays(params)
    shape = (params.n_regions, len(params.deferrable), params.n_slots)
    return Terminal(np.broadcast_to(p.work_terminal_cny_per_mwh[:, None], shape), p.soc_terminal_cny_per_mwh)


def final_terminal(params: Params) -> Terminal:
    """What the episode's own last step bills: those prices, or nothing where ends are not priced."""
    prices = episode_terminal(params)
    return prices if params.prices_end else Terminal(*(np.zeros_like(x) for x in prices))


@dataclass(frozen=True)
class Window:
    """Parameters, start, exogenous rows and terminal prices of one linear programme."""

    params: Params
    p: Arrays  # the tensors of `params`
    row: Arrays  # the fields of `Row`, each [T, …]
    backlog_mwh: Array  # [R, K, S] arrivals of the first snapshot included
    soc_mwh: Array  # [U]
    peak_mw: Array  # [R]
    owed_mwh: Array  # [R, A]
    phase: Ints  # [T] clock phase at which each snapshot begins
    terminal: Terminal
    span: Ints  # [T] steps in each snapshot: 1, or more where `coarse.py` merged them
    joining_mwh: Array  # [T−1, R, K, S] work that joins the backlog of snapshots 1 … T−1
    later: Later  # in ascending order

    @property
    def steps(self) -> int:
        """T: snapshots in the window."""
        return len(self.phase)

    @cached_property
    def first(self) -> Ints:
        """[T] number of the first step of each snapshot, counted from the window's beginning."""
        return np.asarray(np.cumsum(self.span) - self.span)

    @cached_property
    def step_phase(self) -> Ints:
        """Clock phase of every step, of all snapshots one after the other."""
        inside = np.arange(int(self.span.sum())) - np.repeat(self.first, self.span)
        return np.asarray((np.repeat(self.phase, self.span) + inside) % self.params.period)

    @cached_property
    def hours(self) -> Array:
        """[T] duration of each snapshot."""
        return np.asarray(self.params.dt_h * self.span)

    @cached_property
    def rate_limit(self) -> Array:
        """[T, K, S] share of a cohort that may run in a snapshot: 1 − Π_steps (1 − ρ)."""
        return np.asarray(1.0 - np.multiply.reduceat(1.0 - self.p.rate_limit[self.step_phase], self.first, axis=0))

    @cached_property
    def standing_loss(self) -> Array:
        """[T, U] share of the energy above the floor lost in a snapshot: 1 − (1 − σ)^span."""
        return np.asarray(1.0 - (1.0 - self.p.standing_loss) ** self.span[:, None])

    @cached_property
    def charge_max_mwh(self) -> Array:
        """[T, U]."""
        return np.asarray(self.p.charge_limit_mwh * self.span[:, None])

    @cached_property
    def discharge_max_mwh(self) -> Array:
        """[T, U]."""
        return np.asarray(self.p.discharge_limit_mwh * self.span[:, None])

    @cached_property
    def diesel_max_mwh(self) -> Array:
        """[T, R]."""
        return np.asarray(self.p.diesel_limit_mwh * self.span[:, None])

    @cached_property
    def used(self) -> Bools:
        """[T, K, S] slots that may hold work: those up to the last one that new work joins."""
        join = self.p.joins.argmax(axis=-1)
        latest = np.maximum.reduceat(join[self.step_phase], self.first, axis=0)
        slots = np.arange(self.params.n_slots)
        return np.asarray(slots <= latest[:, :, None])

    @cached_property
    def closes(self) -> Bools:
        """[T, K] true where slot 0 closes at the end of the snapshot."""
        return np.asarray(self.p.closes[self.step_phase[self.first + self.span - 1]] > 0)

    @cached_property
    def next_slot(self) -> Ints:
        """[T, K, S] slot in which what is kept appears at the next snapshot; −1 where it is missed."""
        return np.arange(self.params.n_slots) - self.closes[:, :, None].astype(np.int64)

    @cached_property
    def room_mwh(self) -> Array:
        """[T, R, P] work the pools can do: capacity · availability."""
        return np.asarray(self.p.capacity_mwh * (self.row.site_availability * self.span[:, None])[:, :, None])

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
        return np.asarray(self.p.connection_mwh * self.row.grid_availability * self.span[:, None])

    @cached_property
    def export_max_mwh(self) -> Array:
        """[T, R] min(export_fraction·green, export limit·availability)."""
        meter = self.p.export_limit_mwh * self.row.grid_availability * self.span[:, None]
        return np.asarray(np.minimum(self.p.export_fraction * self.row.green_mwh, meter))

    @cached_property
    def link_gb(self) -> Array:
        """[T, L] data the links carry in a snapshot."""
        return np.asarray(self.p.link_gb * self.row.link_availability * self.span[:, None])

    @cached_property
    def sync_gb(self) -> Array:
        """[T, L] data that arriving work sends to its replicas, within what the links carry."""
        wanted = (self.row.next_arrivals_mwh[:, self.p.link_source] * self.p.sync_gb_per_mwh).sum(axis=-1)
        return np.asarray(np.minimum(wanted, self.link_gb))

    @cached_property
    def grid_cost(self) -> Array:
        """[T, R] CNY per MWh of grid energy: price + adder + carbon."""
        carbon = self.p.carbon_price_cny_per_kg * self.row.carbon_kg_per_mwh
        return np.asarray(self.row.grid_price_cny_per_mwh + self.p.grid_adder_cny_per_mwh + carbon)

    @cached_property
    def reserve_price_cny_per_mwh(self) -> Array:
        """[R] what a MWh missing from the reserve costs in a step; 0 where none is to be held."""
        return np.where(self.p.reserve_mwh > 0, self.params.reserve_price_cny_per_mwh, 0.0)

    @property
    def futures(self) -> int:
        """Q: what may follow the window; 1 where nothing does."""
        return int(self.later.peak_mw.shape[-1])

    @cached_property
    def free_peak_mw(self) -> Array:
        """[R, Q] import that is billed anyway, in so many of the futures: max(peak so far, later peak)."""
        return np.maximum(self.peak_mw[:, None], self.later.peak_mw)

    @cached_property
    def free_owed_mwh(self) -> Array:
        """[R, A, Q] what may be owed at the end of the window before so many of the futures make it cost: −later."""
        return -self.later.owed_mwh[..., ::-1]

    @cached_property
    def alive_mwh(self) -> Array:
        """[T, K] no cohort can be larger: all work not yet due, grown by a restart in every step it may have moved."""
        life = np.asarray((self.p.slack * self.p.slots_used).max(axis=(0, 2)), dtype=np.int64)
        arrived = np.concatenate([self.backlog_mwh.sum(axis=(0, 2))[None], self.joining_mwh.sum(axis=(1, 3))])
        total = np.concatenate([np.zeros((1, len(life))), np.cumsum(arrived, axis=0)])
        snapshot = np.arange(self.steps)[:, None]
        first = np.maximum(snapshot - life, 0)
        alive = total[1:] - np.take_along_axis(total, first, axis=0)
        return np.asarray(alive * (1.0 + self.p.restart_overhead) ** np.minimum(snapshot, life))


def nothing_later(params: Params, futures: int = 1) -> Later:
    """No import and no duty after the window."""
    accounts = params.owed_price_cny_per_mwh.shape
    return Later(np.zeros((params.n_regions, futures)), np.zeros((*accounts, futures)))


def make_window(
    params: Params, state: State, rows: Row, terminal: Terminal | None = None, later: Later | None = None
) -> Window:
    """Cut a window.

    Args:
        params: what a step needs.
        state: a batch of one, before the first step of the window.
        rows: the world, snapshots `[T, …]` where a step has its batch.
        terminal: prices of what the window leaves; None where it ends with the episode, whose own prices count.
        later: what may follow a window; None: nothing that raises a peak or moves an account.
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
    p, row = Arrays(params), Arrays(rows)
    phase = (first + np.arange(steps)) % params.period
    window = Window(
        params=params,
        p=p,
        row=row,
        backlog_mwh=_first(state.backlog_mwh),
        soc_mwh=_first(state.soc_mwh),
        peak_mw=_first(state.peak_mw),
        owed_mwh=_first(state.owed_mwh),
        phase=phase,
        terminal=final_terminal(params) if terminal is None else terminal,
        span=np.ones(steps, dtype=np.int64),
        joining_mwh=row.next_arrivals_mwh[:-1, :, :, None] * p.joins[phase[1:]][:, None],
        later=nothing_later(params) if later is None else Later(*(np.sort(x, axis=-1) for x in later)),
    )
    if steps and np.any(np.where(window.used[0], 0.0, window.backlog_mwh) != 0.0):
        raise ConfigError("the initial backlog holds work in a slot that its class does not use at this phase")
    return window


def _first(tensor: object) -> Array:
    array = tensor[0].detach().cpu().numpy()  # type: ignore[index]
    return np.asarray(array, dtype=np.float64)
