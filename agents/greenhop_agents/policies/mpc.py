"""Model predictive control: each step solves the window ahead as a linear programme and applies its first step.

The window is `horizon_h` long, or ends with the episode. It starts from the present state (peak paid for and green gap
included), reads the present row exactly and later rows from an outlook, and ends in terminal prices:

- At the end of the episode, its own.
- Before that, the same prices for what is left: a MWh of waiting work costs the capacity-weighted mean tariff times
  the power it draws, a MWh stored earns its site's mean tariff times the efficiency of discharge.
- A peak serves until the episode ends, not only until the window does, so a window may pay for raising it only

      demand_fee · (steps of the window / steps left)^α.

  α = 1 fits where one day is like the next: a peak that pays today will pay tomorrow. α = 0, the whole fee, fits where
  high peaks come from single calm days. It is tuned on validation weeks, see `FEE_POWER` and docs/baselines.md.

With `futures`, learnt by `agent=planner`, a window ends in what peaks and debts cost then, see `futures.py`.

What it knows of the present is what is reported. Where that is not all of it (`observation.telemetry`), it takes the
report for the present, and the sites keep its plan as `paced` says: from what they have themselves.

Where the deadline clock stands as it stood a cycle before, the programme's columns, rows and places of coefficients are
taken from then and only its numbers (costs, bounds, right-hand sides, PUE coefficients) are computed. HiGHS gets the
programme whole, and the last basis moved along.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from time import process_time
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from greenhop.arrays import Ints
from greenhop.episode.carry import Carry
from greenhop.episode.simulator import Simulator
from greenhop.episode.telemetry import GAUGES
from greenhop.errors import ConfigError
from greenhop.lp.coarse import coarsen, spans
from greenhop.lp.model import Pattern, build
from greenhop.lp.replay import plan_at, plan_of
from greenhop.lp.solve import Options, Solver, SolverName
from greenhop.lp.window import Later, Window, episode_terminal, make_window, nothing_later
from greenhop.physics.objectives import raised
from greenhop.physics.params import Params
from greenhop.physics.state import Dispatch, Plan, Row, State
from greenhop.scenario.join import build_params
from greenhop_agents.policies.futures import Futures, day_of
from greenhop_agents.policies.on_site import paced
from greenhop_agents.policies.outlook import ForecastOutlook, Outlook, PerfectOutlook
from greenhop_agents.policies.policy import Policy

Batch = TypeVar("Batch", State, Row)
FEE_POWER = {"pair2": 1.0}  # α by scenario, tuned on weeks of split `val`; 0 elsewhere


@dataclass(frozen=True)
class MpcSettings:
    """How far a controller looks, how finely, and with which solver."""

    horizon_h: int = 24
    fine_h: int | None = None  # hours at full resolution, later ones in blocks; None: all of them
    fee_power: float | None = None  # α of the demand fee's share; None: the scenario's tuned one
    dispatch: bool = True  # take the power dispatch of the plan, not the merit order
    solver: SolverName = "simplex"  # the only one that a warm start helps

    def __post_init__(self) -> None:
        if self.horizon_h < 1 or (self.fine_h is not None and self.fine_h < 1):
            raise ConfigError(f"horizon_h = {self.horizon_h} and fine_h = {self.fine_h} must be at least 1 hour")


class Controller:
    """The controller of one environment: its solver keeps the last window, from which the next one starts."""

    def __init__(
        self,
        params: Params,
        settings: MpcSettings,
        patterns: dict[bytes, Pattern] | None = None,
        futures: Futures | None = None,
    ) -> None:
        self._params, self._settings, self._futures = params, settings, futures
        self._patterns = {} if patterns is None else patterns  # by the window's place on the clock
        self._solver = Solver(Options(solver=settings.solver))
        self._begins: Ints = np.zeros(0, dtype=np.int64)  # rows at which the snapshots of the last window begin

    def decide(self, state: State, rows: Row) -> Plan:
        """The first step of the best plan for the window of `rows` from `state`, a batch of one in float64."""
        row = int(state.world_row[0] + state.t[0])
        window = self._window(state, rows)
        clock = window.phase.tobytes() + window.span.tobytes()
        lp = build(window, self._patterns.get(clock))
        self._patterns[clock] = lp.pattern
        begins = row + np.concatenate([[0], np.cumsum(window.span)[:-1]]).astype(np.int64)
        if len(self._begins) and self._begins[0] < row <= self._begins[-1]:
            self._solver.advance(lp, np.searchsorted(self._begins, begins, side="right") - 1)
        else:
            self._solver.set(lp)
        self._begins = begins
        plan = plan_at(plan_of(window, lp, self._solver.run().x), 0)
        return plan if self._settings.dispatch else plan._replace(dispatch=None)

    def _fee_share(self, steps: int, left: int) -> float:
        """(steps of the window / steps left)^α."""
        given = self._settings.fee_power
        return float((steps / left) ** (FEE_POWER.get(self._params.name, 0.0) if given is None else given))

    def _later(self, futures: Futures, state: State, steps: int, left: int) -> Later:
        """What may follow the window; a window that ends the episode has as many segments, all empty but one."""
        if steps == left:
            return nothing_later(self._params, futures.count)
        return futures.after(int(state.t[0]) + steps, float(day_of(self._params, int(state.world_row[0]))))

    def _window(self, state: State, rows: Row) -> Window:
        steps, left = len(rows.green_mwh), self._params.steps - int(state.t[0])
        terminal = None if steps == left else episode_terminal(self._params)
        if self._futures is None:
            fee = self._params.demand_fee_cny_per_mw * self._fee_share(steps, left)
            params, later = replace(self._params, demand_fee_cny_per_mw=fee), None
        else:
            params, later = self._params, self._later(self._futures, state, steps, left)
        window = make_window(params, _inside(params, state), rows, terminal, later)
        if self._settings.fine_h is None:
            return window
        return coarsen(window, spans(window, round(self._settings.fine_h / params.dt_h)))


@dataclass
class Mpc:
    """One controller per environment of the batch, one after the other; `seconds` of CPU time each decision took."""

    name: str = "mpc"
    settings: MpcSettings = MpcSettings()
    perfect: bool = False
    prices: Mapping[str, float] = field(default_factory=dict)  # CNY it also counts per unit of an objective
    futures: Futures | None = None  # what is known of the time after the window
    seconds: list[float] = field(default_factory=list)

    def reset(self, sim: Simulator) -> None:
        """Forget all windows and times.

        Raises:
            ConfigError: the scenario's forecasts do not reach as far as the horizon.
        """
        covered = max(24, sim.scenario.forecast.horizon_h)
        if not self.perfect and self.settings.horizon_h > covered:
            raise ConfigError(
                f"horizon_h = {self.settings.horizon_h} is beyond the forecasts of {covered} h; "
                f"set scenario.forecast.horizon_h={self.settings.horizon_h}"
            )
        self._params = raised(build_params(sim.scenario, torch.float64), self.prices)
        self._outlook: Outlook = PerfectOutlook() if self.perfect else ForecastOutlook()
        self._controllers: dict[int, Controller] = {}
        self._patterns: dict[bytes, Pattern] = {}  # all environments share them
        self.seconds = []

    def decide(self, sim: Simulator, carry: Carry) -> Plan:
        """Solve the window of every environment."""
        told = sim.reported(carry)
        plans = [self._decide(sim, i, _one(told.state, i), _one(told.row, i)) for i in range(len(carry.state.t))]
        if (telemetry := sim.telemetry) is not None:
            plans = [paced(self._params, telemetry, _one(carry.state, i), plan) for i, plan in enumerate(plans)]
        return stack(plans, carry.packed)

    def _decide(self, sim: Simulator, i: int, state: State, row: Row) -> Plan:
        began = process_time()
        if i not in self._controllers:
            self._controllers[i] = Controller(self._params, self.settings, self._patterns, self.futures)
        horizon = round(self.settings.horizon_h / self._params.dt_h)
        steps = min(horizon, self._params.steps - int(state.t[0]))
        rows = self._outlook.rows(sim, int(state.world_row[0] + state.t[0]), steps)
        if sim.telemetry is None:
            plan = self._controllers[i].decide(state, rows)
        else:
            plan = self._controllers[i].decide(state, _reported(rows, row))
        self.seconds.append(process_time() - began)
        return plan


def stack(plans: list[Plan], like: Tensor) -> Plan:
    """Plans of single environments as the plan of a batch, with the dtype and device of `like`."""

    def joined(parts: list[Tensor]) -> Tensor:
        return torch.cat(parts).to(like)

    fields = {name: joined([getattr(p, name) for p in plans]) for name in Plan._fields if name != "dispatch"}
    powers = [p.dispatch for p in plans if p.dispatch is not None]
    dispatch = Dispatch(*(joined(list(parts)) for parts in zip(*powers, strict=True))) if powers else None
    return Plan(**fields, dispatch=dispatch)


def _one(batch: Batch, i: int) -> Batch:
    """Environment `i` of a batch, in float64 on the CPU."""
    parts = (x[i : i + 1].detach().cpu() for x in batch)
    return type(batch)(*(x.double() if x.is_floating_point() else x for x in parts))


def _reported(rows: Row, row: Row) -> Row:
    """Rows `[T, …]` whose first is `row` as far as it is told by telemetry."""
    return rows._replace(**{name: torch.cat((getattr(row, name), getattr(rows, name)[1:])) for name in GAUGES})


def _inside(params: Params, state: State) -> State:
    """The state without what rounding to float32 left outside the programme's limits."""
    phase = int(state.world_row[0] + state.t[0]) % params.period
    used = torch.arange(params.n_slots) <= params.joins[phase].argmax(-1)[:, None]
    soc = torch.minimum(torch.maximum(state.soc_mwh, params.soc_min_mwh), params.soc_max_mwh)
    return state._replace(backlog_mwh=state.backlog_mwh.clamp_min(0.0) * used, soc_mwh=soc)


PLANNERS: dict[str, Callable[[], Policy]] = {
    "mpc": Mpc,
    "mpc_perfect": lambda: Mpc("mpc_perfect", MpcSettings(horizon_h=48), perfect=True),
}
