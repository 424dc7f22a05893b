"""From rows as they stand in a file to an hourly series without gaps: the only repairs there are, each one counted.

| repair | counted as |
|---|---|
| byte order mark removed | `byte_order_marks_removed` |
| a file sorted from new to old is turned round | `files_reversed` |
| a row that repeats the one before it is dropped | `duplicate_rows_dropped` |
| the second pass through the hour repeated in autumn is told from the first | `dst_repeated_rows_resolved` |
| an empty row for the hour skipped in spring is dropped | `dst_skipped_rows_dropped` |
| rows of 5 … 30 min are averaged to hours | `rows_averaged_to_hours` |
| rows off the whole hour (zones at +05:30) are split over the two hours they cover | `rows_split_over_two_hours` |
| gaps of at most `max_gap_h` are filled by a straight line | `hours_interpolated` |
| empty hours at either end are cut off | `empty_hours_cut_at_ends` |
| outputs a little below zero (a plant's own use) or above capacity are clipped | `values_clipped_to_zero`, `…_to_one` |

Everything else is a `DataError` that names the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from greenhop.importers.files import Bools, Floats, Ints, Repairs, bad
from greenhop.importers.times import Times

HOUR_S = 3600
STEPS_S = (300, 600, 900, 1800, 3600)


@dataclass(frozen=True)
class Spot:
    """Where a series was recorded, as far as the file says."""

    lat_deg: float | None = None
    lon_deg: float | None = None
    altitude_m: float = 0.0


@dataclass(frozen=True)
class Samples:
    """Rows of a file. A value belongs to the time from its `seconds` to the next row's; NaN is a missing value."""

    path: Path
    lines: Ints
    seconds: Ints
    values: Mapping[str, Floats]
    repairs: Repairs
    spot: Spot = Spot()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hourly:
    """Complete hourly series. `first_hour` counts hours since 1970 in UTC."""

    path: Path
    first_hour: int
    values: Mapping[str, Floats]
    repairs: Repairs
    spot: Spot = Spot()
    notes: tuple[str, ...] = field(default=())

    @property
    def hours(self) -> int:
        """Length of every series."""
        return len(next(iter(self.values.values())))

    def row(self, hour: int) -> str:
        """How errors name an hour."""
        return str(self.time[hour])

    @property
    def time(self) -> pd.DatetimeIndex:
        """Starts of the hours, UTC."""
        seconds = (self.first_hour + np.arange(self.hours)) * HOUR_S
        return pd.DatetimeIndex(seconds.astype("datetime64[s]"), tz="UTC")

    def table(self, quantity: str, region: str) -> pd.DataFrame:
        """The tidy table: `time` (UTC, start of the hour), `region`, and the quantity."""
        return pd.DataFrame({"time": self.time, "region": region, quantity: self.values[quantity]})


def samples(
    path: Path,
    lines: Ints,
    times: Times,
    values: Mapping[str, Floats],
    repairs: Repairs,
    spot: Spot = Spot(),
    notes: tuple[str, ...] = (),
) -> Samples:
    """Rows with times; those of the hour skipped in spring must be empty and are dropped."""
    missing = np.all([np.isnan(v) for v in values.values()], axis=0)
    if (wrong := np.flatnonzero(times.skipped & ~missing)).size:
        bad(path, int(lines[wrong[0]]), "a value at a local time that does not exist (clocks go forward)")
    if times.skipped.any():
        repairs["dst_skipped_rows_dropped"] += int(times.skipped.sum())
    keep = ~times.skipped
    return Samples(path, lines[keep], times.seconds[keep], _masked(values, keep), repairs, spot, notes)


def to_hourly(rows: Samples, max_gap_h: int) -> Hourly:
    """Apply the repairs of this module, in the order of its table."""
    rows = _in_order(rows)
    step = _step(rows)
    if step < HOUR_S:
        first, values = _averaged(rows, step)
    else:
        first, values = _on_the_hour(rows)
    first, values = _cut(first, values, rows)
    filled = {name: _without_gaps(v, name, first, rows, max_gap_h) for name, v in values.items()}
    return Hourly(rows.path, first, filled, rows.repairs, rows.spot, rows.notes)


def _masked(values: Mapping[str, Floats], keep: Bools | Ints | slice) -> dict[str, Floats]:
    return {name: v[keep] for name, v in values.items()}


def _in_order(rows: Samples) -> Samples:
    if len(rows.seconds) < 2:
        bad(rows.path, None, "holds fewer than two rows of data")
    lines, seconds, values = rows.lines, rows.seconds, dict(rows.values)
    if (np.diff(seconds) < 0).all():
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
    return Samples(rows.path, lines[~same], seconds[~same], _masked(values, ~same), rows.repairs, rows.spot, rows.notes)


def _step(rows: Samples) -> int:
    apart = np.diff(rows.seconds)
    if not len(apart):
        bad(rows.path, None, "holds one time only")
    step = int(np.median(apart))
    if step not in STEPS_S:
        bad(rows.path, int(rows.lines[1]), f"rows are {step / 60:g} min apart; allowed: 5, 10, 15, 30 or 60")
    if (odd := np.flatnonzero(apart % step)).size:
        bad(
            rows.path,
            int(rows.lines[odd[0] + 1]),
            f"{apart[odd[0]] / 60:g} min after the row before; rows are {step // 60} min apart",
        )
    return step


def _averaged(rows: Samples, step: int) -> tuple[int, dict[str, Floats]]:
    """Means of the rows in each hour; an hour that lacks one is missing."""
    if (odd := np.flatnonzero(rows.seconds % step)).size:
        bad(rows.path, int(rows.lines[odd[0]]), f"not on a whole {step // 60} min")
    hour = rows.seconds // HOUR_S
    first, last = int(hour[0]), int(hour[-1])
    count = np.bincount(hour - first, minlength=last - first + 1)
    with np.errstate(invalid="ignore"):
        whole = np.where(count == HOUR_S // step, 1.0 / (HOUR_S // step), np.nan)
    rows.repairs["rows_averaged_to_hours"] += len(hour)
    sums = {n: np.bincount(hour - first, v, minlength=len(count)).astype(np.float64) for n, v in rows.values.items()}
    return first, {name: total * whole for name, total in sums.items()}


def _on_the_hour(rows: Samples) -> tuple[int, dict[str, Floats]]:
    """Rows on a regular hourly grid; off the whole hour each hour takes its part of the two rows that cover it."""
    hour = rows.seconds // HOUR_S
    part = float(rows.seconds[0] % HOUR_S) / HOUR_S
    first = int(hour[0])
    size = int(hour[-1]) - first + 1
    grid = {}
    for name, v in rows.values.items():
        grid[name] = np.full(size, np.nan)
        grid[name][hour - first] = v
    if part == 0.0:
        return first, grid
    rows.repairs["rows_split_over_two_hours"] += len(hour)
    return first + 1, {name: part * v[:-1] + (1.0 - part) * v[1:] for name, v in grid.items()}


def _cut(first: int, values: Mapping[str, Floats], rows: Samples) -> tuple[int, dict[str, Floats]]:
    """Cut hours at the ends where something is missing."""
    full = np.flatnonzero(np.all([~np.isnan(v) for v in values.values()], axis=0))
    if not len(full):
        bad(rows.path, None, f"no hour has a value of {', '.join(values)}")
    size = len(next(iter(values.values())))
    if lost := int(full[0]) + size - 1 - int(full[-1]):
        rows.repairs["empty_hours_cut_at_ends"] += lost
    return first + int(full[0]), _masked(values, slice(int(full[0]), int(full[-1]) + 1))


def _without_gaps(v: Floats, name: str, first: int, rows: Samples, max_gap_h: int) -> Floats:
    hole = np.isnan(v)
    if not hole.any():
        return v
    edges = np.diff(np.concatenate([[0], hole.astype(np.int64), [0]]))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    if (long := np.flatnonzero(ends - starts > max_gap_h)).size:
        at, length = int(starts[long[0]]), int(ends[long[0]] - starts[long[0]])
        before = int(np.searchsorted(rows.seconds, (first + at) * HOUR_S)) - 1
        when = np.datetime64((first + at) * HOUR_S, "s")
        bad(
            rows.path,
            int(rows.lines[before]),
            f"{name} is missing for {length} h from {when} UTC on; max_gap_h = {max_gap_h}",
        )
    rows.repairs["hours_interpolated"] += int(hole.sum())
    at_all = np.arange(len(v))
    return np.asarray(np.interp(at_all, at_all[~hole], v[~hole]), dtype=np.float64)
