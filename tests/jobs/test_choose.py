"""Whole jobs under limits: as a loop over jobs would choose them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from greenhop.jobs.choose import PASSES, fitting


@given(st.integers(0, 10_000), st.integers(0, 60), st.integers(1, 5))
def test_what_is_taken_fits_and_the_first_that_fit_are_taken(seed: int, n: int, groups: int) -> None:
    rng = np.random.default_rng(seed)
    need, group = rng.exponential(1.0, n), rng.integers(0, groups, n)
    limit = rng.exponential(6.0, groups) - 1.0
    taken = fitting(need, group, limit)
    for g in range(groups):
        mine = np.flatnonzero(group == g)
        assert need[mine[taken[mine]]].sum() <= max(limit[g], 0.0) + 1e-6
        prefix = np.cumsum(need[mine]) <= limit[g]
        assert taken[mine[prefix]].all()


@given(st.integers(0, 10_000))
def test_what_is_passed_over_would_not_have_fitted_where_rounds_suffice(seed: int) -> None:
    rng = np.random.default_rng(seed)
    need = rng.integers(1, 9, 5).astype(np.float64)
    limit = np.array([float(rng.integers(0, 30))])
    taken, left = fitting(need, np.zeros(5, dtype=np.int64), limit), float(limit[0])
    expected = []
    for x in need:
        expected.append(x <= left)
        left -= x if x <= left else 0.0
    assert PASSES >= 4
    assert taken.tolist() == expected


def test_jobs_that_are_not_ready_are_left() -> None:
    taken = fitting(np.ones(3), np.zeros(3, dtype=np.int64), np.array([2.0]), np.array([False, True, True]))
    assert taken.tolist() == [False, True, True]
