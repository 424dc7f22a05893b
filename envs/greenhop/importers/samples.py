"""Rows of a file in order of time: turned round where a file runs backwards, rows that are there twice dropped."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from greenhop.arrays import Array, Ints
from greenhop.importers.files import Repairs, bad
from greenhop.importers.times import Times


@dataclass(frozen=True)
class Spot:
    """Where a series was recorded, as far as the file says."""

    lat_deg: float | None = None
    lon_deg: float | None = None
    altitude_m: float = 0.0


NOWHERE = Spot()


NOWHERE = Spot()


@dataclass(frozen=True)
class Samples:
    """Rows of a file. A value belongs to the time from its `seconds` on; NaN is a missing value.

    Quantities in `ending` belong to the time before it: their rows are stamped at the end of what they are the mean of.
    """

    path: Path
    lines: Ints
    seconds: Ints
    values: Mapping[str, Array]
    repairs: Repairs
    spot: Spot = NOWHERE
    notes: tuple[str, ...] = ()
    ending: frozenset[str] = frozenset()


def samples(
    path: Path,
    lines: Ints,
    times: Times,
    values: Mapping[str, Array],
    repairs: Repairs,
    spot: Spot = NOWHERE,
    notes: tuple[str, ...] = (),
    ending: Collection[str] = (),
) -> Samples:
    """Rows with times; those of the hour skipped in spring must be empty and are dropped."""
    missing = np.all([np.isnan(v) for v in values.values()], axis=0)
    if (wrong := np.flatnonzero(times.skipped & ~missing)).size:
        bad(path, int(lines[wrong[0]]), "a value at a local time that does not exist (clocks go forward)")
    if times.skipped.any():
        repairs["dst_skipped_rows_dropped"] += int(times.skipped.sum())
    keep = ~times.skipped
    kept = {name: v[keep] for name, v in values.items()}
    return Samples(path, lines[keep], times.seconds[keep], kept, repairs, spot, notes, frozenset(ending))


def in_order(rows: Samples) -> Samples:
    """The rows from old to new, each time once.

    Raises:
        DataError: fewer than two rows, times that go back, or one time with two values.
    """
    if len(rows.seconds) < 2:
        bad(rows.path, None, "holds fewer than two rows of data")
    lines, seconds, values = rows.lines, rows.seconds, dict(rows.values)
    apart = np.diff(seconds)
    if (apart <= 0).all() and (apart < 0).any():
        lines, seconds, values = lines[::-1], seconds[::-1], {n: v[::-1] for n, v in values.items()}
        rows.repairs["files_reversed"] += 1
    if (back := np.flatnonzero(np.diff(seconds) < 0)).size:
        bad(rows.path, int(lines[back[0] + 1]), "time goes back; sort the rows")
    same = np.concatenate([[False], np.diff(seconds) == 0])
    for i in np.flatnonzero(same):
        for name, v in values.items():
            if not (v[i] == v[i - 1] or (np.isnan(v[i]) and np.isnan(v[i - 1]))):
                bad(rows.path, int(lines[i]), f"the time of the row before with another {name}")
    if same.any():
        rows.repairs["duplicate_rows_dropped"] += int(same.sum())
    kept = {name: v[~same] for name, v in values.items()}
    return replace(rows, lines=lines[~same], seconds=seconds[~same], values=kept)
