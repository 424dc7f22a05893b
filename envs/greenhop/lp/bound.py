"""The clairvoyant bound: the cheapest an episode could have been, certified from below and replayed from above."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from greenhop.arrays import Array
from greenhop.errors import SolverError
from greenhop.lp.certificate import Certificate, certify
from greenhop.lp.model import LinearProgram, build
from greenhop.lp.replay import plan_of, replay
from greenhop.lp.solve import Options, solve
from greenhop.lp.window import Terminal, make_window
from greenhop.physics.params import Params
from greenhop.physics.state import Plan, Row, State


@dataclass(frozen=True)
class Bound:
    """Optimum of a window with perfect foresight, in CNY."""

    value: float  # what the solver's solution costs by the LP's own objective
    lower_bound: float  # proven: no policy costs less
    replay_cost: float  # what the plan costs in the simulator
    plan: Plan  # snapshot axis T where a step has its batch
    duals: dict[str, Array]  # nodal prices by family, see `prices`
    seconds: float  # CPU time in the solver
    iterations: int
    status: str

    @property
    def relative_gap(self) -> float:
        """(replay_cost − lower_bound)/|lower_bound|; below a bound of 1 CNY the difference itself."""
        return (self.replay_cost - self.lower_bound) / max(abs(self.lower_bound), 1.0)


def bound(
    params: Params,
    state: State,
    rows: Row,
    options: Options = Options(),  # noqa: B008 (frozen)
    terminal: Terminal | None = None,
) -> Bound:
    """Solve, certify and replay the window of `rows` `[T, …]` from `state` (a batch of one), all in float64.

    Args:
        params: what a step needs.
        state: a batch of one, before the first step of the window.
        rows: the world, snapshots `[T, …]` where a step has its batch.
        options: of the solver.
        terminal: prices of what the window leaves; None where it ends with the episode, whose own prices count.

    Raises:
        SolverError: infeasible, out of time, or a certified gap above `options.max_gap`.
    """
    window = make_window(params, state, rows, terminal)
    lp = build(window)
    solution = solve(lp, options)
    certificate = certify(lp, solution.y)
    value = lp.objective_cny(solution.x)
    plan = plan_of(window, lp, solution.x)
    replayed = replay(params, state, rows, plan, terminal).total_cny
    result = Bound(
        value=value,
        lower_bound=certificate.lower_bound_cny,
        replay_cost=replayed,
        plan=plan,
        duals=prices(lp, certificate),
        seconds=solution.seconds,
        iterations=solution.iterations,
        status=solution.status,
    )
    _check_gap(result, params, options)
    return result


def _check_gap(result: Bound, params: Params, options: Options) -> None:
    """Refuse what is not nearly optimal; windows that cost next to nothing are measured by the scenario's step cost."""
    allowed = options.max_gap * max(abs(result.lower_bound), params.cost_scale_cny)
    if not result.replay_cost - result.lower_bound <= allowed:
        raise SolverError(
            f"{options.solver} ended '{result.status}' with a certified gap of {result.relative_gap:.1e} above "
            f"max_gap = {options.max_gap:g}: tighten the tolerance or try another solver"
        )


def prices(lp: LinearProgram, certificate: Certificate) -> dict[str, Array]:
    """Duals by family: CNY by which the optimum rises per unit of right-hand side; 0 where a family has no entry.

    `power` [T, R] price of a MWh at the meter; `work` [T, R, K, S] cost of one more MWh waiting; `online` [T, R, Z] the
    same for online work; `links` [T, L] minus the rent of a GB; `storage` [T, U] minus the value of a MWh stored; and
    all other families of `constraints.py`. Beside them `capacity` [T, R, P], the rent (≥ 0) of a MWh of room in a pool.
    """
    rows = certificate.y * lp.money_cny / lp.row_unit
    rent = np.maximum(-certificate.d, 0.0) * lp.money_cny / lp.column_unit
    out = {name: lp.rows.read(rows, name) for name in lp.rows.names}
    return out | {"capacity": lp.columns.read(rent, "load")}
