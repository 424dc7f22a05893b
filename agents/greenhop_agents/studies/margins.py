"""By how much policies stay above the certified bound: rules, planners and random actions on the same episodes.

Everything runs in float64, so that a policy that comes close is not judged by rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from omegaconf import DictConfig
from pydantic import Field
from torch import Tensor

from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.errors import ConfigError
from greenhop.scenario.config import Count, Model, NonNegative, Positive, ScenarioConfig, Split
from greenhop.scenario.find import load_scenario
from greenhop_agents.base.cli import keys_checked
from greenhop_agents.base.overrides import own_hydra
from greenhop_agents.policies.policy import ActionPolicy, Policy
from greenhop_agents.scoring.bounds import episode_bounds
from greenhop_agents.scoring.evaluate import Progress, evaluate
from greenhop_agents.shelf.find import find_policy


class MarginsConfig(Model):
    """`configs/margins.yaml`: which episodes, and which policies on them."""

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
    seed: Annotated[int, Field(ge=0)]
    """Seed of the random actions."""

    @property
    def wanted(self) -> dict[str, int]:
        """Episodes by scenario, those without any left out."""
        most = self.at_most
        counts = {name: count if most is None else min(count, most) for name, count in self.scenarios.items()}
        return {name: count for name, count in counts.items() if count}


def margins_config(config: DictConfig) -> MarginsConfig:
    """The checked configuration.

    Raises:
        ConfigError: a wrong value, or nothing to do.
    """
    checked = keys_checked(config, MarginsConfig, "margins.yaml")
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
    costs_cny: Mapping[str, float]

    @property
    def nearest(self) -> str:
        """The cheapest policy."""
        return min(self.costs_cny, key=lambda name: self.costs_cny[name])

    @property
    def margin_cny(self) -> float:
        """What the cheapest policy paid above the bound; negative where it broke it."""
        return self.costs_cny[self.nearest] - self.bound_cny

    @property
    def relative(self) -> float:
        """The margin over the bound's size; below a bound of 1 CNY the margin itself."""
        return self.margin_cny / max(abs(self.bound_cny), 1.0)

    def as_row(self) -> dict[str, Any]:
        """A flat record for JSON."""
        facts = {name: getattr(self, name) for name in ("scenario", "episode", "start", "bound_cny", "relative_gap")}
        paid = {f"{name}_cny": cost for name, cost in self.costs_cny.items()}
        return {**facts, "nearest": self.nearest, "margin_cny": self.margin_cny, **paid}


def scenario_margins(
    config: MarginsConfig, scenario: ScenarioConfig, workers: int = 1, progress: Progress | None = None
) -> list[Margin]:
    """Bound and play the episodes of one scenario; what was bounded before is read from disk."""
    sim = build_simulator(scenario, config.split, dtype=torch.float64)
    starts = sim.bank.spread(config.wanted[scenario.name]).tolist()
    paid = {policy.name: [e.cost_cny for e in evaluate(sim, policy, starts)] for policy in policies_of(config, sim)}
    bounds = episode_bounds(sim, starts, workers=workers, progress=progress)
    return [
        Margin(
            scenario.name, b.episode, b.start, b.bound_cny, b.relative_gap, {p: costs[i] for p, costs in paid.items()}
        )
        for i, b in enumerate(bounds)
    ]


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
