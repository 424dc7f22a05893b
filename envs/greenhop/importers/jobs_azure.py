"""Azure traces: LLM inference (`TIMESTAMP, ContextTokens, GeneratedTokens`) or functions (`end_timestamp, duration`).

A request has no duration of note: it counts as length zero. Function calls are timed in seconds from the trace's start.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from greenhop.errors import ConfigError
from greenhop.importers.jobs import Jobs
from greenhop.importers.layout import Layout, TableOptions
from greenhop.importers.sheet import Sheet
from greenhop.importers.times import read_times


class AzureOptions(TableOptions):
    """`context_weight`: work of a token that is read relative to one that is written (assumption)."""

    context_weight: Annotated[float, Field(ge=0)] = 0.1
    """Work of a token that is read over that of one that is written; assumption."""
    start: datetime | None = None
    """Moment of time zero, with its offset; needed for function calls, whose times count from the trace's start."""


def read(path: Path, options: AzureOptions) -> Jobs:
    """Tell the two files apart by their columns."""
    sheet = options.sheet(path)
    if sheet.look("end_timestamp") is not None:
        return _functions(sheet, options)
    moments = [t[:26] if "." in t and "+" not in t else t for t in sheet.texts(sheet.find("TIMESTAMP"))]  # 100 ns ticks
    times = read_times(moments, sheet.lines, path, "UTC", sheet.repairs, options.time_format)
    context, written = (sheet.numbers(sheet.find(c)) for c in ("ContextTokens", "GeneratedTokens"))
    note = f"work = tokens written + {options.context_weight:g} × tokens read"
    seconds = times.seconds.astype(np.float64)
    size = options.context_weight * context + written
    return Jobs(path, sheet.lines, seconds, np.zeros(len(size)), size, sheet.repairs, (note,))


def _functions(sheet: Sheet, options: AzureOptions) -> Jobs:
    if options.start is None or options.start.tzinfo is None:
        raise ConfigError(f"{sheet.path}: times count from the trace's start; state it: options: {{start: …+00:00}}")
    end, duration = (sheet.numbers(sheet.find(c)) for c in ("end_timestamp", "duration"))
    arrival = options.start.timestamp() + end - duration
    return Jobs(sheet.path, sheet.lines, arrival, duration / 3600.0, duration, sheet.repairs, ("work = duration",))


LAYOUT = Layout("Azure LLM inference or functions, CSV", AzureOptions, read)
