"""From job traces to hourly arrivals of work by class, as MWh per MW of IT capacity.

All work of a job arrives in the hour it is submitted. Its size is duration × servers (or tokens); only proportions
count, because the classes together are scaled to a mean loading that the user states.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from greenhop.importers.files import Bools, Floats, Ints, Repairs, bad
from greenhop.importers.hourly import HOUR_S, Hourly

MOST_YEARS = 20


class ClassBounds(BaseModel):
    """Jobs of `min_length_h ≤ length < max_length_h` belong to the class."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    min_length_h: Annotated[float, Field(ge=0)] = 0.0
    """Jobs at least this long belong to the class, h."""
    max_length_h: Annotated[float, Field(gt=0)] = float("inf")
    """Jobs shorter than this belong to the class, h."""


class JobsConfig(BaseModel):
    """`mean_loading` is the work of all classes in an average hour as a share of IT capacity."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    mean_loading: Annotated[float, Field(gt=0, le=1)]
    """Work of all classes in an average hour, share of IT capacity: what the trace is scaled to."""
    classes: Annotated[dict[str, ClassBounds], Field(min_length=1)]
    """Class of the scenario → lengths of the jobs that belong to it."""

    @model_validator(mode="after")
    def _apart(self) -> JobsConfig:
        ordered = sorted(self.classes.items(), key=lambda item: item[1].min_length_h)
        for (a, first), (b, second) in pairwise(ordered):
            if second.min_length_h < first.max_length_h:
                raise ValueError(f"classes {a!r} and {b!r} overlap; give them min_length_h and max_length_h")
        return self


@dataclass(frozen=True)
class Jobs:
    """One entry per job, in any order."""

    path: Path
    lines: Ints
    arrival_s: Floats  # UTC, since 1970
    length_h: Floats
    size: Floats  # work, in any unit
    repairs: Repairs
    notes: tuple[str, ...] = ()

    def kept(self, keep: Bools, why: str) -> Jobs:
        """The jobs where `keep` is true; the others are counted under `why`."""
        if lost := int((~keep).sum()):
            self.repairs[why] += lost
        arrival, length, size = (x[keep] for x in (self.arrival_s, self.length_h, self.size))
        return Jobs(self.path, self.lines[keep], arrival, length, size, self.repairs, self.notes)


def arrivals(jobs: Jobs, config: JobsConfig) -> Hourly:
    """Hourly `arrivals_<class>_mwh_per_mw` from the first hour to the last one with a job."""
    _check(jobs)
    masks = {c: (jobs.length_h >= b.min_length_h) & (jobs.length_h < b.max_length_h) for c, b in config.classes.items()}
    jobs = jobs.kept(np.any(list(masks.values()), axis=0), "jobs_outside_all_classes_dropped")
    if not len(jobs.lines) or jobs.size.sum() <= 0.0:
        bad(jobs.path, None, "no job with work belongs to any of the classes")
    hour = (jobs.arrival_s // HOUR_S).astype(np.int64)
    first, count = int(hour.min()), int(hour.max() - hour.min()) + 1
    if count > MOST_YEARS * 8784:
        bad(jobs.path, int(jobs.lines[hour.argmax()]), f"more than {MOST_YEARS} years after the first job")
    scale = config.mean_loading * count / jobs.size.sum()
    values = {}
    for name, bounds in config.classes.items():
        mine = (jobs.length_h >= bounds.min_length_h) & (jobs.length_h < bounds.max_length_h)
        work = np.bincount(hour[mine] - first, jobs.size[mine], minlength=count)
        values[f"arrivals_{name}_mwh_per_mw"] = np.asarray(work * scale, dtype=np.float64)
    notes = (*jobs.notes, f"{len(hour)} jobs scaled to a mean loading of {config.mean_loading:g}")
    return Hourly(jobs.path, first, values, jobs.repairs, notes=notes)


def _check(jobs: Jobs) -> None:
    for what, values in (("length", jobs.length_h), ("size", jobs.size), ("arrival", jobs.arrival_s)):
        if (wrong := np.flatnonzero(~np.isfinite(values) | ((values < 0) & (what != "arrival")))).size:
            bad(jobs.path, int(jobs.lines[wrong[0]]), f"{what} = {values[wrong[0]]:g} of a job is not possible")
