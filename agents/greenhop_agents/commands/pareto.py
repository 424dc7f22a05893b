"""The trade-off between the bill and carbon (or another objective): the certified front, and what policies reach."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omegaconf import DictConfig

from greenhop_agents.base.cli import scenario_of, write_json

if TYPE_CHECKING:
    from rich.table import Table

    from greenhop_agents.studies.pareto import Front


def main(config: DictConfig) -> None:
    """Bound, play, draw, print; JSON last."""
    from pathlib import Path

    from rich.console import Console

    from greenhop.episode.simulator import build_simulator
    from greenhop_agents.base.progress import progress_bar
    from greenhop_agents.report.front_figure import draw_front
    from greenhop_agents.studies.pareto import pareto, pareto_config

    settings = pareto_config(config)
    scenario = scenario_of(config)
    sim = build_simulator(scenario, config.split)
    starts = sim.bank.spread(config.episodes).tolist()
    with progress_bar(f"certified front of {scenario.name}", "price") as update:
        found = pareto(sim, starts, settings, update)
    title = f"{scenario.name}, {config.split}: means of {config.episodes} episodes"
    if config.figure is not None:
        draw_front(found, title, Path(config.figure))
    Console().print(_table(found, title))
    write_json(config.json, found.as_row())


def _table(found: Front, title: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("policy")
    for heading in ("points", "lowest bill, CNY", f"lowest {found.objective}", "hypervolume, %"):
        table.add_column(heading, justify="right")
    for name, places in {**found.reached, "optimal plans": list(found.optimal.values())}.items():
        area = found.inner_area if name == "optimal plans" else found.area(name)
        lowest = [min(p[i] for p in places) for i in (0, 1)]
        share = 100.0 * area / found.outer_area
        table.add_row(name, str(len(places)), f"{lowest[0]:,.0f}", f"{lowest[1]:,.6g}", f"{share:.2f}")
    return table
