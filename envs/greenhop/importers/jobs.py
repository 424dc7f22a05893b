"""From job traces to hourly arrivals of work by class, as MWh per MW of IT capacity.

A job's work is duration × servers (or tokens). It arrives as the job ran: spread evenly over the run, so that a day's
job does not ask for a day's work in the hour of its submission, which no cluster could serve. Only proportions count,
because the classes together are scaled to a mean loading that the user states.

A class has a window (`window_h`): how long its work may wait. Where no bounds of length are given a job belongs to the
class with the shortest window that is longer than the job, so that its deadline follows from its length.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from omegaconf import OmegaConf
from pydantic import BaseModel, ConfigDict, Field, model_validator

from greenhop.arrays import Array, Bools, Ints
from greenhop.errors import ConfigError
from greenhop.importers.files import Repairs, bad
from greenhop.importers.hourly import Hourly, repeated
from greenhop.importers.steps import HOUR_S
from greenhop.scenario.find import config_dir

MOST_YEARS = 20
ROUNDING = 1e-12  # of the busiest hour: what sums leave behind when the last job has ended


class ClassBounds(BaseModel):
    """Jobs of `min_length_h ≤ length < max_length_h`; `window_h` defaults to that of the shipped class of this name."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    min_length_h: Annotated[float, Field(ge=0)] = 0.0
    """Jobs at least this long belong to the class, h."""
    max_length_h: Annotated[float, Field(gt=0)] = float("inf")
    """Jobs shorter than this belong to the class, h."""
    window_h: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """How long its work may wait, h; null: as the shipped class of this name."""

    def holds(self, length_h: Array) -> Bools:
        """Which jobs belong to the class."""
        return np.asarray((length_h >= self.min_length_h) & (length_h < self.max_length_h), dtype=np.bool_)


class JobsConfig(BaseModel):
    """`mean_loading` is the work of all classes in an average hour as a share of IT capacity.

    `arrive`: work arrives as the jobs run (`spread`), or all of it when they are submitted (`submit`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    mean_loading: Annotated[float, Field(gt=0, le=1)]
    """Work of all classes in an average hour, share of IT capacity: what the trace is scaled to."""
    classes: Annotated[dict[str, ClassBounds], Field(min_length=1)]
    """Class of the scenario → lengths of the jobs that belong to it; without bounds they follow from the windows."""
    arrive: Literal["spread", "submit"] = "spread"
    """Work arrives as the jobs run, or all of it in the hour of their submission."""

    @property
    def by_window(self) -> bool:
        """Whether lengths are to follow from the windows."""
        unbound = [b.min_length_h == 0.0 and np.isinf(b.max_length_h) for b in self.classes.values()]
        return len(unbound) > 1 and all(unbound)

    @model_validator(mode="after")
    def _apart(self) -> JobsConfig:
        ordered = sorted(self.classes.items(), key=lambda item: item[1].min_length_h)
        for (a, first), (b, second) in pairwise(ordered):
            if second.min_length_h < first.max_length_h and not self.by_window:
                raise ValueError(f"classes {a!r} and {b!r} overlap; give them min_length_h and max_length_h")
        return self


@dataclass(frozen=True)
class Jobs:
    """One entry per job, in any order. `wait_h` is how long it waited before it ran, where the trace says so."""

    path: Path
    lines: Ints
    arrival_s: Array  # UTC, since 1970
    length_h: Array
    size: Array  # work, in any unit
    repairs: Repairs
    notes: tuple[str, ...] = ()
    wait_h: Array | None = None

    def kept(self, keep: Bools, why: str) -> Jobs:
        """The jobs where `keep` is true; the others are counted under `why`."""
        if lost := int((~keep).sum()):
            self.repairs[why] += lost
        arrival, length, size = (x[keep] for x in (self.arrival_s, self.length_h, self.size))
        wait = None if self.wait_h is None else self.wait_h[keep]
        return Jobs(self.path, self.lines[keep], arrival, length, size, self.repairs, self.notes, wait)


def arrivals(jobs: Jobs, config: JobsConfig, period_h: int | None = None) -> Hourly:
    """Hourly `arrivals_<class>_mwh_per_mw` from the first hour with a job to the last; as a profile with `period_h`."""
    _check(jobs)
    classes = _classes(config, jobs.path)
    jobs = jobs.kept(
        np.any([b.holds(jobs.length_h) for b in classes.values()], axis=0), "jobs_outside_all_classes_dropped"
    )
    if not len(jobs.lines) or jobs.size.sum() <= 0.0:
        bad(jobs.path, None, "no job with work belongs to any of the classes")
    begin_h, length_h = jobs.arrival_s / HOUR_S, jobs.length_h
    if config.arrive == "submit":
        length_h = np.zeros(len(length_h))
    elif jobs.wait_h is not None:
        begin_h = begin_h + jobs.wait_h
    first = int(np.floor(begin_h.min()))
    count = _hours(jobs, begin_h - first, length_h)
    values = {}
    for name, bounds in classes.items():
        mine = bounds.holds(jobs.length_h)
        work = work_by_hour(begin_h[mine] - first, length_h[mine], jobs.size[mine], count)
        values[f"arrivals_{name}_mwh_per_mw"] = work
    notes = (*jobs.notes, *_lengths(jobs, classes))
    made = Hourly(jobs.path, first, values, jobs.repairs, notes=notes)
    return _scaled(made if period_h is None else repeated(made, period_h), config, len(jobs.lines))


def _scaled(made: Hourly, config: JobsConfig, count: int) -> Hourly:
    scale = config.mean_loading / sum(v.mean() for v in made.values.values())
    how = "spread over their runs" if config.arrive == "spread" else "in the hour of their submission"
    note = f"{count} jobs, {how}, scaled to a mean loading of {config.mean_loading:g}"
    return replace(made, values={name: v * scale for name, v in made.values.items()}, notes=(*made.notes, note))


def work_by_hour(begin_h: Array, length_h: Array, size: Array, count: int) -> Array:
    """`[count]` work of jobs that run evenly from `begin_h` (hours after the first) for `length_h`.

    A job inside one hour is added there. The others are a rate that begins at one moment and ends at another; the sum
    of what every such change adds to its own hour and to all later ones is the work.
    """
    end_h = begin_h + length_h
    within = np.floor(end_h) == np.floor(begin_h)
    out = np.bincount(np.floor(begin_h[within]).astype(np.int64), size[within], minlength=count).astype(np.float64)
    change = np.zeros(count + 2)
    rate = size[~within] / length_h[~within]
    for moment, sign in ((begin_h[~within], 1.0), (end_h[~within], -1.0)):
        hour = np.floor(moment).astype(np.int64)
        part = moment - hour  # of its own hour that has passed
        change += sign * np.bincount(hour, rate * (1.0 - part), minlength=count + 2)
        change += sign * np.bincount(hour + 1, rate * part, minlength=count + 2)
    running = np.cumsum(change)[:count]
    running[running < ROUNDING * np.abs(running).max(initial=0.0)] = 0.0
    return np.asarray(out + running, dtype=np.float64)


def _hours(jobs: Jobs, begin_h: Array, length_h: Array) -> int:
    """Hours up to the end of the last job; a job that ends on the hour does not begin another."""
    end_h = begin_h + length_h
    last = np.maximum(np.floor(begin_h), np.ceil(end_h) - 1.0)
    if last.max() >= MOST_YEARS * 8784:
        bad(jobs.path, int(jobs.lines[last.argmax()]), f"more than {MOST_YEARS} years after the first job")
    return int(last.max()) + 1


@cache
def shipped_windows_h() -> dict[str, float]:
    """Windows of the deferrable classes that the shipped scenarios share."""
    common = OmegaConf.load(config_dir() / "scenario" / "common.yaml")
    return {str(name): float(entry.window_h) for name, entry in common.deferrable.items()}


def _classes(config: JobsConfig, path: Path) -> dict[str, ClassBounds]:
    """The classes with their windows, and lengths that follow from them where none are given."""
    known = shipped_windows_h()
    classes = {n: b.model_copy(update={"window_h": b.window_h or known.get(n)}) for n, b in config.classes.items()}
    if not config.by_window:
        return classes
    windows = {name: bounds.window_h for name, bounds in classes.items()}
    if None in windows.values() or len(set(windows.values())) < len(windows):
        raise ConfigError(
            f"{path}: jobs.classes: several classes need min_length_h and max_length_h, or a window_h each, all "
            f"different; given: {', '.join(f'{name} {window_h} h' for name, window_h in windows.items())}"
        )
    ordered = sorted(classes, key=lambda name: classes[name].window_h or 0.0)
    for shorter, longer in pairwise(ordered):
        edge = classes[shorter].window_h
        classes[shorter] = classes[shorter].model_copy(update={"max_length_h": edge})
        classes[longer] = classes[longer].model_copy(update={"min_length_h": edge})
    return classes


def _lengths(jobs: Jobs, classes: dict[str, ClassBounds]) -> list[str]:
    """For every class with a window the share of its work in jobs that run longer than it."""
    notes = []
    for name, bounds in classes.items():
        mine = bounds.holds(jobs.length_h)
        total, work = jobs.size.sum(), jobs.size[mine].sum()
        if bounds.window_h is not None and work > 0.0:
            longer = jobs.size[mine & (jobs.length_h > bounds.window_h)].sum()
            notes.append(
                f"{name}: {100 * work / total:.3g} % of the work; {100 * longer / work:.3g} % of that in jobs longer "
                f"than its window of {bounds.window_h:g} h"
            )
    return notes


def _check(jobs: Jobs) -> None:
    for what, values in (("length", jobs.length_h), ("size", jobs.size), ("arrival", jobs.arrival_s)):
        if (wrong := np.flatnonzero(~np.isfinite(values) | ((values < 0) & (what != "arrival")))).size:
            bad(jobs.path, int(jobs.lines[wrong[0]]), f"{what} = {values[wrong[0]]:g} of a job is not possible")
