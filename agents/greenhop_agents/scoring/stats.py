"""Statistics over matrices `[runs, episodes]` of scores, one row per training seed, one column per held-out episode.

Aggregates reduce the last two axes, so that a stack of resampled matrices `[N, runs, episodes]` is reduced at once.
Follows Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice" (NeurIPS 2021).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from greenhop.arrays import Array

Statistic = Callable[[Array], Array]
Scheme = Literal["stratified", "paired"]

RESAMPLES = 2000
CONFIDENCE = 0.95
BOUND_SCORE = 100.0  # score of the certified bound


class Interval(NamedTuple):
    """A point estimate and its bootstrap percentile interval."""

    value: float
    low: float
    high: float


def flat(scores: Array) -> Array:
    """`[..., runs · episodes]` of `[..., runs, episodes]`."""
    return scores.reshape(*scores.shape[:-2], -1)


def mean(scores: Array) -> Array:
    """Mean over runs and episodes."""
    return np.asarray(flat(scores).mean(-1))


def median(scores: Array) -> Array:
    """Median over runs and episodes."""
    return np.asarray(np.median(flat(scores), axis=-1))


def iqm(scores: Array) -> Array:
    """Interquartile mean: the mean of what is left after ⌊n/4⌋ values are cut from either end."""
    ordered = np.sort(flat(scores), axis=-1)
    n = ordered.shape[-1]
    return np.asarray(ordered[..., n // 4 : n - n // 4].mean(-1))


def optimality_gap(scores: Array, target: float = BOUND_SCORE) -> Array:
    """Mean shortfall to `target` (100: the certified bound), in points of score; what lies above it does not help."""
    return np.asarray(np.maximum(target - flat(scores), 0.0).mean(-1))


def probability_of_improvement(x: Array, y: Array) -> Array:
    """P(X > Y): share of pairs of runs in which x beats y in the same episode, a tie counting half."""
    a, b = x[..., :, None, :], y[..., None, :, :]
    return np.asarray(((a > b) + 0.5 * (a == b)).mean((-3, -2, -1)))


def performance_profile(scores: Array, levels: Array) -> Array:
    """`[levels]` share of runs and episodes that score at least each level."""
    return np.asarray((flat(scores)[..., None] >= levels).mean(-2))


def resampled(scores: Array, rng: np.random.Generator, resamples: int, scheme: Scheme) -> Array:
    """`[resamples, runs, episodes]` bootstrap matrices.

    `stratified`: every episode is a stratum, its runs are drawn again independently; the episodes are a fixed set.
    `paired`: whole runs and whole episodes are drawn again, for what new seeds and new weather would give.
    """
    runs, episodes = scores.shape
    if scheme == "stratified":
        drawn = rng.integers(runs, size=(resamples, runs, episodes))
        return np.take_along_axis(scores[None], drawn, axis=1)
    columns = rng.integers(episodes, size=(resamples, 1, episodes))
    return np.asarray(scores[rng.integers(runs, size=(resamples, runs, 1)), columns])


def interval(
    scores: Array, statistic: Statistic = iqm, scheme: Scheme = "paired", seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """The statistic of `scores` and its 95 % percentile bootstrap interval."""
    draws = statistic(resampled(scores, np.random.default_rng(seed), resamples, scheme))
    return _interval(float(statistic(scores)), draws)


def improvement_interval(x: Array, y: Array, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """P(X > Y) and its interval; the runs of either side are drawn on their own, the episodes together."""
    rng = np.random.default_rng(seed)
    columns = rng.integers(x.shape[1], size=(resamples, 1, x.shape[1]))
    drawn = [m[rng.integers(len(m), size=(resamples, len(m), 1)), columns] for m in (x, y)]
    return _interval(float(probability_of_improvement(x, y)), probability_of_improvement(*drawn))


def _interval(value: float, draws: Array) -> Interval:
    tail = 50.0 * (1.0 - CONFIDENCE)
    low, high = np.percentile(draws, [tail, 100.0 - tail])
    return Interval(value, float(low), float(high))
