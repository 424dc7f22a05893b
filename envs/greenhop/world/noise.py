"""Autoregressive noise."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from scipy.signal import lfilter

from greenhop.arrays import Array


def ar1(white: Array, phi: float) -> Array:
    """Stationary AR(1) of unit variance along the last axis: `x_t = φ·x_{t−1} + √(1−φ²)·w_t`, `x_0 = w_0`."""
    shock = white * np.sqrt(1.0 - phi * phi)
    shock[..., 0] = white[..., 0]
    out: Array = lfilter([1.0], [1.0, -phi], shock, axis=-1)
    return out


def pulses(rng: Generator, rows: int, per_row: float, length: Array | None, mean_rows: float, height: Array) -> Array:
    """Sum of rectangular pulses that start at random.

    Args:
        rng: source of start rows.
        rows: length of the series.
        per_row: expected number of starts per row.
        length: `[m]` durations in rows, at least as many as can be drawn; `None` for `mean_rows` each.
        mean_rows: duration of every pulse if `length` is `None`.
        height: `[m]` heights.
    """
    count = min(int(rng.poisson(per_row * rows)), len(height))
    start = rng.integers(0, rows, count)
    lasting = np.full(count, round(mean_rows)) if length is None else np.maximum(1, np.rint(length[:count])).astype(int)
    steps = np.zeros(rows + 1)
    np.add.at(steps, start, height[:count])
    np.add.at(steps, np.minimum(start + lasting, rows), -height[:count])
    out: Array = np.cumsum(steps)[:rows]
    return out
