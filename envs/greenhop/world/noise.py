"""Noise: autoregressive, in pulses, and correlated between places.

Correlated noise is mixed by a Cholesky factor whose row i reads only the places up to i, so that the noise of a place
does not depend on places after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate
from math import exp, sqrt
from typing import TYPE_CHECKING

import numpy as np
from numpy.random import Generator

from greenhop.arrays import Array
from greenhop.scenario.geo import great_circle_km

if TYPE_CHECKING:
    from greenhop.world.places import Place

NUGGET = 1e-6  # share of noise that two places never share, so that twins at one spot do not make the factor singular


def ar1(white: Array, phi: float) -> Array:
    """Stationary AR(1) of unit variance from independent normals: `x_t = φ·x_{t−1} + √(1−φ²)·w_t`, `x_0 = w_0`."""
    shock = white * np.sqrt(1.0 - phi * phi)
    shock[0] = white[0]
    return np.array(list(accumulate(shock.tolist(), lambda last, new: new + phi * last)))  # scipy.signal loads a second


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


@cache
def mixing(places: tuple[Place, ...], decay_km: float) -> tuple[tuple[float, ...], ...]:
    """Rows of the Cholesky factor of `exp(−d / decay_km)`; row by row, so that a row never depends on later places."""
    spots = np.array([(p.lat_deg, p.lon_deg) for p in places])
    km = great_circle_km(spots[:, None], spots[None, :])
    factor: list[tuple[float, ...]] = []
    for i in range(len(places)):
        row: list[float] = []
        for j in range(i):
            c = (1.0 - NUGGET) * exp(-float(km[i, j]) / decay_km)
            row.append((c - sum(a * b for a, b in zip(row, factor[j], strict=False))) / factor[j][j])
        row.append(sqrt(max(NUGGET, 1.0 - sum(a * a for a in row))))
        factor.append(tuple(row))
    return tuple(factor)


def correlated(
    draw: Callable[[Place], Array], places: tuple[Place, ...], wanted: Sequence[int], decay_km: float
) -> dict[int, Array]:
    """Noise of the `wanted` places, mixed from independent `draw`s so that it correlates as `exp(−d / decay_km)`.

    Summed one place after the other and never by a matrix product, whose order of summation depends on its size.
    """
    factor = mixing(places, decay_km)
    white = [draw(p) for p in places[: max(wanted) + 1]]
    out = {}
    for i in sorted(set(wanted)):
        total = factor[i][0] * white[0]
        for weight, noise in zip(factor[i][1:], white[1:], strict=False):
            total += weight * noise
        out[i] = total
    return out
