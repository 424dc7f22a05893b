"""From finished jobs to tables: one tidy row per agent, seed and episode, and what figures need beyond that."""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from greenhop.arrays import Array
from greenhop.files import write_json, write_text
from greenhop.physics.state import COST_TERMS
from greenhop_agents.base.hardware import hardware
from greenhop_agents.benchmark.jobs import BOUND, REFERENCE, Done, Result
from greenhop_agents.benchmark.plan import Collected
from greenhop_agents.scoring.evaluate import scores
from greenhop_agents.shelf.runs import git_commit, training_of, versions

COLUMNS = (
    "agent",
    "seed",
    "scenario",
    "split",
    "episode",
    "cost_cny",
    "reference_cny",
    "bound_cny",
    "carbon_kg",
    "green_share",
    "missed_share",
    "migrated_mwh",
    "decision_s",
)
SCENARIO = "scenario"


@dataclass(frozen=True)
class Curve:
    """How far one run was below price following on the same episodes, in % of its cost: validated, else in training."""

    agent: str
    seed: int
    steps: NDArray[np.float64]
    saving_percent: Array
    score_percent: Array | None = None  # at the same steps, where validation knew the bound
    minutes: Array | None = None  # of wall time since the first of them was logged


@dataclass(frozen=True)
class Results:
    """A benchmark in tables."""

    frame: pd.DataFrame  # COLUMNS
    details: pd.DataFrame  # agent (`bound` too), seed, scenario, episode, cost terms and quantities
    weeks: dict[str, dict[str, Any]]  # series by policy, see `jobs`
    curves: list[Curve]
    failures: list[Done]
    facts: dict[str, Any]  # command, commit, hardware, time
    setting: dict[str, Any]  # the first scenario, as data
    memo: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)  # what was computed from the above

    @property
    def scenarios(self) -> list[str]:
        """Labels of the settings, the first one first."""
        return list(dict.fromkeys(self.frame[SCENARIO]))

    @property
    def agents(self) -> list[str]:
        """Agents in the order they were asked for."""
        return list(dict.fromkeys(self.frame["agent"]))

    def matrix(self, agent: str, scenario: str, column: str = "score") -> Array:
        """`[runs, episodes]` of a column or of the score; runs that lack an episode are left out."""
        part = self.frame[(self.frame["agent"] == agent) & (self.frame[SCENARIO] == scenario)]
        if column == "score":
            part = part.assign(score=scores(part["reference_cny"], part["cost_cny"], part["bound_cny"]))
        wide = part.pivot(index="seed", columns="episode", values=column)
        episodes = self.frame[self.frame[SCENARIO] == scenario]["episode"].unique()
        return np.asarray(wide.reindex(columns=np.sort(episodes)).dropna().to_numpy(dtype=np.float64))


def gather(collected: Collected, root: Path, facts: dict[str, Any]) -> Results:
    """Tables of everything that finished."""
    benchmark = collected.plan.benchmark
    evaluated = collected.of_kind("evaluate")
    bounds = {(j.spec["setting"], j.spec["episode"]): r for j, r in collected.of_kind("bound")}
    records = [(j.spec, e) for j, r in evaluated for e in r["episodes"]]
    reference = {(s["setting"], e["episode"]): e["cost_cny"] for s, e in records if s["policy"] == REFERENCE}
    wanted = [(s, e) for s, e in records if s["policy"] in benchmark.agents]
    rows = [_row(s, e, reference, bounds) for s, e in wanted]
    details = [
        {"agent": s["agent"], "seed": s["seed"], SCENARIO: s["setting"], "episode": e["episode"], **e["totals"]}
        for s, e in wanted
    ]
    details += [{"agent": BOUND, "seed": 0, SCENARIO: s, "episode": e, **r["totals"]} for (s, e), r in bounds.items()]
    weeks = {j.spec["agent"]: r["week"] for j, r in collected.of_kind("week")}
    weeks |= next(({BOUND: r["week"]} for r in bounds.values() if "week" in r), {})
    order = [*benchmark.weeks, *weeks]
    return Results(
        frame=pd.DataFrame(rows, columns=list(COLUMNS)),
        details=pd.DataFrame(details),
        weeks={name: weeks[name] for name in dict.fromkeys(order) if name in weeks},
        curves=[c for j, r in collected.of_kind("train") if (c := _curve(root / "runs" / j.spec["run"], j.spec, r))],
        failures=collected.failures,
        facts=facts,
        setting=next(iter(collected.plan.settings.values())).scenario,
    )


def _row(spec: Any, e: dict[str, Any], reference: dict[Any, float], bounds: dict[Any, Result]) -> list[Any]:
    at = (spec["setting"], e["episode"])
    totals = e["totals"]
    return [
        spec["agent"],
        spec["seed"],
        spec["setting"],
        spec["split"],
        e["episode"],
        e["cost_cny"],
        reference.get(at, math.nan),
        bounds[at]["bound_cny"] if at in bounds else math.nan,
        totals["carbon_kg"],
        e["green_share"],
        e["missed_share"],
        totals["migrated_mwh"],
        e["decision_s"],
    ]


def _curve(folder: Path, spec: Any, result: Result) -> Curve | None:
    """The learning curve of a run folder; None where its logs hold nothing known."""
    logs = sorted(folder.rglob("events.out.tfevents.*"))
    if not logs:
        return None
    events = EventAccumulator(str(logs[0].parent), size_guidance={"scalars": 0})
    events.Reload()
    tags = set(events.Tags()["scalars"])
    reference, scale = result["train_reference_cny"], result["cost_scale_cny"]
    terms = [f"env/{term}_cny" for term in COST_TERMS]
    if "eval/saving" in tags:
        used = ["eval/saving"]
        steps, percent = _scalars(events, used)
    elif set(terms) <= tags:
        used = terms
        steps, cost = _scalars(events, used)
        percent = 100.0 * (reference - cost) / reference
    elif "rollout/ep_rew_mean" in tags:
        used = ["rollout/ep_rew_mean"]
        steps, reward = _scalars(events, used)
        percent = 100.0 * (reference + reward * scale) / reference
    else:
        return None
    config = spec["config"]
    scores = _scalars(events, ["eval/score"])[1] if {"eval/saving", "eval/score"} <= tags else None
    seconds = np.array([event.wall_time for event in events.Scalars(used[0])[: len(steps)]])
    return Curve(config["agent"]["name"], config["seed"], steps, percent, scores, (seconds - seconds[0]) / 60.0)


def _scalars(events: Any, tags: Sequence[str]) -> tuple[Array, Array]:
    """Steps of the first tag, and the sum of all tags at them."""
    columns = [events.Scalars(tag) for tag in tags]
    n = min(len(column) for column in columns)
    steps = np.array([event.step for event in columns[0][:n]], dtype=np.float64)
    return steps, np.array([[event.value for event in column[:n]] for column in columns]).sum(0)


def facts_of(command: str, wall_s: float, collected: Collected, root: Path) -> dict[str, Any]:
    """What a reader must know to repeat or to trust the numbers."""
    results = collected.results.values()
    return {
        "command": command,
        "commits": sorted({r["commit"] for r in results if r.get("commit")} or {git_commit() or "unknown"}),
        "seeds": collected.plan.benchmark.seeds,
        "hardware": hardware(),
        "python": platform.python_version(),
        "packages": versions(),
        "wall_s": wall_s,
        "job_s": sum(r["seconds"] for r in results),
        "resumed_jobs": collected.resumed,
        "jobs": len(collected.plan.jobs),
        "cannot_act": collected.plan.skipped,
        "training": _training(collected, root),
    }


def _training(collected: Collected, root: Path) -> dict[str, dict[str, float]]:
    """By trained agent: environment steps of a run, and the mean wall time of its runs, what was resumed included."""
    found: dict[str, list[tuple[int, float]]] = {}
    for job, result in collected.of_kind("train"):
        config = job.spec["config"]
        seconds = float(training_of(root / "runs" / job.spec["run"]).get("wall_s") or result["seconds"])
        found.setdefault(config["agent"]["name"], []).append((int(config["total_steps"]), seconds))
    return {
        agent: {"steps": runs[0][0], "wall_s": sum(seconds for _, seconds in runs) / len(runs)}
        for agent, runs in found.items()
    }


def write_results(results: Results, root: Path) -> None:
    """`results.csv`, `details.csv` and `facts.json`, each whole or not at all."""
    for name, frame in (("results", results.frame), ("details", results.details)):
        write_text(root / f"{name}.csv", frame.to_csv(index=False, float_format="%.10g", lineterminator="\n"))
    write_json(root / "facts.json", results.facts)
