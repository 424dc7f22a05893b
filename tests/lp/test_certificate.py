"""The certificate is a lower bound whatever duals it is given, and tight for good ones."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from greenhop.arrays import Array
from greenhop.lp.bound import bound
from greenhop.lp.certificate import certify
from greenhop.lp.model import LinearProgram, build
from greenhop.lp.solve import Options, Solution, solve
from greenhop.lp.window import make_window
from tests.lp.windows import Case, random_case, scenario_case, tiny_case, tiny_params

SIMPLEX = Options(solver="simplex")


def solved(case: Case, options: Options = SIMPLEX) -> tuple[LinearProgram, Solution]:
    lp = build(make_window(*case))
    return lp, solve(lp, options)


@pytest.mark.parametrize("seed", range(10))
def test_no_duals_prove_more_than_the_optimum(seed: int) -> None:
    lp, solution = solved(random_case(seed))
    optimum = lp.objective_cny(solution.x)
    rng = np.random.default_rng(seed)
    for size in (1e-6, 1e-3, 0.1, 1.0, 10.0):
        noise = size * rng.normal(size=len(solution.y)) * rng.choice([0.0, 1.0], len(solution.y))
        for y in (solution.y + noise, solution.y * (1.0 + noise), noise):
            assert certify(lp, y).lower_bound_cny <= optimum * (1.0 + 1e-9)


@pytest.mark.parametrize("solver", ["simplex", "ipx"])
def test_the_duals_of_the_solver_prove_the_optimum(solver: str) -> None:
    for case in (scenario_case("pair2", 0), scenario_case("tri3", 1), random_case(4)):
        lp, solution = solved(case, Options(solver=solver))  # type: ignore[arg-type]
        gap = lp.objective_cny(solution.x) - certify(lp, solution.y).lower_bound_cny
        assert gap <= 1e-7 * abs(lp.objective_cny(solution.x))


def test_an_early_stop_still_gives_a_valid_bound() -> None:
    case = scenario_case("tri3", 2)
    lp, solution = solved(case)
    early = certify(lp, solve(lp, Options(tolerance=1e-2)).y).lower_bound_cny
    optimum = lp.objective_cny(solution.x)
    assert 0.5 * optimum < early < optimum


def exact_dual_objective(lp: LinearProgram, y: Array) -> Fraction:
    """The dual objective in rational arithmetic, from the very same floats."""
    d = [Fraction(c) for c in lp.cost]
    for i, j, value in zip(lp.row, lp.column, lp.value, strict=True):
        d[j] -= Fraction(value) * Fraction(y[i])
    total = Fraction(lp.offset)
    for yi, low, high in zip(y, lp.row_lower, lp.row_upper, strict=True):
        total += Fraction(yi) * Fraction(low if yi > 0 else high) if yi else 0
    for dj, low, high in zip(d, lp.col_lower, lp.col_upper, strict=True):
        total += dj * Fraction(low if dj > 0 else high)
    return total * Fraction(lp.money_cny)


@pytest.mark.parametrize("seed", range(3))
def test_rounding_is_paid_for(seed: int) -> None:
    lp, solution = solved(random_case(seed, steps=4), Options())
    certificate = certify(lp, solution.y)
    exact = exact_dual_objective(lp, certificate.y)
    assert Fraction(certificate.lower_bound_cny) <= exact
    assert exact - Fraction(certificate.lower_bound_cny) <= Fraction(2.1 * certificate.rounding_cny)
    assert certificate.rounding_cny <= 1e-9 * abs(certificate.lower_bound_cny)


@pytest.mark.parametrize("seed", range(6))
def test_a_bigger_battery_never_raises_the_bound(seed: int) -> None:
    case = scenario_case("tri3" if seed % 2 else "pair2", seed)
    p = case.params
    wider = {name: 2.0 * getattr(p, name) for name in ("charge_limit_mwh", "discharge_limit_mwh", "soc_max_mwh")}
    small, big = bound(*case, SIMPLEX), bound(replace(p, **wider), case.state, case.rows, SIMPLEX)
    assert big.value <= small.value * (1.0 + 1e-9)


@pytest.mark.parametrize("family", ["power", "links", "work", "storage"])
def test_duals_are_subgradients_of_the_cost(family: str) -> None:
    """V(b + δ) ≥ V(b) + y·δ for any change of right-hand sides: here a little more in every row of a family."""
    case = scenario_case("tri3", 5)
    lp, solution = solved(case)
    certificate = certify(lp, solution.y)
    value = lp.objective_cny(solution.x) / lp.money_cny
    rows = lp.rows[family][lp.rows[family] >= 0]
    delta = np.zeros(lp.rows.size)
    delta[rows] = 1e-3 * np.random.default_rng(0).uniform(0, 1, len(rows))
    moved = replace(lp, row_lower=lp.row_lower + delta, row_upper=lp.row_upper + delta)
    after = solve(moved, SIMPLEX)
    assert moved.objective_cny(after.x) / lp.money_cny >= value + certificate.y @ delta - 1e-7 * abs(value)


def test_every_variable_has_finite_bounds_that_hold_the_optimum() -> None:
    for seed in range(6):
        lp, solution = solved(random_case(seed))
        assert np.isfinite(lp.col_lower).all()
        assert np.isfinite(lp.col_upper).all()
        assert (solution.x <= lp.col_upper + 1e-6).all()


def test_coefficients_are_of_order_one() -> None:
    for name in ("pair2", "tri3", "hub10"):
        lp = build(make_window(*scenario_case(name, 0)))
        size = np.abs(lp.value[lp.value != 0])
        assert size.min() > 5e-5  # an alternative pool draws nearly what the room it takes is worth: 0.0075 of a MWh
        assert size.max() < 32.0
        assert 1e-3 < np.median(np.abs(lp.cost[lp.cost != 0])) < 1e3


def test_an_empty_backlog_costs_nothing() -> None:
    result = bound(*tiny_case(tiny_params(), [[100.0], [50.0]], [[0.0]]), SIMPLEX)
    assert result.value == 0.0
    assert result.lower_bound == pytest.approx(0.0, abs=1e-6)
