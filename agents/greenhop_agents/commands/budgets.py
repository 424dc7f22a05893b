"""What keeping a budget costs: policies, and the certified optimum with its multiplier.

The multiplier is what a kg or MWh more would save: the price that a Lagrangian learner should find.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from omegaconf import DictConfig

from greenhop_agents.base.cli import scenario_of, write_json

if TYPE_CHECKING:
    from rich.table import Table

    from greenhop_agents.studies.budgets import BudgetStudy


def main(config: DictConfig) -> None:
    """Play, bound, draw, print; JSON last."""
    from pathlib import Path

    from rich.console import Console

    from greenhop.episode.simulator import build_simulator
    from greenhop_agents.base.progress import progress_bar
    from greenhop_agents.report.budget_figure import budget_curves, draw_budget
    from greenhop_agents.studies.budgets import budget_study, budgets_config, only_budget

    settings = budgets_config(config)
    scenario = scenario_of(config)
    sim = build_simulator(scenario, config.split)
    budget = only_budget(settings, sim)
    starts = sim.bank.spread(config.episodes).tolist()
    told = {} if config.figure is None else budget_curves(settings.policies, budget.name)
    with progress_bar(f"price of {budget.name}", "price") as update:
        found = budget_study(sim, starts, settings, update)
    if config.figure is not None:
        draw_budget(found, told, f"{scenario.name}: a budget, and the price learnt for it", Path(config.figure))
    Console().print(_table(found, f"{scenario.name}, {config.split}: means of {config.episodes} episodes"))
    write_json(config.json, found.as_row())


def _table(found: BudgetStudy, title: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    best, name, limit = found.optimum, found.budget.name, found.budget.limit
    table = Table(title=f"{title}; {name} at most {limit:,.6g}", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("policy")
    for heading in ("bill, CNY", name, "kept"):
        table.add_column(heading, justify="right")
    for p in found.policies:
        table.add_row(p.policy, f"{p.cost_cny:,.0f}", f"{p.used:,.6g}", "yes" if p.kept else "no")
    table.add_section()
    table.add_row("optimum without it", f"{best.free_cny:,.0f}", f"{best.free_used:,.6g}", "")
    table.add_row("optimum that keeps it", f"{best.attained_cny:,.0f}", f"{limit:,.6g}", "yes")
    table.add_row("certified bound", f"{best.lower_bound_cny:,.0f}", "", "")
    table.add_row("its price, CNY a unit", f"{best.price_cny:,.4g}", "", "")
    return table
