"""By how much policies stay above the certified bound: rules, planners and random actions on the same episodes.

Everything runs in float64, so that a policy that comes close is not judged by rounding. On demand every policy also
runs the same episodes with whole jobs, whose bills may not be below the bound of the flows either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from omegaconf import DictConfig
from pydantic import Field
from torch import Tensor

from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.errors import ConfigError
from greenhop.jobs.draw import JobStatistics, episode_jobs
from greenhop.scenario.config import Count, Model, NonNegative, Positive, ScenarioConfig, Split
from greenhop.scenario.find import load_scenario
from greenhop_agents.base.cli import keys_checked
from greenhop_agents.base.overrides import own_hydra
from greenhop_agents.policies.policy import ActionPolicy, Policy
from greenhop_agents.scoring.bounds import episode_bounds
from greenhop_agents.scoring.evaluate import Progress, evaluate
from greenhop_agents.scoring.jobs import InDouble, run_jobs
from greenhop_agents.shelf.find import find_policy


class MarginsConfig(Model):
    """`configs/margins.yaml`: which episodes, and which policies on them."""

    only: list[str]
    """Names of the scenarios to play; empty: all."""
    scenarios: dict[str, Annotated[int, Field(ge=0)]]
    """Scenario → episodes of it, spread over years and seasons; 0 leaves it out."""
    at_most: Count | None
    """Most episodes of any scenario, for a quick look; null: no limit."""
    length_h: Positive
    """How long every episode lasts, h."""
    split: Split
    """Whose years the episodes are of."""
    policies: list[str]
    """Rules and planners."""
    spreads: list[NonNegative]
    """Standard deviations of random actions."""
    jobs: list[Annotated[int, Field(ge=1, le=20_000_000)]]
    """Whole jobs that an episode's deferrable work is cut into, one run for each count; empty: flows alone."""
    seed: Annotated[int, Field(ge=0)]
    """Seed of the random actions and of the jobs."""

    @property
    def wanted(self) -> dict[str, int]:
        """Episodes by scenario, those without any left out."""
        most = self.at_most
        names = self.only or list(self.scenarios)
        counts = {n: c if most is None else min(c, most) for n, c in self.scenarios.items() if n in names}
        return {name: count for name, count in counts.items() if count}


def margins_config(config: DictConfig) -> MarginsConfig:
    """The checked configuration.

    Raises:
        ConfigError: a wrong value, or nothing to do.
    """
    checked = keys_checked(config, MarginsConfig, "margins.yaml")
    if unknown := sorted(set(checked.only) - set(checked.scenarios)):
        raise ConfigError(f"only: {unknown[0]!r} is unknown; allowed: {', '.join(checked.scenarios)}")
    if not checked.wanted or not (checked.policies or checked.spreads):
        raise ConfigError("margins.yaml: no episode or no policy is left; give a scenario episodes, and a policy")
    return checked


def scenarios_of(config: MarginsConfig) -> dict[str, ScenarioConfig]:
    """The scenarios that have episodes, with episodes of the wanted length.

    Raises:
        ConfigError: an unknown scenario, or a length that does not fit its steps.
    """
    with own_hydra():
        return {name: load_scenario(name, [f"episode.length_h={config.length_h}"]) for name in config.wanted}


@dataclass(frozen=True)
class Margin:
    """One episode: its bound and what every policy paid."""

    scenario: str
    episode: int
    start: int
    bound_cny: float
    relative_gap: float  # between the bound and the replay of the optimal plan
    costs_cny: Mapping[str, float]  # as flows
    jobs_cny: Mapping[int, Mapping[str, float]] = field(default_factory=dict)  # by the count of whole jobs

    @property
    def paid_cny(self) -> dict[str, float]:
        """Every bill by who paid it, with flows and with whole jobs."""
        whole = {f"{name}, {n} jobs": cost for n, costs in self.jobs_cny.items() for name, cost in costs.items()}
        return {**self.costs_cny, **whole}

    @property
    def nearest(self) -> str:
        """The cheapest policy."""
        paid = self.paid_cny
        return min(paid, key=lambda name: paid[name])

    @property
    def margin_cny(self) -> float:
        """What the cheapest policy paid above the bound; negative where it broke it."""
        return self.paid_cny[self.nearest] - self.bound_cny

    @property
    def relative(self) -> float:
        """The margin over the bound's size; below a bound of 1 CNY the margin itself."""
        return self.margin_cny / max(abs(self.bound_cny), 1.0)

    def as_row(self) -> dict[str, Any]:
        """A flat record for JSON."""
        facts = {name: getattr(self, name) for name in ("scenario", "episode", "start", "bound_cny", "relative_gap")}
        paid = {f"{name}_cny": cost for name, cost in self.paid_cny.items()}
        return {**facts, "nearest": self.nearest, "margin_cny": self.margin_cny, **paid}


def scenario_margins(
    config: MarginsConfig,
    scenario: ScenarioConfig,
    workers: int = 1,
    progress: Progress | None = None,
    playing: Progress | None = None,
) -> list[Margin]:
    """Bound and play the episodes of one scenario; what was bounded before is read from disk.

    Args:
        config: episodes and policies.
        scenario: whose episodes are played.
        workers: parallel processes for the bounds.
        progress: told of the bounds.
        playing: told of the episodes with whole jobs.
    """
    sim = build_simulator(scenario, config.split, dtype=torch.float64)
    starts = sim.bank.spread(config.wanted[scenario.name]).tolist()
    policies = policies_of(config, sim)
    paid = {p.name: [e.cost_cny for e in evaluate(sim, InDouble(p), starts)] for p in policies}
    whole = _with_jobs(config, sim, starts, playing)
    bounds = episode_bounds(sim, starts, workers=workers, progress=progress)
    return [
        Margin(
            scenario.name, b.episode, b.start, b.bound_cny, b.relative_gap,
            {name: costs[i] for name, costs in paid.items()}, whole[i],
        )
        for i, b in enumerate(bounds)
    ]  # fmt: skip


def _with_jobs(
    config: MarginsConfig, sim: Simulator, starts: Sequence[int], playing: Progress | None
) -> list[dict[int, dict[str, float]]]:
    """For each start, what every policy pays by count of jobs; a count's jobs are the same for all."""
    found: list[dict[int, dict[str, float]]] = []
    for i, start in enumerate(starts):
        found.append({})
        for count in config.jobs:
            jobs = episode_jobs(sim, start, JobStatistics(count=count), config.seed)
            found[-1][count] = {p.name: run_jobs(sim, p, start, jobs).cost_cny for p in policies_of(config, sim)}
        if playing and config.jobs:
            playing(i + 1, len(starts))
    return found


def policies_of(config: MarginsConfig, sim: Simulator) -> Sequence[Policy]:
    """The named policies, and one of random actions for every spread."""
    named = [find_policy(name, sim) for name in config.policies]
    return [*named, *(random_actions(sim, spread, config.seed) for spread in config.spreads)]


def random_actions(sim: Simulator, spread: float, seed: int) -> ActionPolicy:
    """Independent normal actions, held inside the action space."""
    g = torch.Generator().manual_seed(seed)

    def act(obs: Tensor) -> Tensor:
        return (spread * torch.randn(len(obs), sim.action_size, generator=g)).clamp(-1.0, 1.0).to(obs)

    return ActionPolicy(f"random_{spread:g}", act)
