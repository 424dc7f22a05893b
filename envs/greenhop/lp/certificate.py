"""A lower bound on the optimum that holds for any row duals, computed here and not taken from the solver.

For every y and every x with row_lower ≤ A·x ≤ row_upper and col_lower ≤ x ≤ col_upper,

    cost·x = y·(A·x) + d·x ≥ Σ_i min(y_i·row_lower_i, y_i·row_upper_i) + Σ_j min(d_j·col_lower_j, d_j·col_upper_j)

with d = cost − Aᵀ·y. A dual that points at an infinite side of its row is set to zero first; every variable has finite
bounds. What is left of the solver's inaccuracy thus lowers the bound and never breaks it. Rounding is paid for by an
explicit a-priori error term.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from greenhop.arrays import Array
from greenhop.lp.model import LinearProgram

EPS = float(np.finfo(np.float64).eps)


class Certificate(NamedTuple):
    """A proven lower bound and the duals that prove it (scaled)."""

    lower_bound_cny: float
    rounding_cny: float  # what was subtracted for float64 rounding
    y: Array  # [m] sign-corrected row duals
    d: Array  # [n] reduced costs


def certify(lp: LinearProgram, y: Array) -> Certificate:
    """The dual objective of `lp` at (projected) row duals `y`, minus a bound on its rounding error."""
    y = project(lp, y)
    d = lp.cost - lp.transposed_times(y)
    rows = np.where(y > 0, y * np.where(y > 0, lp.row_lower, 0.0), y * np.where(y < 0, lp.row_upper, 0.0))
    columns = np.where(d > 0, d * lp.col_lower, d * lp.col_upper)
    value = float(rows.sum() + columns.sum()) + lp.offset
    error = _rounding(lp, y, rows, columns)
    money = lp.money_cny
    return Certificate((value - error) * money, error * money, y, d)


def project(lp: LinearProgram, y: Array) -> Array:
    """Zero the duals of an infinite side: a positive one needs a lower side, a negative one an upper side."""
    y = np.where((y > 0) & np.isneginf(lp.row_lower), 0.0, y)
    return np.where((y < 0) & np.isposinf(lp.row_upper), 0.0, y)


def _rounding(lp: LinearProgram, y: Array, rows: Array, columns: Array) -> float:
    """Bound on the float64 error of the dual objective.

    A sum of n products errs by at most n·eps·Σ|products| (doubled here, for terms of higher order). An error δ_j in d_j
    moves its term by at most δ_j·max(|col_lower_j|, |col_upper_j|).
    """
    entries = np.bincount(lp.column, minlength=lp.columns.size) + 2
    magnitude = np.abs(lp.cost) + np.bincount(
        lp.column, weights=np.abs(lp.value * y[lp.row]), minlength=lp.columns.size
    )
    reach = np.maximum(np.abs(lp.col_lower), np.abs(lp.col_upper))
    terms = float(np.abs(rows).sum() + np.abs(columns).sum()) + abs(lp.offset)
    depth = 2.0 * math.log2(len(rows) + len(columns) + 2) + 16.0  # pairwise summation in blocks of at most 128
    in_sums = EPS * (depth + 128.0) * terms
    return in_sums + 2.0 * EPS * float((entries * magnitude * reach).sum())
