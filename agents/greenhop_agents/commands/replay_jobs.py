"""Replay a trace job by job, or jobs drawn for an episode, under any policies, beside the bound of the flows."""

from __future__ import annotations

import resource
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel, ConfigDict, ValidationError

from greenhop.errors import ConfigError
from greenhop.scenario.config import describe
from greenhop_agents.base.cli import scenario_of, write_json
from greenhop_agents.base.tables import show

if TYPE_CHECKING:
    from rich.table import Table

    from greenhop.episode.simulator import Simulator
    from greenhop.jobs.table import JobTable
    from greenhop_agents.scoring.jobs import JobRun

LAYOUT_PREFIX = "jobs_"
KB_PER_GB = 1e6  # Linux counts the most memory ever used in kB
TABLE = {  # metrics of the printed table
    "waiting_h_median": "waiting\nmedian h",
    "waiting_h_p95": "waiting\np95 h",
    "bounded_slowdown_mean": "bounded\nslowdown",
    "migrations_per_job": "moves\na job",
    "missed_jobs": "missed\njobs",
    "utilisation": "utili-\nsation",
}


class Trace(BaseModel):
    """`trace`, `layout`, `options`: which file, and how it is read."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    trace: Path | None = None
    """File of a trace; null: jobs are drawn for an episode of the scenario."""
    layout: str = "pai"
    """How the file is laid out: a job layout of the importers, without `jobs_`."""
    options: dict[str, Any] = {}
    """Options of the layout, such as `start`."""


def main(config: DictConfig) -> None:
    """Read or draw, run every policy, print, write."""
    from greenhop.jobs.rules import rule_named
    from greenhop_agents.base.progress import progress_bar
    from greenhop_agents.scoring.jobs import flow_cost_cny, run_jobs
    from greenhop_agents.shelf.find import find_policy

    rule = rule_named(config.rule)
    sim, jobs, start, notes = _work(config)
    show(*notes)
    runs, flows, spent = [], [], []
    for name in (config.policy, *config.beside):
        with progress_bar(f"{name}: {len(jobs):,} jobs on {sim.scenario.name}", "step") as update:
            began = process_time()
            runs.append(run_jobs(sim, find_policy(name, sim), start, jobs, rule, update))
            seconds = process_time() - began
            spent.append(f"{name} {seconds:.1f} s, {1e6 * seconds / len(jobs):,.0f} µs a job")
        flows.append(flow_cost_cny(sim, find_policy(name, sim), start))
    bound = _bound(config, sim, start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KB_PER_GB
    show(_table(runs, flows, bound), f"processor time with whole jobs: {'; '.join(spent)}; {peak:.1f} GB at most")
    write_json(config.json, [_record(run, flow, bound) for run, flow in zip(runs, flows, strict=True)])
    _write_rows(config.csv, runs)
    if config.figures is not None:
        from greenhop_agents.report.job_pictures import draw_jobs

        show(*(f"wrote {path}" for path in draw_jobs(Path(config.figures), runs, sim.scenario)))


def _work(config: DictConfig) -> tuple[Simulator, JobTable, int, list[str]]:
    """The simulator, its jobs, where the episode starts, and what to say about them."""
    import torch

    from greenhop.episode.simulator import build_simulator
    from greenhop.jobs.draw import JobStatistics, episode_jobs
    from greenhop.jobs.trace import TraceOptions

    scenario = scenario_of(config)
    given = _checked(Trace, {key: config[key] for key in ("trace", "layout", "options")}, "replay_jobs.yaml")
    drawn = _checked(JobStatistics, config.drawn, "replay_jobs.yaml: drawn")
    options = _checked(TraceOptions, config.as_jobs, "replay_jobs.yaml: as_jobs")
    if config.start is not None and type(config.start) is not int:
        raise ConfigError(f"start = {config.start!r} must be a whole number, or null")
    if given.trace is None:
        sim = build_simulator(scenario, config.split, year_ids=[config.year], dtype=torch.float64)
        start = config.start if config.start is not None else sim.bank.n_starts // 2
        if not 0 <= start < sim.bank.n_starts:
            raise ConfigError(f"start = {start} must lie in 0…{sim.bank.n_starts - 1}")
        jobs = episode_jobs(sim, start, drawn, config.seed)
        return sim, jobs, start, [f"{len(jobs):,} jobs drawn for episode {start} of {scenario.name}"]
    return _traced(config, given, options)


def _traced(config: DictConfig, given: Trace, options: Any) -> tuple[Simulator, JobTable, int, list[str]]:
    """A trace on its own time axis, in the world of the scenario from the day `start` on."""
    import torch

    from greenhop.episode.simulator import build_simulator
    from greenhop.importers.registry import JOBS
    from greenhop.jobs.trace import trace_jobs, with_jobs
    from greenhop.scenario.join import build_params

    assert given.trace is not None
    layouts = {name.removeprefix(LAYOUT_PREFIX): layout for name, layout in JOBS.items()}
    if given.layout not in layouts:
        raise ConfigError(f"layout = {given.layout!r} is unknown; allowed: {', '.join(layouts)}")
    if not given.trace.is_file():
        raise ConfigError(f"trace = {str(given.trace)!r} is no file")
    try:
        read = layouts[given.layout].run(given.trace, given.options)
    except ValidationError as error:
        raise ConfigError(describe(error, f"options of layout {given.layout}")) from None
    scenario = scenario_of(config)
    traced = trace_jobs(read, build_params(scenario, torch.float64), options)
    hours = -(-traced.length_h // 24) * 24.0
    longer = scenario.model_copy(update={"episode": scenario.episode.model_copy(update={"length_h": hours})})
    sim = build_simulator(longer, config.split, year_ids=[config.year], dtype=torch.float64)
    day = config.start if config.start is not None else 0
    row = int(sim.bank.starts[0]) + round(day * 24 / scenario.dt_h)
    row = -(-row // sim.params.period) * sim.params.period
    notes = [
        f"{len(traced.jobs):,} jobs (parts of long ones counted) over {hours:g} h; each stands for "
        f"{traced.stands_for:,.1f} like it",
        f"{100 * traced.long_share:.1f} % of the work is in jobs longer than half their class's window, or too "
        f"wide for a pool, run in parts; {traced.left_out} rows without run time or width left out",
    ]
    return with_jobs(sim, row, traced.jobs), traced.jobs, 0, notes


def _checked(model: Any, data: Any, where: str) -> Any:
    plain = OmegaConf.to_container(data, resolve=True) if isinstance(data, DictConfig) else {
        key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        for key, value in data.items()
    }  # fmt: skip
    try:
        return model.model_validate(plain)
    except ValidationError as error:
        raise ConfigError(describe(error, where)) from None


def _bound(config: DictConfig, sim: Simulator, start: int) -> float | None:
    """The certified bound of the flows, which is one for the jobs too."""
    if not config.bound:
        return None
    from greenhop_agents.base.progress import progress_bar
    from greenhop_agents.scoring.bounds import episode_bounds

    with progress_bar("certified bound of the flows", "episode") as update:
        return episode_bounds(sim, [start], progress=update)[0].bound_cny


def _table(runs: list[JobRun], flows: list[float], bound: float | None) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("policy", no_wrap=True)
    for heading in ("cost\nmillion CNY", "above its\nflows %", *(["above\nbound %"] if bound else []), *TABLE.values()):
        table.add_column(heading, justify="right", no_wrap=True)
    for run, flow in sorted(zip(runs, flows, strict=True), key=lambda pair: pair[0].cost_cny):
        above = [f"{100 * (run.cost_cny / flow - 1):.2f}"]
        above += [f"{100 * (run.cost_cny / bound - 1):.2f}"] if bound else []
        table.add_row(run.policy, f"{run.cost_cny / 1e6:,.3f}", *above, *(f"{run.metrics[m]:,.2f}" for m in TABLE))
    if bound:
        table.add_row("bound", f"{bound / 1e6:,.3f}", "–", "0.00", *["–"] * len(TABLE))
    return table


def _record(run: JobRun, flow_cny: float, bound: float | None) -> dict[str, Any]:
    extra = {"bound_cny": bound} if bound is not None else {}
    return {
        "policy": run.policy,
        "cost_cny": run.cost_cny,
        "flow_cost_cny": flow_cny,
        **extra,
        "own_data_cny": run.extra_cny,
        **run.metrics,
        **run.totals,
    }


def _write_rows(path: str | None, runs: list[JobRun]) -> None:
    """One row for each job and policy."""
    if path is None:
        return
    import pandas as pd

    from greenhop.files import write_text
    from greenhop.jobs.metrics import job_rows

    frames = [pd.DataFrame({"policy": run.policy, **job_rows(run.episode)}) for run in runs]
    write_text(Path(path), pd.concat(frames).to_csv(index=False, float_format="%.6g", lineterminator="\n"))
