"""The batched first-order solver: known optima, HiGHS's optima, and a certificate that never proves too much."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from greenhop.errors import ConfigError, SolverError
from greenhop.lp.certificate import certify
from greenhop.lp.first_order import FirstOrder, solve_many
from greenhop.lp.model import LinearProgram, build
from greenhop.lp.solve import Options, solve
from greenhop.lp.window import make_window
from tests.lp.windows import random_case, scenario_case, tiny_case, tiny_params, world_case


@cache
def days() -> list[tuple[LinearProgram, float]]:
    """Days of pair2 and their optima."""
    lps = [build(make_window(*world_case("pair2", episode))) for episode in (20, 220)]
    return [(lp, lp.objective_cny(solve(lp, Options(solver="simplex")).x)) for lp in lps]


def test_work_waits_for_the_cheap_hour() -> None:
    lp = build(make_window(*tiny_case(tiny_params(), [[100.0], [50.0]], [[0.0, 14.0]])))
    (found,) = solve_many([lp], FirstOrder(tolerance=1e-6))
    assert lp.objective_cny(found.x) == pytest.approx(10 * 50 + 4 * 100, rel=1e-5)
    assert certify(lp, found.y).lower_bound_cny == pytest.approx(900, rel=1e-5)


def test_days_cost_what_highs_says_and_are_certified_from_below() -> None:
    lps, optima = zip(*days(), strict=True)
    assert not np.array_equal(lps[0].value, lps[1].value)  # PUE differs within the batch
    for lp, optimum, found in zip(lps, optima, solve_many(lps, FirstOrder(tolerance=1e-3)), strict=True):
        assert lp.objective_cny(found.x) == pytest.approx(optimum, rel=5e-3)
        assert optimum * (1.0 - 5e-3) <= certify(lp, found.y).lower_bound_cny <= optimum * (1.0 + 1e-9)


def test_an_early_stop_still_gives_a_valid_bound() -> None:
    lps, optima = zip(*days(), strict=True)
    for lp, optimum, found in zip(lps, optima, solve_many(lps, FirstOrder(tolerance=0.1)), strict=True):
        assert 0.5 * optimum < certify(lp, found.y).lower_bound_cny < optimum


@pytest.mark.parametrize("seed", range(3))
def test_random_windows_are_solved_to_the_tolerance(seed: int) -> None:
    lp = build(make_window(*random_case(seed, steps=6)))
    optimum = lp.objective_cny(solve(lp, Options(solver="simplex")).x)
    (found,) = solve_many([lp], FirstOrder(tolerance=1e-4))
    assert lp.objective_cny(found.x) == pytest.approx(optimum, rel=1e-3)
    assert certify(lp, found.y).lower_bound_cny <= optimum * (1.0 + 1e-9)


def test_a_window_of_a_batch_is_solved_as_it_is_alone() -> None:
    lps = [lp for lp, _ in days()]
    options = FirstOrder(tolerance=2e-3)
    together = solve_many([*lps, lps[0]], options)
    assert np.allclose(together[0].x, together[2].x)
    for lp, found in zip(lps, together, strict=False):
        (alone,) = solve_many([lp], options)
        assert lp.objective_cny(found.x) == pytest.approx(lp.objective_cny(alone.x), rel=5e-3)


def test_too_few_iterations_are_an_error() -> None:
    with pytest.raises(SolverError, match="after 80 with 1 of 1 windows"):
        solve_many([days()[0][0]], FirstOrder(max_iterations=80))


def test_windows_of_two_shapes_are_refused() -> None:
    other = build(make_window(*scenario_case("pair2", 0, steps=5)))
    with pytest.raises(ConfigError, match="one shape"):
        solve_many([days()[0][0], other])
