"""Jobs of a real trace, on the trace's own time axis, in the hubs of a scenario."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import torch
from pydantic import Field

from greenhop.arrays import Array, Bools, Ints
from greenhop.errors import ConfigError, DataError
from greenhop.importers.jobs import Jobs
from greenhop.jobs.draw import LARGEST, MWH_PER_KWH, due_step, pool_mw
from greenhop.jobs.table import JobTable
from greenhop.physics.params import Params
from greenhop.scenario.config import Fraction, Model, Positive
from greenhop.world.layout import rows_ahead

if TYPE_CHECKING:
    from greenhop.episode.simulator import Simulator

HOUR_S = 3600.0
SEGMENT = 0.5  # of its class's window, that a job may run without a checkpoint between two parts of it


class TraceOptions(Model):
    """How a trace becomes the work of a scenario."""

    classes: Annotated[
        tuple[str, ...], Field(description="classes that jobs may belong to, all by default; by length, shortest first")
    ] = ()
    hubs: Annotated[
        Literal["capacity", "round_robin"],
        Field(description="who submits a job: hubs drawn by capacity, or one after the other"),
    ] = "capacity"
    loading: Annotated[
        Fraction | None,
        Field(description="mean share of the pools' power that the jobs take; null: cards as they are, at card_kw"),
    ] = 0.25
    card_kw: Annotated[Positive, Field(le=100, description="IT power of a card and its share of the server, kW")] = (
        1.456
    )
    size_s: Annotated[
        Positive | None,
        Field(
            description="seconds of one card for a unit of size, where rows have no run time (tokens); null: left out"
        ),
    ] = None
    first_h: Annotated[float, Field(ge=0, description="hours of the trace that are left out at its begin")] = 0.0
    length_h: Annotated[Positive | None, Field(description="hours of the trace that are used; null: all")] = None
    rigid: Annotated[Fraction, Field(description="share of jobs that may not be interrupted: assumption")] = 0.0
    seed: Annotated[int, Field(ge=0, description="of the draw of hubs and of rigid jobs")] = 0


@dataclass(frozen=True)
class Traced:
    """A trace as jobs, and what was done to it."""

    jobs: JobTable
    length_h: float  # from its first submission to the last deadline
    stands_for: float  # each job stands for so many like it, so that the hubs are loaded as asked
    long_share: float  # of the work, in jobs cut into parts: longer than half their class's window, or too wide
    left_out: int  # jobs without run time or width


def trace_jobs(trace: Jobs, params: Params, options: TraceOptions) -> Traced:
    """The jobs of a trace.

    A job belongs to the first class whose window is at least twice its length, else to the one with the longest window,
    where it is cut into parts of half a window, each to begin when the one before is over.

    Args:
        trace: as an importer reads it; `size / length_h` is the width.
        params: the scenario.
        options: classes, hubs, scale.

    Raises:
        ConfigError: an unknown class.
        DataError: no job is left.
    """
    trace = _timed(trace, options.size_s)
    kinds = _kinds(params, options)
    window_h = _window_h(params)
    submit = (trace.arrival_s - trace.arrival_s.min()) / HOUR_S - options.first_h
    keep = (submit >= 0.0) & (trace.length_h > 0.0) & (trace.size > 0.0)
    inside = submit < (np.inf if options.length_h is None else options.length_h)
    keep &= inside
    if not keep.any():
        hint = "; give as_jobs.size_s, seconds a card takes for a unit of size" if (trace.length_h <= 0.0).all() else ""
        raise DataError(f"{trace.path}: no job with run time and width is left{hint}")
    order = np.flatnonzero(keep)[np.argsort(submit[keep], kind="stable")]
    submit, hours = submit[order], trace.length_h[order]
    width = np.maximum(np.rint(trace.size[order] / hours), 1.0)
    by_window = np.array(sorted(kinds, key=lambda k: window_h[k]))
    fits = hours[:, None] <= SEGMENT * window_h[by_window][None]
    kind = by_window[np.where(fits.any(1), fits.argmax(1), len(by_window) - 1)]
    rng = np.random.Generator(np.random.Philox(key=[options.seed, len(order)]))
    origin = _origins(params, len(order), options, rng)
    rigid = rng.random(len(order)) < options.rigid
    work = hours * width * options.card_kw * MWH_PER_KWH
    factor = _stands_for(params, work, kind, float(submit[-1]) + float(window_h.max()), options)
    rate = factor * width * options.card_kw * MWH_PER_KWH
    too_wide = rate > LARGEST * pool_mw(params)[origin, kind]
    rate = np.minimum(rate, LARGEST * pool_mw(params)[origin, kind])  # so it runs longer, with the same work
    table = _parts(params, submit, factor * work, width.astype(np.int64), rate, kind, origin, rigid, trace.lines[order])
    long_ = (hours > SEGMENT * window_h[kind]) | too_wide
    end_h = float((table.due_step.max() + 1) * params.dt_h)
    left_out = int(((trace.length_h <= 0.0) | (trace.size <= 0.0))[inside].sum())
    return Traced(table.check(params.n_regions, len(params.deferrable)), end_h, factor, _share(work, long_), left_out)


def _timed(trace: Jobs, size_s: float | None) -> Jobs:
    """The trace where rows without run time run on one card for as long as their size takes."""
    if size_s is None:
        return trace
    timeless = trace.length_h <= 0.0
    hours = np.where(timeless, trace.size * size_s / HOUR_S, trace.length_h)
    return replace(trace, length_h=hours, size=np.where(timeless, hours, trace.size))


def _share(work: Array, of: Bools) -> float:
    return float(work[of].sum() / work.sum())


def _kinds(params: Params, options: TraceOptions) -> list[int]:
    known = list(params.deferrable)
    for name in options.classes:
        if name not in known:
            raise ConfigError(f"classes: {name!r} is no deferrable class of {params.name}; allowed: {', '.join(known)}")
    return [known.index(name) for name in (options.classes or known)]


def _window_h(params: Params) -> Array:
    """`[K]` hours in which a class is due at the latest."""
    last = torch.where(params.joins > 0, params.slack, 0.0).amax((0, 2))
    return np.asarray((last.cpu().double().numpy() + 1.0) * params.dt_h)


def _origins(params: Params, n: int, options: TraceOptions, rng: np.random.Generator) -> Ints:
    if options.hubs == "round_robin":
        return np.arange(n) % params.n_regions
    share = params.capacity_mwh.sum(-1).cpu().double().numpy()
    return rng.choice(params.n_regions, n, p=share / share.sum())


def _stands_for(params: Params, work: Array, kind: Ints, hours: float, options: TraceOptions) -> float:
    """How often each job counts, so that the pools its classes use are loaded as asked."""
    if options.loading is None:
        return 1.0
    pools = params.deferrable_pool[np.unique(kind)].sum(0) > 0
    capacity = float(params.capacity_mwh[:, pools].sum()) / params.dt_h
    return options.loading * capacity * hours / float(work.sum())


def _parts(
    params: Params, submit: Array, work: Array, width: Ints, rate: Array, kind: Ints, origin: Ints, rigid: Bools,
    lines: Ints,
) -> JobTable:  # fmt: skip
    """One entry for each job, or one for each part of a long one; parts are submitted as the job would reach them."""
    longest = SEGMENT * _window_h(params)[kind]
    run = work / rate
    parts = np.maximum(np.ceil(run / longest - 1e-9), 1).astype(np.int64)
    job = np.repeat(np.arange(len(work)), parts)
    part = np.arange(len(job)) - np.repeat(np.cumsum(parts) - parts, parts)
    at = submit[job] + part * (run / parts)[job]
    order = np.argsort(at, kind="stable")
    place = np.empty(len(job), dtype=np.int64)
    place[order] = np.arange(len(job))
    after = np.where(part > 0, place[np.arange(len(job)) - 1], -1)
    ready = np.maximum(np.ceil(at / params.dt_h - 1e-9), 0).astype(np.int64)
    table = JobTable(
        submit_h=at,
        work_mwh=(work / parts)[job],
        width=width[job],
        rate_mw=rate[job],
        kind=kind[job],
        origin=origin[job],
        due_step=due_step(params, ready, kind[job]),
        deadline_h=np.full(len(job), np.inf),
        checkpoint_gb=np.zeros(len(job)),
        preemptible=~rigid[job],
        after=after,
        name=lines[job],
    )
    return table.taken(order)


def with_jobs(sim: Simulator, row: int, jobs: JobTable) -> Simulator:
    """The simulator with one episode, from a row of its bank, whose deferrable work is that of the jobs.

    Forecasts of deferrable work become the mean of the jobs at that hour of the day.

    Args:
        sim: as built for the scenario, its episode as long as the trace.
        row: where the episode begins; the deadline clock must stand at 0 there.
        jobs: the table.
    """
    p, bank = sim.params, sim.bank
    if row % p.period or row + p.steps >= len(bank.table):
        raise ConfigError(f"start row {row} must be a multiple of {p.period} and leave {p.steps} steps in the bank")
    arriving = np.zeros((p.steps + 1, p.n_regions, len(p.deferrable)))
    ready = jobs.ready_step(p.dt_h)
    inside = ready <= p.steps
    np.add.at(arriving, (ready[inside], jobs.origin[inside], jobs.kind[inside]), jobs.work_mwh[inside])
    table = bank.table.clone()
    columns = bank.layout.slices()
    rows = slice(row, row + p.steps)
    before = table[rows, columns["next_arrivals_mwh"]].clone()
    now = torch.from_numpy(arriving[1:].reshape(p.steps, -1)).to(table)
    table[rows, columns["next_arrivals_mwh"]] = now
    day, ahead = round(24.0 / p.dt_h), rows_ahead(sim.scenario.forecast, p.dt_h)
    table[rows, columns["forecast_arrivals_mwh"]] += _forecast_change(before, arriving, p, day, ahead).to(table)
    warm = torch.zeros(1, p.n_regions, len(p.deferrable), p.n_slots, dtype=table.dtype)
    slot = p.joins[0].argmax(-1)
    for k in range(len(p.deferrable)):
        warm[0, :, k, int(slot[k])] = torch.from_numpy(arriving[0, :, k]).to(warm)
    only = replace(bank, table=table, starts=torch.tensor([row], device=table.device), warm_mwh=warm.to(table))
    return replace(sim, bank=only)


def _forecast_change(before: torch.Tensor, arriving: Array, p: Params, day: int, ahead: list[range]) -> torch.Tensor:
    """`[T, leads·R]` what replacing deferrable arrivals changes in the forecasts of all work."""
    old = before.reshape(len(before), p.n_regions, -1).sum(-1).double().numpy()
    new = arriving[1:].sum(-1)
    profile = np.stack([new[hour::day].mean(0) if len(new[hour::day]) else new.mean(0) for hour in range(day)])
    steps = np.arange(len(old))

    def change(lead: int) -> Array:
        later = steps + lead - 1
        gone = np.where((later < len(old))[:, None], old[np.minimum(later, len(old) - 1)], old.mean(0))
        return np.asarray(profile[later % day] - gone)

    changes = [np.mean([change(lead) for lead in span], axis=0) for span in ahead]
    return torch.from_numpy(np.stack(changes, axis=1).reshape(len(old), -1))
