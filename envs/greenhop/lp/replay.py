"""An LP solution as plans, run through the simulator's own `step` in float64: the cost must be what the LP said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from greenhop.arrays import Array
from greenhop.lp.columns import Layout
from greenhop.lp.model import LinearProgram
from greenhop.lp.window import Terminal, Window
from greenhop.physics.params import Params
from greenhop.physics.state import Dispatch, Flows, Plan, Row, State
from greenhop.physics.step import joining, step


class Replay(NamedTuple):
    """What the simulator made of a plan."""

    cost_cny: Tensor  # [T, len(COST_TERMS)]
    terminal_cny: float  # of a window that ends before its episode; the last step of an episode charges its own
    state: State  # after the last step

    @property
    def total_cny(self) -> float:
        """Sum over steps and terms, and what is left at the end of the window."""
        return float(self.cost_cny.sum()) + self.terminal_cny


def plan_of(w: Window, lp: LinearProgram, x: Array) -> Plan:
    """The plan of every snapshot as one `Plan` with the snapshot axis T where a step has its batch."""
    inside = np.clip(x, lp.col_lower, lp.col_upper) * lp.column_unit
    part = _Parts(lp.columns, inside)
    routed_in = _into_regions(w, part["route"])
    used, exported = part["green"], part["export"]
    return Plan(
        route_mwh=torch.from_numpy(part["route"]),
        serve_online_mwh=torch.from_numpy(part["serve_home"] + routed_in),
        migrate_mwh=torch.from_numpy(part["migrate"]),
        serve_mwh=torch.from_numpy(part["serve"]),
        charge_mwh=torch.from_numpy(part["charge"]),
        discharge_mwh=torch.from_numpy(part["discharge"]),
        spill_mwh=torch.from_numpy(_spill(w, lp, x)),
        alternative_mwh=torch.from_numpy(part["alternative"]),
        dispatch=Dispatch(
            ppa_mwh=torch.from_numpy(part["ppa"]),
            diesel_mwh=torch.from_numpy(part["diesel"]),
            export_mwh=torch.from_numpy(exported),
            curtail_mwh=torch.from_numpy(np.maximum(w.row.green_mwh - used - exported, 0.0)),
        ),
    )


class Replayed(NamedTuple):
    """One step of a plan, as a batch of one."""

    row: Row
    state: State  # after the step
    flows: Flows


def replayed(params: Params, state: State, rows: Row, plan: Plan) -> Iterator[Replayed]:
    """Run the plan `[T, …]` of every snapshot through `step`, from `state`, one after the other."""
    for t in range(rows.green_mwh.shape[0]):
        row = Row(*(x[t : t + 1] for x in rows))
        state, flows = step(params, state, plan_at(plan, t), row)
        yield Replayed(row, state, flows)


def replay(params: Params, state: State, rows: Row, plan: Plan, terminal: Terminal | None = None) -> Replay:
    """What a plan costs and leaves behind, in the dtype of `params`.

    Args:
        params: what a step needs.
        state: a batch of one, before the first step of the window.
        rows: the world, snapshots `[T, …]` where a step has its batch.
        plan: decisions `[T, …]`, clipped by the step as any other.
        terminal: prices of what the window leaves; None where it ends with the episode, whose own prices count.
    """
    costs = []
    for stepped in replayed(params, state, rows, plan):
        costs.append(stepped.flows.cost_cny[0])
        state = stepped.state
    left = 0.0 if terminal is None else _left(params, state, rows, terminal)
    return Replay(torch.stack(costs), left, state)


def plan_at(plan: Plan, t: int) -> Plan:
    """Snapshot `t` of a plan, as a batch of one."""
    dispatch = None if plan.dispatch is None else Dispatch(*(x[t : t + 1] for x in plan.dispatch))
    fields = {name: getattr(plan, name)[t : t + 1] for name in Plan._fields if name != "dispatch"}
    return Plan(**fields, dispatch=dispatch)


def _left(params: Params, state: State, rows: Row, terminal: Terminal) -> float:
    """Σ deferred·work_price + Σ (soc_start − soc)·soc_price; arrivals that have just joined are not deferred work."""
    phase = (state.world_row + state.t - 1) % params.period
    deferred = state.backlog_mwh - joining(params, rows.next_arrivals_mwh[-1:], phase)
    work = (deferred[0].numpy() * terminal.work_cny_per_mwh).sum()
    energy = ((params.soc_start_mwh - state.soc_mwh[0]).numpy() * terminal.soc_cny_per_mwh).sum()
    return float(work + energy)


def _into_regions(w: Window, flow: Array) -> Array:
    """[T, R, Z] sum over the links that enter each region of `flow` [T, L, Z]."""
    enters = np.eye(w.params.n_regions)[w.p.link_target]
    return np.asarray(np.einsum("lr,tlz->trz", enters.reshape(-1, w.params.n_regions), flow))


def _spill(w: Window, lp: LinearProgram, x: Array) -> Array:
    """[T, U] what the storage rows leave of their upper side: spill = σ·soc_min + inflow − (A·x)."""
    slack = np.where(np.isfinite(lp.row_upper), lp.row_upper, 0.0) - lp.times(x)
    return np.clip(lp.rows.read(slack * lp.row_unit, "storage"), 0.0, w.row.inflow_mwh)


class _Parts:
    def __init__(self, layout: Layout, flat: Array) -> None:
        self._layout, self._flat = layout, flat

    def __getitem__(self, name: str) -> Array:
        return self._layout.read(self._flat, name)
