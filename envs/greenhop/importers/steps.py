"""How long each row of a file lasts, also where the step changes on the way.

European prices went from 60 to 15 minutes in October 2025, Australian ones from 30 to 5 in October 2021. A step is
believed where it holds for `FIRM` rows in a row (in a short file the most frequent one). What is longer in between is a
gap; what is shorter or no multiple is an error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from greenhop.arrays import Bools, Ints
from greenhop.importers.files import bad
from greenhop.importers.samples import Samples

HOUR_S = 3600
STEPS_S = (300, 600, 900, 1800, 3600)
FIRM = 24  # rows: a day of hours


@dataclass(frozen=True)
class Spans:
    """Seconds from each row's time to its end `after`, and for rows stamped at their end from their start `before`."""

    after: Ints
    before: Ints


def spans(rows: Samples) -> Spans:
    """Spans of rows that are in order.

    Raises:
        DataError: rows are not 5 … 60 min apart, lie off the grid of their step, or change it for a few rows.
    """
    apart = np.diff(rows.seconds)
    if not len(apart):
        bad(rows.path, None, "holds one time only")
    firm = _firm(apart, rows)
    known = np.flatnonzero(firm)
    at = np.searchsorted(known, np.arange(len(apart)), side="right")  # how many are known up to each interval
    after = apart[known[np.maximum(at - 1, 0)]]  # of a row that a gap follows: the step before the gap
    before = apart[known[np.where(firm, at - 1, np.minimum(at, len(known) - 1))]]  # and the one after it
    for i in np.flatnonzero(~firm):
        if apart[i] % after[i]:
            steps = f"{apart[i] / 60:g} min after the row before; rows are {after[i] // 60} min apart"
            bad(rows.path, int(rows.lines[i + 1]), f"{steps}, and another step must hold for {FIRM} rows")
    if changes := int((np.diff(apart[known]) != 0).sum()):
        rows.repairs["step_changes_followed"] += changes
    found = Spans(np.append(after, after[-1]), np.append(before[0], before))
    odd = np.flatnonzero((found.after < HOUR_S) & (rows.seconds % found.after != 0))
    if len(odd):
        bad(rows.path, int(rows.lines[odd[0]]), f"not on a whole {found.after[odd[0]] // 60} min")
    return found


def _firm(apart: Ints, rows: Samples) -> Bools:
    """Intervals that are a step and not a gap."""
    steps, often = np.unique(apart, return_counts=True)
    main = int(steps[often.argmax()])
    if main not in STEPS_S:
        bad(rows.path, int(rows.lines[1]), f"rows are {main / 60:g} min apart; allowed: 5, 10, 15, 30 or 60")
    starts = np.flatnonzero(np.diff(apart, prepend=-1))
    lengths = np.diff(starts, append=len(apart))
    held = (np.repeat(lengths, lengths) >= FIRM) & np.isin(apart, STEPS_S)
    return np.asarray(held if held.any() else apart == main, dtype=np.bool_)
