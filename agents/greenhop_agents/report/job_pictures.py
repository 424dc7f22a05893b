"""Pictures of single jobs: when and where they ran, what waited, how long, and what moved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from greenhop.arrays import Array
from greenhop.jobs.metrics import waiting_h
from greenhop.scenario.config import ScenarioConfig
from greenhop.scenario.sites import locations_deg
from greenhop_agents.report.figures import FAINT, INK, PAPER, STYLE
from greenhop_agents.report.plots import colour_of
from greenhop_agents.report.plots_hubs import draw_moves
from greenhop_agents.scoring.jobs import JobRun

CLASSES = ("#2f6db5", "#e4572e", "#2a9d78", "#7b5ea7", "#f4b942", "#17a2a2")
Span = tuple[float, float, int, int]
SHOWN = 240  # jobs of a Gantt chart: the largest ones


def draw_jobs(folder: Path, runs: Sequence[JobRun], scenario: ScenarioConfig) -> list[Path]:
    """Write every picture as PNG: a Gantt chart and a map for each policy, waiting times and backlog of all.

    Args:
        folder: made if it is not there.
        runs: the same jobs under several policies.
        scenario: where the hubs lie.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    with matplotlib.rc_context(STYLE):
        figures = {f"gantt-{run.policy}": gantt(run) for run in runs}
        widest = max(float(run.moved_mwh.max(initial=0.0)) for run in runs)
        figures |= {f"moves-{run.policy}": moves(run, scenario, widest) for run in runs}
        figures |= {"waiting": waiting(runs), "backlog": backlog(runs)}
        for name, figure in figures.items():
            path = folder / f"{name.replace('/', '-')}.png"
            figure.savefig(path)
            drawn.append(path)
    return drawn


def gantt(run: JobRun) -> Figure:
    """The largest jobs as bars over time, hub by hub; a job that moved continues, thinly linked, at its new hub."""
    d = run.episode.dispatcher
    jobs, dt = d.jobs, d.params.dt_h
    largest = np.sort(np.argsort(-jobs.work_mwh, kind="stable")[:SHOWN])
    spans = _spans(run, set(largest.tolist()))
    rows = _rows(spans, len(d.params.regions))
    figure = Figure(figsize=(11.5, 1.6 + 0.055 * max(rows.values(), default=0) + 0.4), dpi=120, facecolor=PAPER,
                    layout="constrained")  # fmt: skip
    ax = figure.add_subplot()
    bars = [((begin, rows[job, hub]), (end, rows[job, hub])) for begin, end, job, hub in spans]
    colours = [CLASSES[jobs.kind[job] % len(CLASSES)] for _, _, job, _ in spans]
    ax.add_collection(LineCollection(bars, colors=colours, linewidths=3.0, capstyle="butt"))
    links = _changes_of_hub(spans, rows)
    ax.add_collection(LineCollection(links, colors=FAINT, linewidths=0.7, linestyles=(0, (2, 1))))
    for r, name in enumerate(d.params.regions):
        mine = [row for (_, hub), row in rows.items() if hub == r]
        if mine:
            ax.axhspan(min(mine) - 0.5, max(mine) + 0.5, color="#f3f5f7" if r % 2 else PAPER, zorder=0)
            ax.text(-0.008, float(np.mean(mine)), name.replace("_", " ").title(), ha="right", va="center",
                    transform=ax.get_yaxis_transform(), fontsize=8.5)  # fmt: skip
    ax.set(xlim=(0, len(run.runs) * dt), ylim=(max(rows.values(), default=1) + 1, -1), yticks=[], xlabel="hours")
    ax.set_title(f"{run.policy}: when and where the {len(largest)} largest of {len(jobs):,} jobs ran")
    ax.set_xticks(np.arange(0, len(run.runs) * dt + 1, 24 if len(run.runs) * dt > 48 else 6))
    handles = [Line2D([], [], color=CLASSES[k % len(CLASSES)], lw=4, label=name.replace("_", " "))
               for k, name in enumerate(d.params.deferrable) if k in jobs.kind[largest]]  # fmt: skip
    handles.append(Line2D([], [], color=FAINT, lw=0.9, ls=(0, (2, 1)), label="moved"))
    figure.legend(handles=handles, ncols=5, frameon=False, fontsize=8.5, loc="outside lower left")
    return figure


def _spans(run: JobRun, tracked: set[int]) -> list[Span]:
    """Uninterrupted runs of the tracked jobs: begin, end, job, hub; in the order of their begin."""
    d = run.episode.dispatcher
    dt = d.params.dt_h
    spans: list[Span] = []
    last: dict[int, int] = {}
    for t, step in enumerate(run.runs):
        for j, hub, work in zip(*(x.tolist() for x in step), strict=True):
            if j not in tracked:
                continue
            end = t * dt + min(work / float(d.jobs.rate_mw[j]), dt)
            at = last.get(j)
            if at is not None and spans[at][3] == hub and spans[at][1] >= t * dt - 1e-9:
                spans[at] = (spans[at][0], end, j, hub)
            else:
                last[j] = len(spans)
                spans.append((t * dt, end, j, hub))
    return spans


def _rows(spans: Sequence[Span], hubs: int) -> dict[tuple[int, int], int]:
    """A line for each (job, hub), hub by hub in the order in which they begin there; jobs that never meet share one."""
    rows: dict[tuple[int, int], int] = {}
    top = 0
    for hub in range(hubs):
        times: dict[int, list[float]] = {}
        for begin, end, job, at in spans:
            if at == hub:
                known = times.setdefault(job, [begin, end])
                known[1] = end
        free: list[float] = []  # when each line of the hub is free again
        for job, (begin, end) in sorted(times.items(), key=lambda item: item[1][0]):
            line = next((i for i, until in enumerate(free) if until <= begin), len(free))
            free[line : line + 1] = [end + 0.2]
            rows[job, hub] = top + line
        top += len(free) + (1 if free else 0)
    return rows


def _changes_of_hub(
    spans: Sequence[Span], rows: dict[tuple[int, int], int]
) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    links: list[tuple[tuple[float, float], tuple[float, float]]] = []
    last: dict[int, tuple[float, int]] = {}
    for begin, end, job, hub in spans:
        before = last.get(job)
        if before is not None and before[1] != hub:
            links.append(((before[0], rows[job, before[1]]), (begin, rows[job, hub])))
        last[job] = (end, hub)
    return links


def waiting(runs: Sequence[JobRun]) -> Figure:
    """Share of jobs that began within so many hours of their submission, policy by policy."""
    figure = Figure(figsize=(6.8, 4.0), dpi=130, facecolor=PAPER, layout="constrained")
    ax = figure.add_subplot()
    names = [run.policy for run in runs]
    for run in runs:
        hours = waiting_h(run.episode.dispatcher)
        began = np.sort(hours[np.isfinite(hours)])
        share = 100.0 * np.arange(1, len(began) + 1) / max(len(hours), 1)
        ax.step(began, share, where="post", lw=2, color=colour_of(run.policy, names), label=run.policy)
    ax.set(xlabel="hours from submission to start", ylabel="jobs that have begun, %", ylim=(0, 101), xlim=(0, None))
    ax.grid(color="#e7ebef")
    ax.legend(frameon=False, fontsize=8.5, loc="lower right")
    return figure


def backlog(runs: Sequence[JobRun]) -> Figure:
    """Work that waits, by class, one plot a policy on one scale."""
    p = runs[0].episode.dispatcher.params
    figure = Figure(figsize=(9.0, 0.8 + 1.7 * len(runs)), dpi=120, facecolor=PAPER, layout="constrained")
    axes = figure.subplots(len(runs), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for ax, run in zip(axes, runs, strict=True):
        by_class = run.backlog_mwh.sum(1).T / 1e3
        hours = np.arange(by_class.shape[1]) * p.dt_h
        ax.stackplot(
            hours, by_class, colors=CLASSES[: len(by_class)], labels=[n.replace("_", " ") for n in p.deferrable]
        )
        ax.set_title(f"{run.policy}: work that waits, GWh", fontsize=9.5)
        ax.set_xlim(0, hours[-1])
        ax.grid(axis="x", color="#e7ebef")
    span = float(hours[-1] + p.dt_h)
    axes[-1].set(xlabel="hours", xticks=np.arange(0.0, span + 1e-9, 24.0 if span > 48 else 6.0))
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=len(labels), frameon=False, fontsize=8.5, loc="outside lower left")
    return figure


def moves(run: JobRun, scenario: ScenarioConfig, widest_mwh: float) -> Figure:
    """Hubs where they lie, and the work that crossed each link over the episode, on one scale for all policies."""
    p = run.episode.dispatcher.params
    at = locations_deg(scenario)[:, ::-1]
    ends = list(zip(p.link_source.tolist(), p.link_target.tolist(), strict=True))
    figure = Figure(figsize=(7.4, 6.0), dpi=120, facecolor=PAPER, layout="constrained")
    ax = figure.add_subplot()
    draw_moves(ax, at, ends, run.moved_mwh, widest_mwh)
    ran = _ran(run)
    area = 60 + 700 * ran / max(ran.max(), 1e-9)  # in points²
    ax.scatter(at[:, 0], at[:, 1], s=area, color="#9ad7bd", ec=INK, lw=0.8, zorder=3)
    for name, (x, y), size in zip(p.regions, at, area, strict=True):
        below = (0, -14 - size**0.5 / 2)
        ax.annotate(name.replace("_", " ").title(), (x, y), below, textcoords="offset points", ha="center",
                    fontsize=8.5, zorder=4)  # fmt: skip
    ax.margins(0.18, 0.18)
    ax.set(xlabel="longitude, °E", ylabel="latitude, °N")
    ax.set_title(f"{run.policy}: {run.moved_mwh.sum() / 1e3:,.1f} GWh of work moved; size: work of jobs done")
    ax.grid(color="#eef1f4")
    return figure


def _ran(run: JobRun) -> Array:
    """`[R]` MWh of jobs' work done at each hub."""
    out = np.zeros(len(run.episode.dispatcher.params.regions))
    for step in run.runs:
        np.add.at(out, step.hub, step.work_mwh)
    return out
