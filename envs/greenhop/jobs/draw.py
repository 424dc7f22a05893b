"""Jobs drawn for the work of a flow episode, so that both problems hold the same work at the same time and place.

The work that joins a (step, hub, class) is cut into jobs with the statistics of GPU clusters: run times spread over
four orders of magnitude, widths in powers of two, most jobs on one card and most card-hours in wide ones (Jeon et al.,
USENIX ATC 2019; Hu et al., SC 2021; Weng et al., NSDI 2022).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
from pydantic import Field

from greenhop.arrays import Array, Ints
from greenhop.jobs.table import JobTable, joined
from greenhop.physics.params import Params
from greenhop.scenario.config import Fraction, Model

if TYPE_CHECKING:
    from greenhop.episode.simulator import Simulator

MWH_PER_KWH = 1e-3
LARGEST = 0.25  # of its pool, that a job may take: assumption


class JobStatistics(Model):
    """How the work of an episode is cut into jobs."""

    count: Annotated[int, Field(ge=1, le=20_000_000, description="jobs an episode holds, about")] = 20_000
    median_h: Annotated[float, Field(gt=0, le=1000, description="median run time, h")] = 0.3
    spread: Annotated[
        float,
        Field(ge=0, le=4, description="standard deviation of ln(run time): 2.3 puts the median card-hour at 72 h"),
    ] = 2.3
    single: Annotated[Fraction, Field(description="share of jobs on one card; half of the rest on two, and so on")] = (
        0.6
    )
    widest: Annotated[int, Field(ge=1, le=65_536, description="cards of the widest per card of the narrowest")] = 64
    card_kw: Annotated[float, Field(gt=0, le=100, description="IT power of a card with its share of server, kW")] = (
        1.456
    )
    longest_h: Annotated[
        float, Field(gt=0, le=8760, description="longest run time, h; never above half the class's window")
    ] = 4.0
    rigid: Annotated[Fraction, Field(description="share of jobs that may not be interrupted: assumption")] = 0.1


def episode_jobs(sim: Simulator, start: int, statistics: JobStatistics, seed: int = 0) -> JobTable:
    """Jobs whose work is that of the flow episode from `start`, warm backlog included.

    Args:
        sim: the simulator.
        start: index into `sim.bank.starts`.
        statistics: sizes, widths, lengths.
        seed: of their draw.
    """
    p = sim.params
    row, warm = sim.bank.opening(torch.tensor([start], device=p.device))
    first = int(row)
    columns = sim.bank.layout.slices()["next_arrivals_mwh"]
    arriving = sim.bank.table[first : first + p.steps, columns].cpu().double().numpy()
    arriving = arriving.reshape(p.steps, p.n_regions, len(p.deferrable))
    rng = np.random.Generator(np.random.Philox(key=[seed, start]))
    cells = [_warm_cells(p, warm[0].cpu().double().numpy(), first), _arriving_cells(p, arriving, first)]
    total = sum(float(work.sum()) for work, *_ in cells)
    each = total / statistics.count
    return joined([_cut(p, *cell, each, statistics, rng) for cell in cells])


Cells = tuple[Array, Ints, Ints, Ints, Ints]  # work, region, class, step in which it joins, step in which it is due


def _warm_cells(p: Params, warm: Array, first: int) -> Cells:
    """Work that waits when the episode begins."""
    r, k, s = np.nonzero(warm > 0.0)
    slack = p.slack.cpu().numpy().round().astype(np.int64)[first % p.period]
    return warm[r, k, s], r, k, np.zeros(len(r), dtype=np.int64), slack[k, s]


def _arriving_cells(p: Params, arriving: Array, first: int) -> Cells:
    """Work that joins at the end of each step, for the next one."""
    t, r, k = np.nonzero(arriving > 0.0)
    return arriving[t, r, k], r, k, t + 1, due_step(p, t + 1, k, first)


def due_step(p: Params, joins: Ints, kind: Ints, first: int = 0) -> Ints:
    """`[N]` step in which work of a class that joins in step `joins` is due; the episode begins in row `first`."""
    phase = (first + joins) % p.period
    slot = p.joins.argmax(-1).cpu().numpy()[phase, kind]
    return np.asarray(joins + p.slack.cpu().numpy().round().astype(np.int64)[phase, kind, slot])


def pool_mw(p: Params) -> Array:
    """`[R, K]` IT power of the pool that a class uses at a hub."""
    return np.asarray((p.capacity_mwh @ p.deferrable_pool.T).cpu().double().numpy() / p.dt_h)


def _cut(
    p: Params, work: Array, region: Ints, kind: Ints, step: Ints, due: Ints, each_mwh: float,
    statistics: JobStatistics, rng: np.random.Generator,
) -> JobTable:  # fmt: skip
    """Every cell as jobs of about `each_mwh` in the mean, whose work sums to the cell's."""
    q = statistics
    counts = np.maximum(np.floor(work / each_mwh + rng.random(len(work))), 1).astype(np.int64)
    cell = np.repeat(np.arange(len(work)), counts)
    n = len(cell)
    longest_h = np.minimum(q.longest_h, (due - step + 1)[cell] * p.dt_h / 2.0)
    hours = np.minimum(q.median_h * np.exp(q.spread * rng.standard_normal(n)), longest_h)
    octaves = rng.geometric(0.5, n) * (rng.random(n) >= q.single)
    cards = np.minimum(2.0**octaves, q.widest)
    share = cards * hours
    size = work[cell] * share / np.bincount(cell, share, minlength=len(work))[cell]
    card_mw = q.card_kw * MWH_PER_KWH
    width = 2.0 ** np.round(np.log2(np.maximum(size / (card_mw * hours), 1.0)))
    fewest = 2.0 ** np.ceil(np.log2(np.maximum(size / (card_mw * longest_h), 1.0)))
    most = LARGEST * pool_mw(p)[region[cell], kind[cell]] / card_mw
    width = np.minimum(np.maximum(width, fewest), np.maximum(2.0 ** np.floor(np.log2(most)), 1.0))
    before = rng.random(n) * p.dt_h
    submit = step[cell] * p.dt_h - np.where(step[cell] > 0, before, before + p.dt_h)
    order = np.argsort(submit, kind="stable")
    table = JobTable(
        submit_h=np.asarray(submit, dtype=np.float64),
        work_mwh=size,
        width=width.astype(np.int64),
        rate_mw=width * card_mw,
        kind=kind[cell].astype(np.int64),
        origin=region[cell].astype(np.int64),
        due_step=due[cell].astype(np.int64),
        deadline_h=np.full(n, np.inf),
        checkpoint_gb=np.zeros(n),
        preemptible=rng.random(n) >= q.rigid,
        after=np.full(n, -1),
        name=np.arange(n),
    )
    return table.taken(order)
