"""A simplex basis moved along with a receding window: what was basic at snapshot t+1 is basic at t of the next."""

from __future__ import annotations

import highspy
import numpy as np
from numpy.typing import NDArray

from greenhop.lp.columns import Index, Layout
from greenhop.lp.model import LinearProgram

Status = NDArray[np.int64]
AT_LOWER = int(highspy.HighsBasisStatus.kLower)
BASIC = int(highspy.HighsBasisStatus.kBasic)


def moved_basis(basis: highspy.HighsBasis, old: LinearProgram, new: LinearProgram, source: Index) -> highspy.HighsBasis:
    """The basis of `old` for a window `new` whose snapshot t was (or was part of) snapshot `source[t]` of the old one.

    Slots are counted from each snapshot's own phase, so the same absolute snapshot has the same slots in both. Entries
    that only `new` has start at their lower bound (columns) or basic (rows). The result need not be square or regular:
    it is marked alien and HiGHS repairs it.
    """
    columns = np.array([int(s) for s in basis.col_status], dtype=np.int64)
    rows = np.array([int(s) for s in basis.row_status], dtype=np.int64)
    moved = highspy.HighsBasis()
    moved.col_status = _statuses(_move(columns, old.columns, new.columns, source, AT_LOWER))
    moved.row_status = _statuses(_move(rows, old.rows, new.rows, source, BASIC))
    moved.valid, moved.alien = True, True
    return moved


def _move(status: Status, old: Layout, new: Layout, source: Index, absent: int) -> Status:
    out = np.full(new.size, absent, dtype=np.int64)
    for name in new.names:
        here, there = new[name], old[name]
        if here.ndim > 1:
            there = there[source]
        both = (here >= 0) & (there >= 0)
        out[here[both]] = status[there[both]]
    return out


def _statuses(codes: Status) -> list[highspy.HighsBasisStatus]:
    by_code = {int(s): s for s in highspy.HighsBasisStatus.__members__.values()}
    return [by_code[code] for code in codes.tolist()]
