"""Who keeps a budget, and at what price: policies beside the certified optimum that keeps it too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from omegaconf import DictConfig

from greenhop.episode.budgets import Budget, Budgets
from greenhop.episode.simulator import Simulator
from greenhop.errors import ConfigError
from greenhop.lp.trade_off import weighted
from greenhop.scenario.config import Model
from greenhop_agents.base.cli import keys_checked
from greenhop_agents.scoring.evaluate import Episode, Progress, evaluate
from greenhop_agents.scoring.optima import BudgetOptimum, budget_optimum
from greenhop_agents.shelf.find import find_policy


class BudgetsConfig(Model):
    """`configs/budgets.yaml`: which budget, and whose use of it is compared."""

    constraints: Budgets
    """The budget: one of them."""
    policies: list[str]
    """Rules, planners and run folders."""


class Keeping(NamedTuple):
    """One policy on all episodes."""

    policy: str
    cost_cny: float  # mean bill
    used: float  # mean use of the budget
    kept: bool


class BudgetStudy(NamedTuple):
    """What came out."""

    budget: Budget
    optimum: BudgetOptimum
    policies: list[Keeping]

    def as_row(self) -> dict[str, Any]:
        """A record for JSON."""
        rows = [p._asdict() for p in self.policies]
        return {"budget": self.budget.name, "limit": self.budget.limit, **self.optimum._asdict(), "policies": rows}


def budgets_config(config: DictConfig) -> BudgetsConfig:
    """The checked configuration.

    Raises:
        ConfigError: a wrong value.
    """
    return keys_checked(config, BudgetsConfig, "budgets.yaml")


def only_budget(config: BudgetsConfig, sim: Simulator) -> Budget:
    """The one budget that is set.

    Raises:
        ConfigError: none or several: a multiplier is searched for one at a time.
    """
    found = config.constraints.listed(sim.params)
    if len(found) != 1:
        names = ", ".join(b.name for b in found) or "none"
        allowed = ", ".join(Budgets.model_fields)
        raise ConfigError(f"constraints: exactly one budget is wanted, not {names}; set one of {allowed}")
    return found[0]


def budget_study(
    sim: Simulator, starts: Sequence[int], config: BudgetsConfig, progress: Progress | None = None
) -> BudgetStudy:
    """Play the policies and search the optimum that keeps the budget.

    Raises:
        ConfigError: not one budget, or an unknown policy.
        SolverError: an episode that is not solved, or a budget that no plan keeps.
    """
    budget = only_budget(config, sim)
    policies = [find_policy(name, sim) for name in config.policies]
    kept = [keeping(name, evaluate(sim, p, starts), budget) for name, p in zip(config.policies, policies, strict=True)]
    return BudgetStudy(budget, budget_optimum(sim, starts, budget, progress), kept)


def keeping(name: str, episodes: Sequence[Episode], budget: Budget) -> Keeping:
    """What a policy's episodes cost and used on average."""
    totals = [{**e.totals, "cost_cny": 0.0} for e in episodes]
    used = sum(weighted(t, {budget.name: 1.0}, share=budget.share) for t in totals) / len(episodes)
    cost = sum(e.cost_cny for e in episodes) / len(episodes)
    return Keeping(name, cost, used, used <= budget.limit)
