"""What each mechanism of a scenario is worth: to a planner who ignores it, and by its absence.

Two optima a mechanism and episode, beside the true one. *Blind*: the optimum of a planner who does not know the
mechanism, replayed in the true scenario (where online work is still served as it comes, and due work run); what it
costs above the true optimum is the price of ignoring the mechanism. *Absent*: the optimum of a scenario without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from pydantic import Field, field_validator
from torch import Tensor

from greenhop.cache import cached
from greenhop.episode.simulator import Simulator
from greenhop.errors import ConfigError
from greenhop.lp.bound import bound
from greenhop.lp.replay import replay
from greenhop.lp.solve import Options
from greenhop.physics.params import Params
from greenhop.physics.state import Row
from greenhop.scenario.config import Model, ScenarioConfig, parse_scenario
from greenhop.scenario.join import build_params
from greenhop_agents.base.cli import keys_checked
from greenhop_agents.policies.on_site import minded
from greenhop_agents.scoring.bounds import Task, episode_window, in_parallel, known
from greenhop_agents.scoring.evaluate import Progress, evaluate
from greenhop_agents.shelf.find import find_policy

FELT_PERCENT, FELT_POINTS = 1.0, 3.0  # of the bill, of the score: from either on a mechanism counts as felt
FACTORS = frozenset(Row._fields) | {f.name for f in fields(Params) if f.type in ("Tensor", "float")}


class View(Model):
    """A scenario as someone sees it: rules overridden, numbers multiplied, columns of the world at their mean."""

    overrides: list[str] = Field(default_factory=list)
    """Changes of the scenario's rules; its weather stays."""
    factors: dict[str, float] = Field(default_factory=dict)
    """Number of a step → what it is multiplied by."""
    flat: list[str] = Field(default_factory=list)
    """Columns of the world that are seen at their mean."""

    @field_validator("factors")
    @classmethod
    def _known_numbers(cls, given: dict[str, float]) -> dict[str, float]:
        return given if not (wrong := sorted(set(given) - FACTORS)) else _unknown(wrong[0], sorted(FACTORS))

    @field_validator("flat")
    @classmethod
    def _known_columns(cls, given: list[str]) -> list[str]:
        return given if not (wrong := sorted(set(given) - set(Row._fields))) else _unknown(wrong[0], Row._fields)


def _unknown(name: str, allowed: Sequence[str]) -> Any:
    raise ValueError(f"{name!r} is no number of a step; allowed: {', '.join(allowed)}")


class Mechanism(Model):
    """Who ignores it and who lacks it; either may be left out where it makes no sense."""

    blind: View | None = None
    """What a planner believes who does not know it; null: not measured."""
    absent: View | None = None
    """The scenario without it; null: not measured."""


class FeltConfig(Model):
    """`configs/felt.yaml`: which mechanisms."""

    only: list[str]
    """Names of the mechanisms to measure; empty: all."""
    mechanisms: dict[str, Mechanism] = Field(min_length=1)
    """Mechanisms by name."""

    @property
    def wanted(self) -> dict[str, Mechanism]:
        """The mechanisms to measure, by name."""
        return {name: m for name, m in self.mechanisms.items() if not self.only or name in self.only}


def felt_config(config: DictConfig) -> FeltConfig:
    """The checked configuration.

    Raises:
        ConfigError: a wrong value, or the name of no mechanism.
    """
    checked = keys_checked(config, FeltConfig, "felt.yaml")
    for name in checked.only:
        if name not in checked.mechanisms:
            raise ConfigError(f"only: {name!r} is no mechanism; allowed: {', '.join(checked.mechanisms)}")
    return checked


@dataclass(frozen=True)
class Felt:
    """One mechanism over all episodes; None where there is no such view. CNY, an episode's mean."""

    name: str
    blind_cny: float | None  # what ignoring it costs, ≥ 0
    absent_cny: float | None  # what its absence costs: above 0 it helps, below 0 it hinders
    bound_cny: float
    saving_cny: float  # price_follow − bound: 100 points

    def percent(self, cny: float | None) -> float | None:
        """Of the bill of the true optimum."""
        return None if cny is None else 100.0 * cny / abs(self.bound_cny)

    def points(self, cny: float | None) -> float | None:
        """Of the score."""
        return None if cny is None else 100.0 * cny / self.saving_cny

    @property
    def is_felt(self) -> bool:
        """Ignoring it (where nobody can, its absence) changes the bill by 1 %, or the score by 3 points."""
        change = self.blind_cny if self.blind_cny is not None else self.absent_cny
        percent, points = self.percent(change), self.points(change)
        return abs(percent or 0.0) >= FELT_PERCENT or abs(points or 0.0) >= FELT_POINTS

    def as_row(self) -> dict[str, Any]:
        """A flat record for JSON."""
        shares = {f"{view}_{unit}": getattr(self, unit)(getattr(self, f"{view}_cny"))
                  for view in ("blind", "absent") for unit in ("percent", "points")}  # fmt: skip
        return {**vars(self), **shares, "felt": self.is_felt}


@dataclass(frozen=True)
class Job:
    """One optimum: of `seen`, paid for in `true`."""

    seen: Task
    true: Task

    @property
    def folder(self) -> str:
        """Where the cache keeps what was seen of this truth."""
        return f"felt/{self.true.params.name}/{self.true.key}"


def felt(
    config: FeltConfig, sim: Simulator, starts: Sequence[int], workers: int = 1, progress: Progress | None = None
) -> list[Felt]:
    """Measure every wanted mechanism on the episodes from `starts` (indices into `sim.bank.starts`)."""
    jobs: dict[tuple[str, str, int], Job] = {}
    for i, start in enumerate(starts):
        true = Task(*episode_window(sim, start), Options())
        jobs["", "bound", i] = Job(true, true)
        for name, mechanism in config.wanted.items():
            if mechanism.blind:
                jobs[name, "blind", i] = Job(seen_as(mechanism.blind, sim.scenario, true), true)
            if mechanism.absent:
                without = seen_as(mechanism.absent, sim.scenario, true)
                jobs[name, "absent", i] = Job(without, without)
    names, costs = list(jobs), {}
    for done, (i, cost) in enumerate(in_parallel(_paid, iter(jobs.values()), workers, _paid_before), 1):
        costs[names[i]] = cost
        if progress:
            progress(done, len(jobs))
    follow = np.mean([e.cost_cny for e in evaluate(sim, find_policy("price_follow", sim), starts)])

    def mean(name: str, view: str) -> float | None:
        found = [costs[name, view, i] for i in range(len(starts)) if (name, view, i) in costs]
        return float(np.mean(found)) if found else None

    best = mean("", "bound")
    assert best is not None
    return [
        Felt(name, _above(mean(name, "blind"), best), _above(mean(name, "absent"), best), best, float(follow) - best)
        for name in config.wanted
    ]


def _above(cny: float | None, best_cny: float) -> float | None:
    return None if cny is None else cny - best_cny


def seen_as(view: View, scenario: ScenarioConfig, task: Task) -> Task:
    """The task as `view` has it: overridden rules first, then factors, then flat columns. The weather stays."""
    params = build_params(overridden(scenario, view.overrides), torch.float64) if view.overrides else task.params
    params = replace(params, **_times(params, {f.name for f in fields(params)}, view.factors))
    rows = task.rows._replace(**_times(task.rows, set(Row._fields), view.factors))
    rows = rows._replace(**{name: _mean(getattr(rows, name)) for name in view.flat})
    return Task(params, task.state, rows, task.options)


def overridden(scenario: ScenarioConfig, overrides: Sequence[str]) -> ScenarioConfig:
    """The scenario with `KEY=VALUE` overrides of its fields.

    Raises:
        ConfigError: a key or a value that the schema does not allow.
    """
    base = OmegaConf.create(scenario.model_dump(mode="json"))
    merged = OmegaConf.to_container(OmegaConf.merge(base, OmegaConf.from_dotlist(list(overrides))))
    assert isinstance(merged, dict)
    return parse_scenario({str(k): v for k, v in merged.items()}, where=f"{', '.join(overrides)} in felt.yaml")


def _times(bundle: Params | Row, names: set[str], factors: Mapping[str, float]) -> dict[str, Any]:
    return {name: getattr(bundle, name) * factor for name, factor in factors.items() if name in names}


def _mean(column: Tensor) -> Tensor:
    """A column of the world `[T, …]` at its mean over the episode."""
    return column.mean(0, keepdim=True).expand_as(column).contiguous()


def _paid(job: Job) -> float:
    """CNY that the optimum of what is seen costs in truth; kept on disk."""

    def make() -> dict[str, Any]:
        solved = bound(*job.seen)
        if job.seen is job.true:
            return {"cny": np.array(solved.replay_cost)}
        params, state, rows, _ = job.true
        return {"cny": np.array(replay(params, state, rows, minded(params, state, solved.plan)).total_cny)}

    return float(cached(job.folder, job.seen.key, make)["cny"])


def _paid_before(job: Job) -> float | None:
    found = known(job.folder, job.seen.key)
    return None if found is None else float(found["cny"])
