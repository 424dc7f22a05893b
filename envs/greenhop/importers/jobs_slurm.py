"""Jobs of Slurm clusters as published for Helios (`cluster_log.csv`) and Acme (`trace_seren.csv`, `trace_kalos.csv`).

Both name their columns, among them `gpu_num, submit_time, start_time, end_time`; Acme's times carry an offset, those of
Helios are local ones. Sources: github.com/S-Lab-System-Group/HeliosData and github.com/InternLM/AcmeTrace.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from greenhop.arrays import Array
from greenhop.importers.files import MISSING, bad
from greenhop.importers.jobs import Jobs
from greenhop.importers.layout import Layout, TableOptions
from greenhop.importers.sheet import Sheet
from greenhop.importers.times import HAS_ZONE, read_times


class SlurmOptions(TableOptions):
    """`timezone` is the clock of times without an offset."""

    timezone: str = "Asia/Shanghai"
    """Zone of times that have no offset."""
    cpu_jobs: bool = False
    """Keep jobs without GPUs too, a CPU core counting as a device; false: they are left out and counted."""


def read(path: Path, options: SlurmOptions) -> Jobs:
    """Jobs without begin or end never ran: they are dropped and counted; an end before its begin is refused."""
    sheet = options.sheet(path)
    submit, begin, end = (_seconds(sheet, name, options) for name in ("submit_time", "start_time", "end_time"))
    if (wrong := np.flatnonzero(np.isnan(submit))).size:
        bad(path, int(sheet.lines[wrong[0]]), "a job without submit_time")
    if (wrong := np.flatnonzero(end < begin)).size:
        bad(path, int(sheet.lines[wrong[0]]), "end_time is before start_time")
    gpus, cpus = (np.nan_to_num(sheet.numbers(sheet.find(name))) for name in ("gpu_num", "cpu_num"))
    devices = np.where(gpus > 0, gpus, cpus if options.cpu_jobs else 0.0)
    ran = np.isfinite(begin) & np.isfinite(end)
    early = ran & (begin < submit)
    if early.any():
        sheet.repairs["starts_before_submission_taken_for_no_wait"] += int(early.sum())
    length = np.where(ran, (end - begin) / 3600.0, 0.0)
    wait = np.where(ran, np.maximum(begin - submit, 0.0) / 3600.0, 0.0)
    note = "work = (end − begin) × GPUs" + (", or CPU cores where there are none" if options.cpu_jobs else "")
    jobs = Jobs(path, sheet.lines, submit, length, length * devices, sheet.repairs, (note,), wait)
    with_devices = devices > 0
    jobs = jobs.kept(with_devices, "jobs_without_gpus_dropped")
    return jobs.kept(ran[with_devices], "jobs_that_never_ran_dropped")


def _seconds(sheet: Sheet, name: str, options: SlurmOptions) -> Array:
    """UTC seconds since 1970, NaN where a cell is empty."""
    column = sheet.find(name)
    texts = sheet.texts(column)
    given = np.array([t.casefold() not in MISSING for t in texts], dtype=bool)
    out = np.full(len(texts), np.nan)
    present = [t for t in texts if t.casefold() not in MISSING]
    if present:
        zone = None if HAS_ZONE.search(present[0]) else options.timezone
        times = read_times(present, sheet.lines[given], sheet.path, zone, sheet.repairs, options.time_format)
        out[given] = times.seconds
    return out


LAYOUT = Layout("Slurm jobs of Helios or Acme, CSV", SlurmOptions, read)
