"""Standard Workload Format: lines of 18 numbers, header lines that begin with `;`, of which UnixStartTime is used."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime
from pathlib import Path

import numpy as np

from greenhop.errors import ConfigError
from greenhop.importers.files import PLAIN, bad, read_text, to_numbers
from greenhop.importers.jobs import Jobs
from greenhop.importers.layout import Layout, Options
from greenhop.importers.sheet import check_last_line

FIELDS = 18
NUMBER, SUBMIT, WAIT, RUN, PROCS, WANTED, STATUS = 0, 1, 2, 3, 4, 7, 10  # processors used and asked for
PARTS = (2, 3, 4)  # a partial execution: to be continued, the last one, the last one that failed


class SwfOptions(Options):
    """`start` is the moment of time zero; needed where the header has no UnixStartTime."""

    start: datetime | None = None
    """Moment of time zero, with its offset; needed where the header has no UnixStartTime."""


def read(path: Path, options: SwfOptions) -> Jobs:
    """Jobs that never ran (run time or processors −1) are dropped and counted.

    So are partial executions of a job that also has a line of its own: that line holds their sum.
    """
    repairs: Counter[str] = Counter()
    text = read_text(path, repairs)
    zero = _zero(text, path, options)
    numbered = [(i, x.split()) for i, x in enumerate(text.splitlines(), 1) if x.strip() and not x.startswith(";")]
    for line, row in numbered:
        if len(row) != FIELDS:
            bad(path, line, f"{len(row)} fields; SWF has {FIELDS}")
    if not numbered:
        bad(path, None, "holds no jobs")
    lines = np.array([line for line, _ in numbered], dtype=np.int64)
    check_last_line(text, [row for _, row in numbered], path, int(lines[-1]), repairs, PLAIN)
    number, submit, wait, run, used, wanted, status = (
        to_numbers((row[i] for _, row in numbered), lines, path, f"field {i + 1}")
        for i in (NUMBER, SUBMIT, WAIT, RUN, PROCS, WANTED, STATUS)
    )
    procs = np.where(used > 0, used, wanted)
    length = run / 3600.0
    part = np.isin(status, PARTS)
    whole = ~part | ~np.isin(number, number[~part])
    notes = ("work = run time × processors",)
    jobs = Jobs(path, lines, zero + submit, length, length * procs, repairs, notes, np.maximum(wait, 0.0) / 3600.0)
    ran = (run >= 0) & (procs > 0)
    return jobs.kept(whole, "partial_executions_dropped").kept(ran[whole], "jobs_that_never_ran_dropped")


def _zero(text: str, path: Path, options: SwfOptions) -> float:
    if options.start is not None and options.start.tzinfo is not None:
        return options.start.timestamp()
    match = re.search(r"^;\s*UnixStartTime:\s*(\d+)", text, re.MULTILINE)
    if match is None:
        raise ConfigError(
            f"{path}: no UnixStartTime in the header; state it: options: {{start: 2020-01-01T00:00+00:00}}"
        )
    return float(match[1])


LAYOUT = Layout("Standard Workload Format", SwfOptions, read)
