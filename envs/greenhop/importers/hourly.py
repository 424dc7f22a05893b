"""From rows as they stand in a file to an hourly series without gaps: the only repairs there are, each one counted.

| repair | counted as |
|---|---|
| byte order mark removed | `byte_order_marks_removed` |
| a last line without line feed is kept (unless it is visibly cut off) | `last_lines_without_line_feed` |
| a file sorted from new to old is turned round | `files_reversed` |
| a row that repeats the one before it is dropped | `duplicate_rows_dropped` |
| the second pass through the hour repeated in autumn is told from the first | `dst_repeated_rows_resolved` |
| an empty row for the hour skipped in spring is dropped | `dst_skipped_rows_dropped` |
| a step that changes on the way is followed | `step_changes_followed` |
| rows of 5 … 30 min are averaged to hours | `rows_averaged_to_hours` |
| rows off the whole hour (zones at +05:30) are split over the two hours they cover | `rows_split_over_two_hours` |
| gaps of at most `max_gap_h` are filled by a straight line | `hours_interpolated` |
| empty hours at the ends, and at most one at each that lacks some rows, are cut off | `empty_hours_cut_at_ends` |
| outputs a little below zero (a plant's own use) or above capacity are clipped | `values_clipped_to_zero`, `…_to_one` |

Everything else is a `DataError` that names the row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd

from greenhop.arrays import Array, Bools, Ints
from greenhop.importers.files import Repairs, bad
from greenhop.importers.samples import NOWHERE, Samples, Spot, in_order
from greenhop.importers.steps import HOUR_S, Spans, spans

REPEATED_H = 54 * 168  # of a repeated profile: more than a year, so that every rule of splits finds its weeks


@dataclass(frozen=True)
class Hourly:
    """Complete hourly series. `first_hour` counts hours since 1970 in UTC; `lines` are the rows the hours begin in."""

    path: Path
    first_hour: int
    values: Mapping[str, Array]
    repairs: Repairs
    spot: Spot = NOWHERE
    notes: tuple[str, ...] = ()
    lines: Ints | None = None

    @property
    def hours(self) -> int:
        """Length of every series."""
        return len(next(iter(self.values.values())))

    def refuse(self, hour: int, message: str) -> NoReturn:
        """Raise an error about an hour, by the row it came from where one file is behind it."""
        bad(self.path, None if self.lines is None else int(self.lines[hour]), f"{self.time[hour]}: {message}")

    @property
    def time(self) -> pd.DatetimeIndex:
        """Starts of the hours, UTC."""
        seconds = (self.first_hour + np.arange(self.hours)) * HOUR_S
        return pd.DatetimeIndex(seconds.astype("datetime64[s]"), tz="UTC")

    def table(self, quantity: str, region: str) -> pd.DataFrame:
        """The tidy table: `time` (UTC, start of the hour), `region`, and the quantity."""
        return pd.DataFrame({"time": self.time, "region": region, quantity: self.values[quantity]})


@dataclass(frozen=True)
class _Grid:
    """Means over hours `[H]`, NaN where an hour is not fully covered, and the hours that are covered in part."""

    first_hour: int
    values: dict[str, Array]
    partly: dict[str, Bools]


def to_hourly(rows: Samples, max_gap_h: int) -> Hourly:
    """Apply the repairs of this module, in the order of its table."""
    rows = in_order(rows)
    grid = _means(rows, spans(rows))
    first, values = _cut(grid, rows)
    filled = {name: _without_gaps(v, name, first, rows, max_gap_h) for name, v in values.items()}
    ends = (first + 1 + np.arange(len(next(iter(filled.values()))))) * HOUR_S
    lines = rows.lines[np.maximum(np.searchsorted(rows.seconds, ends) - 1, 0)]
    return Hourly(rows.path, first, filled, rows.repairs, rows.spot, rows.notes, lines)


def _means(rows: Samples, span: Spans) -> _Grid:
    """The mean of what covers each hour."""
    fine, straddling = span.after < HOUR_S, rows.seconds % HOUR_S + span.after > HOUR_S
    if fine.any():
        rows.repairs["rows_averaged_to_hours"] += int(fine.sum())
    if straddling.any():
        rows.repairs["rows_split_over_two_hours"] += int(straddling.sum())
    begun, ended = (rows.seconds, span.after), (rows.seconds - span.before, span.before)
    start, length = ended if rows.ending.issuperset(rows.values) else begun
    first = int(start[0]) // HOUR_S
    size = int(start[-1] + length[-1] - 1) // HOUR_S - first + 1
    grid = _Grid(first, {}, {})
    for name, v in rows.values.items():
        start, length = ended if name in rows.ending else begun
        sums, covered = _spread(v, start - first * HOUR_S, length, size)
        grid.values[name] = np.where(covered == HOUR_S, sums, np.nan)
        grid.partly[name] = (covered > 0) & (covered < HOUR_S)
    return grid


def _spread(v: Array, start_s: Ints, length_s: Ints, size: int) -> tuple[Array, Array]:
    """Every hour's sum of the values in it, weighted by the share of the hour they cover, and the seconds covered."""
    there = ~np.isnan(v) & (start_s >= 0)  # before the first hour only quantities stamped at their end can begin
    v, start_s, length_s = v[there], start_s[there], length_s[there]
    hour, head = start_s // HOUR_S, np.minimum(length_s, HOUR_S - start_s % HOUR_S)
    tail = length_s - head
    sums, covered = np.zeros(size + 1), np.zeros(size + 1)
    for at, part in ((hour, head), (hour + 1, tail)):
        sums += np.bincount(at, v * (part / HOUR_S), minlength=size + 1)
        covered += np.bincount(at, part, minlength=size + 1)
    return sums[:size], covered[:size]


def _cut(grid: _Grid, rows: Samples) -> tuple[int, dict[str, Array]]:
    """Cut hours at the ends where something is missing; no more than one at each end may have had a value."""
    full = np.flatnonzero(np.all([~np.isnan(v) for v in grid.values.values()], axis=0))
    if not len(full):
        bad(rows.path, None, f"no hour has a value of {', '.join(grid.values)}")
    size = len(next(iter(grid.values.values())))
    inside = slice(int(full[0]), int(full[-1]) + 1)
    for name, partly in grid.partly.items():
        for found in (np.flatnonzero(partly[: inside.start]), np.flatnonzero(partly[inside.stop :]) + inside.stop):
            if len(found) > 1:
                _refuse_parts(name, (grid.first_hour + int(found[0])) * HOUR_S, len(found), rows)
    lost = size - (inside.stop - inside.start)
    if rows.repairs["rows_split_over_two_hours"]:  # whose first and last hour cannot be whole
        lost -= int(np.any([p[: inside.start] for p in grid.partly.values()], axis=0).sum())
        lost -= int(np.any([p[inside.stop :] for p in grid.partly.values()], axis=0).sum())
    if lost:
        rows.repairs["empty_hours_cut_at_ends"] += lost
    return grid.first_hour + inside.start, {name: v[inside] for name, v in grid.values.items()}


def _refuse_parts(name: str, second: int, count: int, rows: Samples) -> None:
    at = int(np.searchsorted(rows.seconds, second))
    when = np.datetime64(second, "s")
    bad(rows.path, int(rows.lines[at]), f"{count} hours from {when} UTC on have only a part of their rows of {name}")


def _without_gaps(v: Array, name: str, first: int, rows: Samples, max_gap_h: int) -> Array:
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


def added(parts: Sequence[Hourly]) -> Hourly:
    """The sum of series of one file over the hours that all of them have."""
    first = max(p.first_hour for p in parts)
    end = min(p.first_hour + p.hours for p in parts)
    whole = parts[0]
    if end <= first:
        bad(whole.path, None, "the parts to be added have no hour in common")
    if lost := max(p.first_hour + p.hours for p in parts) - min(p.first_hour for p in parts) - (end - first):
        whole.repairs["empty_hours_cut_at_ends"] += lost  # of one part or another
    cut = [{n: v[first - p.first_hour : end - p.first_hour] for n, v in p.values.items()} for p in parts]
    sums = {name: np.sum([c[name] for c in cut], axis=0) for name in whole.values}
    lines = None if whole.lines is None else whole.lines[first - whole.first_hour : end - whole.first_hour]
    return replace(whole, first_hour=first, values=sums, lines=lines)


def joined(parts: Sequence[Hourly], max_gap_h: int) -> Hourly:
    """One series from files that follow each other, such as one a year; where they overlap they must agree.

    Raises:
        DataError: other quantities, other values in one hour, or more than `max_gap_h` hours between two files.
    """
    parts = sorted(parts, key=lambda p: p.first_hour)
    first, end = parts[0].first_hour, max(p.first_hour + p.hours for p in parts)
    repairs: Repairs = Counter()
    values = {name: np.full(end - first, np.nan) for name in parts[0].values}
    for part in parts:
        if set(part.values) != set(values):
            bad(part.path, None, f"holds {', '.join(part.values)}; {parts[0].path.name} holds {', '.join(values)}")
        at = slice(part.first_hour - first, part.first_hour - first + part.hours)
        for name, v in part.values.items():
            before = values[name][at]
            if (odd := np.flatnonzero(~np.isnan(before) & ~np.isclose(before, v))).size:
                part.refuse(int(odd[0]), f"{name} = {v[odd[0]]:g}; the file before has {before[odd[0]]:g}")
            values[name][at] = v
        repairs.update(part.repairs)
    for name, v in values.items():
        if (hole := np.isnan(v)).any():
            _refuse_long_gap(parts, max_gap_h)
            repairs["hours_interpolated"] += int(hole.sum())
            values[name] = np.interp(np.arange(len(v)), np.flatnonzero(~hole), v[~hole])
    return Hourly(parts[0].path, first, values, repairs, parts[0].spot, parts[0].notes)


def _refuse_long_gap(parts: Sequence[Hourly], max_gap_h: int) -> None:
    end = parts[0].first_hour
    for part in parts:
        gap_h = part.first_hour - end
        if gap_h > max_gap_h:
            bad(part.path, None, f"begins {gap_h} h after the end of the file before; max_gap_h = {max_gap_h}")
        end = max(end, part.first_hour + part.hours)


def repeated(made: Hourly, period_h: int) -> Hourly:
    """A short record as a profile: the mean of every hour of the period, again and again for `REPEATED_H` hours.

    Raises:
        DataError: the record is shorter than the period.
    """
    if made.hours < period_h:
        bad(made.path, None, f"holds {made.hours} h; a profile of {period_h} h needs one period at least")
    hour = (made.first_hour + np.arange(made.hours)) % period_h
    later = (made.first_hour + np.arange(REPEATED_H)) % period_h
    count = np.bincount(hour, minlength=period_h)
    values = {n: (np.bincount(hour, v, minlength=period_h) / count)[later] for n, v in made.values.items()}
    note = f"{made.hours} h as a profile of {period_h} h, repeated: every split has the same"
    return replace(made, values=values, notes=(*made.notes, note), lines=None)
