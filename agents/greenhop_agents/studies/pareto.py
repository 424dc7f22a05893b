"""The trade-off between the bill and a second objective: the certified front, and how much of it policies reach.

The front comes from the linear programme, once for each price on the second objective: no policy's mean of bill +
price·objective is below the certified mean optimum. All those half-planes together bound what any policy can reach,
from outside; the optimal plans and their mixtures bound it from inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import torch
from omegaconf import DictConfig
from pydantic import Field

from greenhop.episode.decoders.find import build_decoder
from greenhop.episode.observations import build_observer
from greenhop.episode.simulator import Simulator
from greenhop.errors import ConfigError
from greenhop.physics.objectives import OBJECTIVES, objectives, raised
from greenhop.physics.rewards import report
from greenhop.scenario.config import Model, NonNegative
from greenhop_agents.base.cli import keys_checked
from greenhop_agents.policies.mpc import Mpc
from greenhop_agents.policies.policy import Policy
from greenhop_agents.policies.rules import RULES
from greenhop_agents.scoring.episodes import walk
from greenhop_agents.scoring.evaluate import Progress
from greenhop_agents.scoring.fronts import (
    Line,
    hypervolume,
    mixed_hypervolume,
    outer_corners,
    outer_hypervolume,
)
from greenhop_agents.scoring.optima import mean_optimum
from greenhop_agents.shelf.find import find_policy

Second = Literal["carbon_kg", "missed_mwh", "green_short_mwh"]


class ParetoConfig(Model):
    """`configs/pareto.yaml`: which objective beside the bill, which prices on it, and whose points are compared."""

    objective: Second
    """What is to be small beside the bill."""
    prices: Annotated[list[NonNegative], Field(min_length=1)]
    """CNY per unit of it: one certified optimum for each, and one point of every policy that follows prices."""
    following: list[str]
    """Rules and planners that decide anew for every price: as if they had to pay it."""
    policies: list[str]
    """Policies and run folders that are played as they are: one point each."""
    learned: dict[str, Annotated[list[str], Field(min_length=1)]] = Field(default_factory=dict)
    """Run folders that make one front together, trained for different prices or budgets; by its name."""


def pareto_config(config: DictConfig) -> ParetoConfig:
    """The checked configuration.

    Raises:
        ConfigError: a wrong value.
    """
    return keys_checked(config, ParetoConfig, "pareto.yaml")


Place = tuple[float, float]  # mean bill, CNY, and mean of the second objective


@dataclass(frozen=True)
class Front:
    """What came out, all means over the same episodes."""

    objective: str
    optimal: dict[float, Place]  # by price, of the optimal plans
    outer: list[Place]  # corners of the certified front from outside
    reached: dict[str, list[Place]]  # by policy
    reference: Place  # the worst of both that occurs: hypervolumes are counted from here
    outer_area: float
    inner_area: float  # of the optimal plans and their mixtures

    def area(self, name: str) -> float:
        """Hypervolume of a policy's points."""
        return hypervolume(self.reached[name], self.reference)

    def as_row(self) -> dict[str, Any]:
        """A record for JSON."""
        shares = {name: self.area(name) / self.outer_area for name in self.reached}
        return {
            "objective": self.objective,
            "optimal": [
                {"price_cny": price, "cost_cny": x, self.objective: y} for price, (x, y) in self.optimal.items()
            ],
            "outer": self.outer,
            "reached": self.reached,
            "reference": self.reference,
            "hypervolume": {"certified": self.outer_area, "optimal_plans": self.inner_area},
            "share_of_certified": {**shares, "optimal_plans": self.inner_area / self.outer_area},
        }


def pareto(sim: Simulator, starts: Sequence[int], config: ParetoConfig, progress: Progress | None = None) -> Front:
    """Bound the trade-off and place policies in it.

    Raises:
        SolverError: an episode that is not solved and certified.
        ConfigError: an unknown policy.
    """
    name, prices = config.objective, sorted({0.0, *config.prices})
    optimal, lines = {}, []
    for done, price in enumerate(prices, 1):
        point = mean_optimum(sim, starts, {name: price} if price else {})
        optimal[price] = (point.totals["cost_cny"], point.totals[name])
        lines.append(Line(1.0, price, point.lower_bound))
        if progress:
            progress(done, len(prices) + 1)
    scale = max(prices) or 1.0  # in CNY, as the solver's tolerances want it
    least = mean_optimum(sim, starts, {name: scale}, bill=0.0).lower_bound / scale
    if progress:
        progress(len(prices) + 1, len(prices) + 1)
    lines.append(Line(0.0, 1.0, least))
    reached = _reached(sim, starts, config, prices)
    everywhere = [*optimal.values(), *(place for places in reached.values() for place in places)]
    reference = (max(x for x, _ in everywhere), max(y for _, y in everywhere))
    corner = (lines[0].at_least, least)
    return Front(
        objective=name,
        optimal=optimal,
        outer=outer_corners(lines, reference, corner),
        reached=reached,
        reference=reference,
        outer_area=outer_hypervolume(lines, reference, corner),
        inner_area=mixed_hypervolume(list(optimal.values()), reference),
    )


def _reached(
    sim: Simulator, starts: Sequence[int], config: ParetoConfig, prices: Sequence[float]
) -> dict[str, list[Place]]:
    """By policy, where it stands for each price, or as it is."""
    out: dict[str, list[Place]] = {}
    for name in config.following:
        places = []
        for price in prices:
            paid: dict[str, float] = {config.objective: price}
            policy = _following(name, sim, paid)
            places.append(place(paying(sim, paid), policy, starts, config.objective, price))
        out[name] = places
    fronts = {name: [name] for name in config.policies} | config.learned
    for name, runs in fronts.items():
        out[name] = sorted(place(sim, find_policy(run, sim), starts, config.objective) for run in runs)
    return out


def _following(name: str, sim: Simulator, paid: dict[str, float]) -> Policy:
    """A rule or planner that counts these prices too."""
    policy = find_policy(name, sim)
    if isinstance(policy, Mpc):
        return replace(policy, prices=paid)
    if name in RULES:
        return policy
    raise ConfigError(f"following = {name!r} does not look at prices; put it among policies")


def paying(sim: Simulator, paid: dict[str, float]) -> Simulator:
    """The same simulator for an operator who also pays these prices on objectives: decoders count them."""
    params = raised(sim.params, paid)
    observer = build_observer(params, len(sim.scenario.forecast.leads_h))
    return replace(sim, params=params, decoder=build_decoder(params, sim.scenario), observer=observer)


def place(sim: Simulator, policy: Policy, starts: Sequence[int], objective: str, price: float = 0.0) -> Place:
    """Mean bill without the `price` that is paid on the objective, and mean of the objective."""
    total = torch.zeros(len(OBJECTIVES), dtype=torch.float64)
    for done in walk(sim, policy, torch.as_tensor(list(starts))):
        told, owed = report(sim.params, done.flows), (done.before.state.owed_mwh, done.after.state.owed_mwh)
        total += objectives(sim.params, told, *owed).double().mean(0)
    second = float(total[OBJECTIVES.index(objective)])
    return float(total[0]) - price * second, second
