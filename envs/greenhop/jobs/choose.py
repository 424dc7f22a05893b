"""Which whole jobs fit under limits: greedy by priority, without a loop over jobs."""

from __future__ import annotations

import numpy as np

from greenhop.arrays import Array, Bools, Ints

PASSES = 4  # after each, jobs that no longer fit are passed over and those behind them are tried
SLACK = 1e-9  # MWh or GB by which a sum may exceed its limit: rounding


def fitting(need: Array, group: Ints, limit: Array, ready: Bools | None = None) -> Bools:
    """Jobs taken in their order while the sum of their needs stays within their group's limit.

    A job that does not fit is passed over for the ones behind it, in up to `PASSES` rounds.

    Args:
        need: `[N]` what each job takes, in order of priority.
        group: `[N]` group of each job.
        limit: `[G]` of each group; below 0 nothing fits.
        ready: `[N]` jobs to consider; all by default.

    Returns:
        `[N]` whether a job is taken.
    """
    taken = np.zeros(len(need), dtype=bool)
    open_ = np.flatnonzero(need <= limit[group] + SLACK if ready is None else ready & (need <= limit[group] + SLACK))
    open_ = open_[np.argsort(group[open_], kind="stable")]
    left = limit.astype(np.float64, copy=True)
    for _ in range(PASSES):
        if not len(open_):
            break
        g, n = group[open_], need[open_]
        within = _running_sum(n, g) <= left[g] + SLACK
        taken[open_[within]] = True
        left -= np.bincount(g[within], n[within], minlength=len(left))
        open_ = open_[~within]
        open_ = open_[need[open_] <= left[group[open_]] + SLACK]
    return taken


def _running_sum(values: Array, group: Ints) -> Array:
    """`[N]` sums from the first entry of a group to each of its entries; `group` is in order."""
    total = np.cumsum(values)
    first = np.flatnonzero(np.diff(group, prepend=group[0] - 1))
    before = np.repeat(total[first] - values[first], np.diff(first, append=len(group)))
    return np.asarray(total - before)
