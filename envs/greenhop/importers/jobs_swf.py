"""Standard Workload Format: lines of 18 numbers, header lines that begin with `;`, of which UnixStartTime is used."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime
from pathlib import Path

import numpy as np

from greenhop.errors import ConfigError
from greenhop.importers.files import bad, read_text, to_numbers
from greenhop.importers.jobs import Jobs
from greenhop.importers.layout import Layout, Options

FIELDS = 18
SUBMIT, RUN, PROCS, WANTED = 1, 3, 4, 7  # submit time, run time, processors used and asked for


class SwfOptions(Options):
    """`start` is the moment of time zero; needed where the header has no UnixStartTime."""

    start: datetime | None = None
    """Moment of time zero, with its offset; needed where the header has no UnixStartTime."""


def read(path: Path, options: SwfOptions) -> Jobs:
    """Jobs that never ran (run time or processors −1) are dropped and counted."""
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
    submit, run, used, wanted = (
        to_numbers((row[i] for _, row in numbered), lines, path, f"field {i + 1}") for i in (SUBMIT, RUN, PROCS, WANTED)
    )
    procs = np.where(used > 0, used, wanted)
    length = run / 3600.0
    jobs = Jobs(path, lines, zero + submit, length, length * procs, repairs, ("work = run time × processors",))
    return jobs.kept((run >= 0) & (procs > 0), "jobs_that_never_ran_dropped")


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
