"""Certified lower bounds of the cost of episodes, by the clairvoyant linear programme.

Every bound is kept on disk as soon as it is found: an interrupted run goes on where it stopped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from omegaconf import DictConfig

from greenhop_agents.base.cli import scenario_of, write_json

if TYPE_CHECKING:
    from rich.table import Table

    from greenhop_agents.scoring.bounds import EpisodeBound


def main(config: DictConfig) -> None:
    """Solve, certify, print; files last."""
    from rich.console import Console

    from greenhop.episode.simulator import build_simulator
    from greenhop.lp.solve import Options
    from greenhop_agents.base.hardware import hardware
    from greenhop_agents.base.progress import progress_bar
    from greenhop_agents.report.nodal import check_prices_path, save_prices
    from greenhop_agents.scoring.bounds import episode_bounds

    check_prices_path(config.prices)
    scenario = scenario_of(config)
    sim = build_simulator(scenario, config.split)
    options = Options(solver=config.solver.name, time_limit_s=config.solver.time_limit_s)
    starts = sim.bank.spread(config.episodes).tolist()
    with progress_bar(f"bounds of {scenario.name}", "episode") as progress:
        progress(0, len(starts))
        bounds = episode_bounds(sim, starts, options, config.workers, progress, use_cache=config.cache)
    title = f"{scenario.name}, {config.split}: clairvoyant optimum of {len(bounds)} episodes"
    Console().print(_table(bounds, title, f"solver: CPU time of {config.solver.name} on {hardware()}"))
    write_json(config.json, [b.as_row() for b in bounds])
    if config.prices is not None:
        save_prices(sim, starts[0], options, config.prices)


def _table(bounds: list[EpisodeBound], title: str, caption: str) -> Table:
    from statistics import median

    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left", box=SIMPLE_HEAD)
    for heading in ("episode", "bound\nCNY", "plan replayed\nCNY", "relative\ngap", "solver\ns"):
        table.add_column(heading, justify="right")
    rows = [(str(b.episode), b.bound_cny, b.replay_cny, b.relative_gap, b.seconds) for b in bounds]
    middle = [median(column) for column in zip(*(row[1:] for row in rows), strict=True)]
    for name, lower, replayed, gap, seconds in [*rows, ("median", *middle)]:
        if name == "median":
            table.add_section()
        table.add_row(name, f"{lower:,.0f}", f"{replayed:,.0f}", f"{gap:.1e}", f"{seconds:.2f}")
    return table
