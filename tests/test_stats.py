"""Statistics against hand-computed cases and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from greenhop.arrays import Array
from greenhop_agents.scoring.stats import (
    improvement_interval,
    interval,
    iqm,
    mean,
    median,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
    resampled,
)

SCORES = np.array([[0.0, 10.0, 20.0, 30.0], [40.0, 50.0, 60.0, 1000.0]])


def random_scores(runs: int = 5, episodes: int = 12) -> Array:
    return np.random.default_rng(7).normal(40.0, 15.0, size=(runs, episodes))


def test_aggregates_equal_those_computed_by_hand() -> None:
    assert iqm(SCORES) == pytest.approx((20 + 30 + 40 + 50) / 4)  # two values cut from either end of eight
    assert mean(SCORES) == pytest.approx(151.25)
    assert median(SCORES) == pytest.approx(35.0)
    assert optimality_gap(SCORES) == pytest.approx((100 + 90 + 80 + 70 + 60 + 50 + 40 + 0) / 8)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 5), (5, 16)])
def test_iqm_is_the_trimmed_mean_of_scipy(shape: tuple[int, int]) -> None:
    scores = np.random.default_rng(3).normal(size=shape)
    assert iqm(scores) == pytest.approx(scipy_stats.trim_mean(scores, 0.25, axis=None))


def test_aggregates_of_a_stack_are_those_of_its_matrices() -> None:
    stack = np.random.default_rng(1).normal(size=(4, 3, 6))
    for statistic in (iqm, mean, median, optimality_gap):
        np.testing.assert_allclose(statistic(stack), [float(statistic(matrix)) for matrix in stack])


def test_probability_of_improvement_compares_runs_in_the_same_episode() -> None:
    x = np.array([[1.0, 5.0], [3.0, 5.0]])
    y = np.array([[2.0, 5.0]])
    assert probability_of_improvement(x, y) == pytest.approx((0.5 + 0.5) / 2)  # one win of two, then ties only
    shifted = y + np.array([100.0, 0.0])  # an easier episode for y alone is not made up for by another one
    assert probability_of_improvement(x, shifted) == pytest.approx((0.0 + 0.5) / 2)


def test_probability_of_improvement_is_mann_whitney_u_per_episode() -> None:
    x, y = random_scores(6, 3), random_scores(4, 3) - 3.0
    u = [scipy_stats.mannwhitneyu(x[:, e], y[:, e]).statistic / (6 * 4) for e in range(3)]
    assert probability_of_improvement(x, y) == pytest.approx(np.mean(u))


def test_the_two_directions_of_improvement_add_up_to_one() -> None:
    x, y = random_scores(5, 8), random_scores(3, 8) + 2.0
    assert probability_of_improvement(x, y) + probability_of_improvement(y, x) == pytest.approx(1.0)
    there, back = improvement_interval(x, y), improvement_interval(y, x)
    assert there.low <= there.value <= there.high
    assert there.value == pytest.approx(1.0 - back.value)


def test_a_performance_profile_is_the_share_at_or_above_each_level() -> None:
    np.testing.assert_allclose(
        performance_profile(SCORES, np.array([-1.0, 20.0, 20.1, 1000.0])), [1, 6 / 8, 5 / 8, 1 / 8]
    )


def test_intervals_repeat_with_their_seed_and_hold_the_estimate() -> None:
    scores = random_scores()
    first = interval(scores, seed=4)
    assert first == interval(scores, seed=4)
    assert first != interval(scores, seed=5)
    assert first.low < first.value < first.high


def test_stratified_draws_stay_within_their_episode() -> None:
    scores = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    draws = resampled(scores, np.random.default_rng(0), 200, "stratified")
    assert draws.shape == (200, 3, 2)
    assert set(np.unique(draws[..., 0])) == {1.0, 2.0, 3.0}
    assert set(np.unique(draws[..., 1])) == {10.0, 20.0, 30.0}
    assert (draws[..., 0] * 10 != draws[..., 1]).any()  # strata are drawn independently


def test_paired_draws_take_whole_runs_and_whole_episodes() -> None:
    scores = np.add.outer([100.0, 200.0, 300.0], [1.0, 2.0, 3.0, 4.0])
    draws = resampled(scores, np.random.default_rng(0), 100, "paired")
    runs, episodes = draws // 100, draws % 100
    assert (runs == runs[:, :, :1]).all()
    assert (episodes == episodes[:, :1, :]).all()


def test_one_run_has_no_spread_over_seeds_but_one_over_episodes() -> None:
    scores = random_scores(1, 20)
    fixed = interval(scores, mean, "stratified")
    assert fixed.low == pytest.approx(fixed.high)
    assert interval(scores, mean, "paired").low < fixed.value


def test_intervals_agree_with_the_bootstrap_of_scipy() -> None:
    column = np.random.default_rng(11).normal(50.0, 10.0, size=(40, 1))  # one stratum: the plain bootstrap
    ours = interval(column, mean, "stratified", resamples=8000)
    oracle = scipy_stats.bootstrap(
        (column[:, 0],), np.mean, n_resamples=8000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert ours.low == pytest.approx(oracle.low, abs=0.15)
    assert ours.high == pytest.approx(oracle.high, abs=0.15)
