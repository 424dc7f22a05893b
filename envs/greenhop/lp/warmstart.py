"""A simplex basis moved along with a receding window: what was basic at snapshot t+1 is basic at t of the next."""

from __future__ import annotations

import highspy
import numpy as np
from numpy.typing import NDArray

from greenhop.arrays import Ints
from greenhop.lp.columns import Layout
from greenhop.lp.model import LinearProgram

WHOLE_WINDOW = ("accounts", "short", "peak_rise")  # families of several axes, of which none is the snapshots'
Status = NDArray[np.object_]  # HiGHS's own objects: turning thousands of them into numbers and back takes longer


def moved_basis(basis: highspy.HighsBasis, old: LinearProgram, new: LinearProgram, source: Ints) -> highspy.HighsBasis:
    """The basis of `old` for a window `new` whose snapshot t was (or was part of) snapshot `source[t]` of the old one.

    Slots are counted from each snapshot's own phase, so the same absolute snapshot has the same slots in both. Entries
    that only `new` has start at their lower bound (columns) or basic (rows). The result need not be square or regular:
    it is marked alien and HiGHS repairs it.
    """
    columns, rows = np.array(basis.col_status, dtype=object), np.array(basis.row_status, dtype=object)
    lower, basic = highspy.HighsBasisStatus.kLower, highspy.HighsBasisStatus.kBasic
    moved = highspy.HighsBasis()
    moved.col_status = _move(columns, old.columns, new.columns, source, lower).tolist()
    moved.row_status = _move(rows, old.rows, new.rows, source, basic).tolist()
    moved.valid, moved.alien = True, True
    return moved


def _move(status: Status, old: Layout, new: Layout, source: Ints, absent: highspy.HighsBasisStatus) -> Status:
    out = np.full(new.size, absent, dtype=object)
    for name in new.names:
        here, there = new[name], old[name]
        if here.ndim > 1 and name not in WHOLE_WINDOW:
            there = there[source]
        both = (here >= 0) & (there >= 0)
        out[here[both]] = status[there[both]]
    return out
