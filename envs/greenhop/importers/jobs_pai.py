"""Alibaba PAI jobs: GAIA's CSV (`arrival_time, length, cpus`, hours) or `pai_task_table` without header.

Both count time from their own start, so the moment of it must be stated (`start`). The task table keeps the hour of day
and the weekday of UTC+8.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path

import numpy as np

from greenhop.errors import ConfigError
from greenhop.importers.files import bad, read_text, to_numbers
from greenhop.importers.jobs import Jobs
from greenhop.importers.layout import Layout, TextOptions
from greenhop.importers.sheet import check_last_line, sheet_of, split_rows

TASK_COLUMNS = 10  # job, task, instances, status, start, end, cpu, memory, gpu, gpu type: pai_task_table.header
PER_DEVICE = 100.0  # plan_gpu and plan_cpu are in percent of one device


class PaiOptions(TextOptions):
    """`start` is the moment of time zero, with its offset: `2020-07-01T00:00+08:00`."""

    start: datetime
    """Moment of time zero, with its offset: `2020-07-01T00:00+08:00`."""


def read(path: Path, options: PaiOptions) -> Jobs:
    """Tell the two files apart by their first row."""
    if options.start.tzinfo is None:
        raise ConfigError(f"{path}: options.start = {options.start.isoformat()} needs an offset, such as +08:00")
    zero = options.start.timestamp()
    repairs: Counter[str] = Counter()
    text = read_text(path, repairs, options.form)
    if "arrival_time" in text.partition("\n")[0]:
        sheet = sheet_of(text, path, 1, repairs, options.form)
        hours, length, cpus = (sheet.numbers(sheet.find(c)) for c in ("arrival_time", "length", "cpus"))
        return Jobs(path, sheet.lines, zero + hours * 3600.0, length, length * cpus, repairs, ("work = length × cpus",))
    return _tasks(text, path, zero, repairs, options)


def _tasks(text: str, path: Path, zero: float, repairs: Counter[str], options: PaiOptions) -> Jobs:
    rows, found = split_rows(text, path, 1, options.sep or ",")
    lines = np.array(found, dtype=np.int64)
    for row, line in zip(rows, lines, strict=True):
        if len(row) != TASK_COLUMNS:
            bad(
                path,
                int(line),
                f"{len(row)} cells; expected arrival_time,length,cpus or pai_task_table's {TASK_COLUMNS}",
            )
    check_last_line(text, rows, path, int(lines[-1]), repairs, options.form)
    count, start, end, cpu, gpu = (
        to_numbers((r[i] for r in rows), lines, path, f"cell {i + 1}", options.form) for i in (2, 4, 5, 6, 8)
    )
    devices = np.where(np.nan_to_num(gpu) > 0, np.nan_to_num(gpu), np.nan_to_num(cpu)) / PER_DEVICE
    length = (end - start) / 3600.0
    jobs = Jobs(path, lines, zero + start, length, length * devices * count, repairs, ("work = length × devices",))
    return jobs.kept(np.isfinite(length) & np.isfinite(count) & (length >= 0), "jobs_without_start_or_end_dropped")


LAYOUT = Layout("Alibaba PAI jobs, CSV", PaiOptions, read)
