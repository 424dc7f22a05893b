"""Errors of a forecast that cannot leave a range: wider and shifted before clipping, so that the table holds after it.

A share x of its ceiling is forecast as clip(x + σ(x)·(Z + b), 0, 1) with σ(x) = k·√max(x·(1 − x), LEAST_SPREAD) and Z
standard normal. Clipping takes off part of the error and, where x lies near one end, moves its mean. For a given
distribution of x both follow in closed form from the moments of a censored normal. So for every lead k is chosen such
that the root mean square error is the table's, and b such that the mean error is zero.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from greenhop.arrays import Array

LEAST_SPREAD = 0.01  # even a calm or a cloudless hour is not forecast with certainty, assumption
MOST_WIDENING = 2.0  # of the table, where the range is too narrow for errors of that size, assumption
DAYLIGHT = 0.02  # ceilings below it do not count: the table is about daylight hours
SHARES = np.linspace(0.0, 1.0, 129)
WIDTHS = 2.0 * np.linspace(0.0, 1.0, 49) ** 2  # k
SHIFTS = np.linspace(-4.0, 4.0, 81)  # b


class Widening(NamedTuple):
    """What to make of errors with the table's standard deviation, `[leads, R]`."""

    sd: Array  # standard deviation before clipping
    mean: Array  # mean before clipping


def spread(actual: Array, ceiling: Array) -> Array:
    """`[N, R]` σ/k in the quantity's unit: largest halfway to the ceiling."""
    return np.asarray(np.sqrt(np.maximum(actual * (ceiling - actual), LEAST_SPREAD * ceiling * ceiling)))


def typical_spread(actual: Array, ceiling: Array) -> Array:
    """`[R]` root mean square of the spread over the hours that count."""
    counts = ceiling > DAYLIGHT
    total = (spread(actual, ceiling) ** 2 * counts).sum(axis=0)
    return np.asarray(np.sqrt(total / np.maximum(counts.sum(axis=0), 1)))


def widen(actual: Array, ceiling: Array, wanted: Array) -> Widening:
    """Errors before clipping that have the root mean squares `wanted` `[leads]` and no bias after it.

    Args:
        actual: `[N, R]` what happens.
        ceiling: `[N, R]` the most it can be.
        wanted: by lead, never falling.
    """
    error, squared = _censored()
    counts = ceiling > DAYLIGHT
    bias = error @ _histogram(actual, ceiling, ceiling)  # [k, b, R]
    square = squared @ (_histogram(actual, ceiling, ceiling**2 * counts) / np.maximum(counts.sum(axis=0), 1))
    shift, mean_square = _unbiased(bias, square)
    rms = np.maximum.accumulate(np.sqrt(mean_square), axis=0)
    unit = np.maximum(typical_spread(actual, ceiling), 1e-9)
    sd, mean = np.empty((2, len(wanted), actual.shape[1]))
    for r in range(actual.shape[1]):
        k = np.minimum(np.interp(wanted, rms[:, r], WIDTHS), MOST_WIDENING * wanted / unit[r])
        sd[:, r] = k * unit[r]
        mean[:, r] = sd[:, r] * np.interp(k, WIDTHS, shift[:, r])
    return Widening(sd, mean)


def widened(error: NDArray[np.float32], table_sd: Array, to: Widening) -> NDArray[np.float32]:
    """Errors `[leads, hours, R]` with `table_sd` `[leads]`, made as wide as `to` says and given its mean.

    The news of every lead is scaled on its own, so later forecasts still differ from earlier ones by news alone.
    """
    news = np.diff(table_sd**2)
    more = np.diff(to.sd**2, axis=0) / np.where(news > 0.0, news, 1.0)[:, None]
    growth = np.sqrt(np.where(news[:, None] > 0.0, np.maximum(more, 0.0), 0.0)).astype(np.float32)
    out = np.zeros_like(error)
    for j in range(1, len(error)):
        out[j] = out[j - 1] + growth[j - 1] * (error[j] - error[j - 1])
    out += to.mean[:, None].astype(np.float32)
    return out


@cache
def _censored() -> tuple[Array, Array]:
    """`[k, b, x]` mean error and mean square error of clip(x + σ·(Z + b), 0, 1)."""
    x = SHARES
    sd = np.maximum(WIDTHS[:, None, None] * np.sqrt(np.maximum(x * (1.0 - x), LEAST_SPREAD)), 1e-9)
    centre = x + sd * SHIFTS[:, None]
    low, high = -centre / sd, (1.0 - centre) / sd
    below, above = ndtr(low), ndtr(-high)
    inside = 1.0 - below - above
    at_low, at_high = (np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi) for z in (low, high))
    away = centre - x  # E[(y − x)·1] and E[(y − x)²·1] over y inside, then the two ends
    first = away * inside + sd * (at_low - at_high)
    second = (away**2 + sd**2) * inside + 2.0 * away * sd * (at_low - at_high) + sd**2 * (low * at_low - high * at_high)
    error = first - x * below + (1.0 - x) * above
    squared = second + x**2 * below + (1.0 - x) ** 2 * above
    return error, squared


def _histogram(actual: Array, ceiling: Array, weight: Array) -> Array:
    """`[x, R]` total weight of the hours in which a site has each share of its ceiling."""
    share = actual / np.where(ceiling > 0.0, ceiling, 1.0)
    node = np.rint(np.clip(share, 0.0, 1.0) * (len(SHARES) - 1)).astype(np.int64)
    columns = [np.bincount(n, w, minlength=len(SHARES)) for n, w in zip(node.T, weight.T, strict=True)]
    return np.stack(columns, axis=1)


def _unbiased(bias: Array, square: Array) -> tuple[Array, Array]:
    """`[k, R]` shift at which the bias `[k, b, R]` is zero, or nearest to it, and the mean square there."""
    right = np.clip((bias < 0.0).sum(axis=1, keepdims=True), 1, len(SHIFTS) - 1)
    left = right - 1
    from_left, from_right = (np.take_along_axis(bias, i, axis=1)[:, 0] for i in (left, right))
    part = np.clip(-from_left / np.maximum(from_right - from_left, 1e-12), 0.0, 1.0)
    shift = SHIFTS[left[:, 0]] + part * (SHIFTS[1] - SHIFTS[0])
    at_left, at_right = (np.take_along_axis(square, i, axis=1)[:, 0] for i in (left, right))
    return shift, (1.0 - part) * at_left + part * at_right
