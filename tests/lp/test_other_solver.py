"""A second opinion: the programme written as plain loops, modelled by CVXPY, solved by Clarabel, which is not HiGHS."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from greenhop.lp.bound import bound
from tests.lp.naive import Loops, naive_programme
from tests.lp.windows import Case, random_case, scenario_case, world_case

cvxpy = pytest.importorskip("cvxpy", reason="CVXPY is in the dev extra")
pytest.importorskip("clarabel", reason="Clarabel is in the dev extra")

WINDOWS = [(random_case, seed) for seed in range(6)] + [
    (lambda i: scenario_case("tri3", i), 1),
    (lambda i: world_case("pair2", i), 20),
    (lambda i: world_case("pair2", i), 200),
    (lambda i: world_case("tri3", i), 300),
]


@pytest.mark.parametrize(("window", "seed"), WINDOWS)
def test_another_modeller_and_another_solver_find_the_same_optimum(window: Any, seed: int) -> None:
    case: Case = window(seed)
    value, residual = by_clarabel(naive_programme(case))
    assert residual <= 1e-6
    assert bound(*case).value == pytest.approx(value, rel=1e-6)


def by_clarabel(m: Loops) -> tuple[float, float]:
    """Optimum, and the largest violation of any constraint relative to the size of its terms, recomputed here."""
    sides = m.matrices()
    x = cvxpy.Variable(len(m.cost))
    low = np.array([a for a, _ in m.bounds])
    high = np.array([np.inf if b is None else b for _, b in m.bounds])
    capped = np.flatnonzero(np.isfinite(high))
    constraints = [sides["A_eq"] @ x == sides["b_eq"], sides["A_ub"] @ x <= sides["b_ub"], x >= low]
    constraints.append(x[capped] <= high[capped])
    problem = cvxpy.Problem(cvxpy.Minimize(np.array(m.cost) @ x / 1e4), constraints)
    problem.solve(solver=cvxpy.CLARABEL, tol_gap_rel=1e-10, tol_gap_abs=1e-9, tol_feas=1e-10, max_iter=500)
    assert problem.status == cvxpy.OPTIMAL
    point = np.asarray(x.value)
    violated = [
        np.abs(sides["A_eq"] @ point - sides["b_eq"]) / (1.0 + abs(sides["A_eq"]) @ np.abs(point)),
        np.maximum(sides["A_ub"] @ point - sides["b_ub"], 0.0) / (1.0 + abs(sides["A_ub"]) @ np.abs(point)),
        np.maximum(low - point, 0.0),
        np.maximum(point - high, 0.0) / (1.0 + np.abs(np.where(np.isfinite(high), high, 0.0))),
    ]
    return float(np.array(m.cost) @ point + m.constant), max(float(v.max()) for v in violated)
