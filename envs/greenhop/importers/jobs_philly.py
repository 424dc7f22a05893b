"""Microsoft Philly: `cluster_job_log`, a JSON list of jobs with their attempts (github.com/msr-fiddle/philly-traces).

A job is placed once or several times, each time on the GPUs of one or more servers; what it did is the sum over its
attempts. Times carry no offset: those of the trace's other tables are Pacific ones (PDT, PST).
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from greenhop.importers.files import Repairs, bad, read_text
from greenhop.importers.jobs import Jobs
from greenhop.importers.layout import Layout, Options
from greenhop.importers.times import zone_of

KEYS = {"jobid", "submitted_time", "attempts"}
NEVER = (None, "", "None")  # what stands for a time that was not recorded


class PhillyOptions(Options):
    """`timezone` is the clock of the cluster."""

    timezone: str = "America/Los_Angeles"
    """Zone of the times, which have no offset."""


def read(path: Path, options: PhillyOptions) -> Jobs:
    """Attempts without begin or end are left out and counted; jobs without any other never ran."""
    repairs: Repairs = Counter()
    jobs = _entries(path, repairs)
    zone = zone_of(options.timezone)

    def seconds(text: Any, number: int) -> float:
        if text in NEVER:
            return float("nan")
        try:
            return datetime.fromisoformat(str(text)).replace(tzinfo=zone).timestamp()
        except ValueError:
            bad(path, number, f"{text!r} is not a time")

    lines = np.arange(1, len(jobs) + 1)
    submit, wait, length, size = (np.zeros(len(jobs)) for _ in range(4))
    for i, job in enumerate(jobs):
        number, first = i + 1, float("inf")
        submit[i] = seconds(job["submitted_time"], number)
        if np.isnan(submit[i]):
            bad(path, number, "a job without submitted_time")
        for attempt in job["attempts"]:
            begin, end = (seconds(attempt.get(key), number) for key in ("start_time", "end_time"))
            if np.isnan(begin) or np.isnan(end):
                repairs["attempts_without_begin_or_end_left_out"] += 1
                continue
            if end < begin:
                bad(path, number, f"an attempt ends ({attempt['end_time']}) before it begins ({attempt['start_time']})")
            hours = (end - begin) / 3600.0
            length[i] += hours
            size[i] += hours * sum(len(server["gpus"]) for server in attempt.get("detail", ()))
            first = min(first, begin)
        wait[i] = max(first - submit[i], 0.0) / 3600.0 if np.isfinite(first) else 0.0
    made = Jobs(path, lines, submit, length, size, repairs, ("work = sum of attempts × GPUs; rows are jobs",), wait)
    return made.kept((length > 0.0) & (size > 0.0), "jobs_that_never_ran_dropped")


def _entries(path: Path, repairs: Repairs) -> list[dict[str, Any]]:
    """The jobs as they stand in the file."""
    try:
        data = json.loads(read_text(path, repairs))
    except json.JSONDecodeError as error:
        bad(path, error.lineno, f"not JSON ({error.msg})")
    if not isinstance(data, list) or not data:
        bad(path, None, "expected a list of jobs, as in Philly's cluster_job_log")
    for number, job in enumerate(data, 1):
        if not isinstance(job, dict) or not set(job) >= KEYS or not isinstance(job["attempts"], list):
            bad(path, number, f"expected a job with {', '.join(sorted(KEYS))}")
    return data


LAYOUT = Layout("Microsoft Philly cluster_job_log, JSON", PhillyOptions, read)
