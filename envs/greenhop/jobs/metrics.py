"""What happened to the jobs of an episode, in numbers that schedulers are compared by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from greenhop.arrays import Array

if TYPE_CHECKING:
    from greenhop.jobs.dispatcher import Dispatcher
    from greenhop.jobs.episode import JobEpisode

BOUND_H = 1.0 / 6.0  # run time below which slowdown is measured against ten minutes: Feitelson and Rudolph, JSSPP 1998


def waiting_h(d: Dispatcher) -> Array:
    """`[N]` hours from submission to the first start; NaN of jobs that never began."""
    return np.asarray(d.started_h - d.jobs.submit_h)


def bounded_slowdown(d: Dispatcher) -> Array:
    """`[N]` hours from submission to the end per hour of running, `max(1, (end − submit)/max(run, 10 min))`."""
    run = d.jobs.work_mwh / d.jobs.rate_mw
    return np.maximum(1.0, (d.finished_h - d.jobs.submit_h) / np.maximum(run, BOUND_H))


def kept_deadline(d: Dispatcher) -> Array:
    """`[N]` 1 where a job ended in time, 0 where it did not, NaN where its deadline lies beyond the episode."""
    due = np.minimum(d.jobs.deadline_h, (d.jobs.due_step + 1) * d.params.dt_h)
    ended = np.isfinite(d.finished_h)
    kept = np.where(ended, d.finished_h <= due + 1e-9, 0.0).astype(np.float64)
    return np.where(ended | (due <= d.t * d.params.dt_h), kept, np.nan)


def job_metrics(episode: JobEpisode) -> dict[str, float]:
    """Metrics of all jobs that were submitted so far, by name; hours, MWh, GB and kg in the names."""
    d = episode.dispatcher
    jobs, p = d.jobs, d.params
    seen = jobs.ready_step(p.dt_h) <= d.t
    ended = np.isfinite(d.finished_h)
    wait, slow, kept = waiting_h(d)[seen], bounded_slowdown(d)[ended], kept_deadline(d)
    n = max(int(seen.sum()), 1)
    ran_mwh, hours = float(d.done_mwh.sum()), max(d.t * p.dt_h, p.dt_h)
    capacity = float((p.capacity_mwh @ (p.deferrable_pool.sum(0) > 0).to(p.dtype)).sum()) / p.dt_h * hours
    cards = float(np.sum(jobs.width / jobs.rate_mw * d.overhead_mwh))
    named: dict[str, float] = {
        "jobs": float(seen.sum()),
        "finished_share": float(ended.sum()) / n,
        "missed_jobs": float((d.missed_mwh > 0).sum()),
        **_spread("waiting_h", wait[np.isfinite(wait)]),
        **_spread("bounded_slowdown", slow),
        "migrations_per_job": float(d.moves.sum()) / n,
        "suspensions_per_job": float(d.suspensions.sum()) / n,
        "moved_gb": float(d.moved_gb.sum()),
        "utilisation": ran_mwh / max(capacity, 1e-9),
        "overhead_card_h": cards,
        "energy_mwh_per_job": float(episode.energy_mwh.sum()) / n,
        "carbon_kg_per_job": float(episode.carbon_kg.sum()) / n,
    }
    for k, name in enumerate(p.deferrable):
        judged = kept[(jobs.kind == k) & np.isfinite(kept)]
        named[f"late_share_{name}"] = float(1.0 - judged.mean()) if len(judged) else 0.0
    return named


def _spread(name: str, values: Array) -> dict[str, float]:
    if not len(values):
        return {f"{name}_{what}": float("nan") for what in ("mean", "median", "p95")}
    return {
        f"{name}_mean": float(values.mean()),
        f"{name}_median": float(np.median(values)),
        f"{name}_p95": float(np.percentile(values, 95)),
    }


def job_rows(episode: JobEpisode) -> dict[str, Any]:
    """Columns of the table with one row a job: when, where, how often moved, and whether it was in time."""
    d = episode.dispatcher
    jobs, regions, classes = d.jobs, np.array(d.params.regions), np.array(d.params.deferrable)
    return {
        "job": jobs.name,
        "class": classes[jobs.kind],
        "origin": regions[jobs.origin],
        "hub": regions[d.hub],
        "width": jobs.width,
        "work_mwh": jobs.work_mwh,
        "submitted_h": jobs.submit_h,
        "started_h": d.started_h,
        "finished_h": d.finished_h,
        "waiting_h": waiting_h(d),
        "moves": d.moves,
        "suspensions": d.suspensions,
        "moved_gb": d.moved_gb,
        "kept_deadline": kept_deadline(d),
        "missed_mwh": d.missed_mwh,
        "energy_mwh": episode.energy_mwh,
        "carbon_kg": episode.carbon_kg,
    }
