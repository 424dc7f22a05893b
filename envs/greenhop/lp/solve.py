"""HiGHS: load a linear programme, change its numbers in place, solve it, and read primal and dual values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from time import process_time
from typing import Literal, get_args

import highspy
import numpy as np

from greenhop.arrays import Array, Ints
from greenhop.errors import ConfigError, SolverError
from greenhop.lp.model import LinearProgram
from greenhop.lp.warmstart import moved_basis

# how HiGHS continues from a moved basis, which is nearly feasible: primal simplex, on the programme as it is (its own
# scaling on top of ours and shifted bounds double the iterations, see docs/baselines.md)
WARM: Mapping[str, bool | int | float | str] = {
    "simplex_strategy": 4,
    "simplex_scale_strategy": 0,
    "primal_simplex_bound_perturbation_multiplier": 0.0,
}
SolverName = Literal["ipx", "simplex", "hipo", "pdlp"]
SOLVERS: tuple[SolverName, ...] = get_args(SolverName)


@dataclass(frozen=True)
class Options:
    """How to solve. `ipx` is HiGHS's first interior point; "ipm" would mean another one where extras are installed."""

    solver: SolverName = "ipx"
    crossover: bool = False  # a vertex costs more than the solution and nothing here needs one
    presolve: bool = True
    time_limit_s: float = 3600.0
    tolerance: float = 1e-8  # relative gap at which interior point stops
    max_gap: float = 1e-3  # certified relative gap above which a solution is refused
    log: bool = False


@dataclass(frozen=True)
class Solution:
    """What the solver claims, in the scaled units of the programme."""

    x: Array  # [n]
    y: Array  # [m] row duals: rise of the cost per unit of right-hand side
    status: str
    seconds: float  # CPU time: on one thread that is what an idle core takes
    iterations: int


class _Quiet(highspy.Highs):
    """A HiGHS object that does not print its banner: the flag must be set before the first call of any method."""

    def enableCallbacks(self) -> None:  # called by the constructor of the base
        self.setOptionValue("output_flag", False)
        super().enableCallbacks()  # type: ignore[no-untyped-call]


@cache
def available_solvers() -> tuple[SolverName, ...]:
    """The algorithms that the installed HiGHS has been built with."""
    highs = _Quiet()  # type: ignore[no-untyped-call]
    return tuple(s for s in SOLVERS if highs.setOptionValue("solver", s) != highspy.HighsStatus.kError)


def check_solver(name: str) -> None:
    """Refuse an algorithm that is not there.

    Raises:
        ConfigError: it, and those there are.
    """
    if name not in available_solvers():
        there = ", ".join(available_solvers())
        raise ConfigError(f"solver {name!r} is not part of the installed highspy; available: {there}")


class Solver:
    """One HiGHS object that keeps its model: `set` a window (in place where the shape allows) or `advance`, then `run`.

    A receding window has the shape of the window one clock period before, so an in-place controller keeps one solver
    per phase; `advance` needs only one solver and the simplex.
    """

    def __init__(self, options: Options = Options()) -> None:
        check_solver(options.solver)
        self.options = options
        self._lp: LinearProgram | None = None
        self._highs = _Quiet()  # type: ignore[no-untyped-call]
        self._cold = {key: self._highs.getOptionValue(key)[1] for key in WARM}
        self._choose(_highs_options(options))

    def set(self, lp: LinearProgram) -> None:
        """Load `lp`, or change numbers in place where the model already has its shape."""
        _refuse_nan(lp)
        if self._lp is not None and self._lp.same_shape(lp):
            self._update(self._lp, lp)
        else:
            self._load(lp)
        self._lp = lp

    def advance(self, lp: LinearProgram, source: Ints | None = None) -> None:
        """Load a later window; the simplex continues from the old basis, moved along.

        Snapshot t of the new window takes the basis of snapshot `source[t]` of the old one; by default it starts
        one snapshot later and its last snapshot repeats the old window's last. The scenario must be the same, the
        window may be shorter. Without a basis (first window, or interior point without crossover) this is `set`.
        """
        basis, old = self._highs.getBasis(), self._lp
        if old is None or not basis.valid or self.options.solver != "simplex":
            self.set(lp)
            return
        _refuse_nan(lp)
        self._load(lp)
        self._lp = lp
        if source is None:
            source = np.minimum(np.arange(len(lp.rows["power"])) + 1, len(old.rows["power"]) - 1)
        self._highs.setBasis(moved_basis(basis, old, lp, source))
        self._choose(WARM)

    def _choose(self, options: Mapping[str, bool | int | float | str]) -> None:
        for key, value in options.items():
            if self._highs.setOptionValue(key, value) == highspy.HighsStatus.kError:
                raise SolverError(f"HiGHS {self._highs.version()} does not know the option {key} = {value!r}")

    def _load(self, lp: LinearProgram) -> None:
        self._choose(self._cold)
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = lp.columns.size, lp.rows.size
        model.col_cost_, model.col_lower_, model.col_upper_ = lp.cost, lp.col_lower, _open_upper(lp)
        model.row_lower_, model.row_upper_ = lp.row_lower, lp.row_upper
        model.offset_ = lp.offset
        model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        model.a_matrix_.start_ = lp.starts
        model.a_matrix_.index_ = lp.row.astype(np.int32)
        model.a_matrix_.value_ = lp.value
        if self._highs.passModel(model) == highspy.HighsStatus.kError:
            raise SolverError("HiGHS refused the model: a coefficient is not finite or bounds cross")

    def _update(self, old: LinearProgram, new: LinearProgram) -> None:
        h, columns = self._highs, np.arange(new.columns.size, dtype=np.int32)
        h.changeColsCost(len(columns), columns, new.cost)
        h.changeColsBounds(len(columns), columns, new.col_lower, _open_upper(new))
        for i in np.flatnonzero((old.row_lower != new.row_lower) | (old.row_upper != new.row_upper)):
            h.changeRowBounds(int(i), float(new.row_lower[i]), float(new.row_upper[i]))
        h.changeObjectiveOffset(new.offset)
        for n in np.flatnonzero(old.value != new.value):
            h.changeCoeff(int(new.row[n]), int(new.column[n]), float(new.value[n]))

    def run(self) -> Solution:
        """Solve what was set.

        Raises:
            SolverError: infeasible, unbounded, out of time, or no solution at all. A solution whose accuracy the solver
                doubts is returned with status `unknown`: the certificate judges it.
        """
        start = process_time()
        self._highs.run()
        seconds = process_time() - start
        status = self._highs.getModelStatus()
        solution = self._highs.getSolution()
        usable = status in (highspy.HighsModelStatus.kOptimal, highspy.HighsModelStatus.kUnknown)
        if not usable or not (solution.value_valid and solution.dual_valid):
            raise SolverError(self._complaint(status, seconds))
        x, y = np.array(solution.col_value), np.array(solution.row_dual)
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise SolverError(self._complaint(status, seconds) + "; its solution is not finite")
        info = self._highs.getInfo()
        iterations = max(info.ipm_iteration_count, info.simplex_iteration_count, info.pdlp_iteration_count)
        name = "optimal" if status == highspy.HighsModelStatus.kOptimal else "unknown"
        return Solution(x, y, name, seconds, int(iterations))

    def _complaint(self, status: highspy.HighsModelStatus, seconds: float) -> str:
        lp, o = self._lp, self.options
        size = f"{lp.columns.size} columns, {lp.rows.size} rows" if lp is not None else "no model"
        reason = self._highs.modelStatusToString(status)
        advice = {
            highspy.HighsModelStatus.kTimeLimit: f"raise time_limit_s = {o.time_limit_s:g} or shorten the window",
            highspy.HighsModelStatus.kInfeasible: "check the initial state and the rows for values outside their range",
        }.get(status, "try another solver or tolerance")
        return f"{o.solver} ended with '{reason}' after {seconds:.1f} s ({size}); {advice}"


def solve(lp: LinearProgram, options: Options = Options()) -> Solution:
    """Solve one programme from scratch."""
    solver = Solver(options)
    solver.set(lp)
    return solver.run()


def _refuse_nan(lp: LinearProgram) -> None:
    """A NaN among costs, bounds or coefficients names its family; the solver would only say "error"."""
    by_column = np.isnan(lp.cost + lp.col_lower + lp.col_upper)
    by_row = np.isnan(lp.row_lower) | np.isnan(lp.row_upper)
    by_row[lp.row[np.isnan(lp.value)]] = True
    for layout, bad in ((lp.columns, by_column), (lp.rows, by_row)):
        for name in layout.names:
            if bad.any() and layout.read(bad.astype(np.float64), name).any():
                raise SolverError(f"a number of the family '{name}' is NaN: check the rows, the state and the prices")


def _open_upper(lp: LinearProgram) -> Array:
    """Upper bounds without those that follow from the rows, unless they fix the variable."""
    return np.where(lp.implied & (lp.col_upper > lp.col_lower), np.inf, lp.col_upper)


def _highs_options(o: Options) -> dict[str, bool | int | float | str]:
    options: dict[str, bool | int | float | str] = {
        "output_flag": o.log,
        "solver": o.solver,
        "run_crossover": "on" if o.crossover else "off",
        "presolve": "on" if o.presolve else "off",
        "threads": 1,
        "parallel": "off",
        "time_limit": o.time_limit_s,
        "ipm_optimality_tolerance": o.tolerance,
    }
    if o.solver == "pdlp":
        options["pdlp_optimality_tolerance"] = max(o.tolerance, 1e-10)
    return options
