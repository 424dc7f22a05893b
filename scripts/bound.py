"""Certified lower bounds of the cost of episodes, by the clairvoyant linear programme."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omegaconf import DictConfig

from greenhop_agents.cli import run, scenario_of, write_json

if TYPE_CHECKING:
    from rich.table import Table

    from greenhop_agents.bounds import EpisodeBound


def main(config: DictConfig) -> None:
    """Solve, certify, print; write JSON last."""
    from rich.console import Console

    from greenhop.lp.solve import Options
    from greenhop.simulator import build_simulator
    from greenhop_agents.bounds import episode_bounds
    from greenhop_agents.progress import progress_bar

    scenario = scenario_of(config)
    sim = build_simulator(scenario, config.split)
    options = Options(solver=config.solver.name, time_limit_s=config.solver.time_limit_s)
    starts = sim.bank.spread(config.episodes).tolist()
    with progress_bar(f"bounds of {scenario.name}", "episode") as progress:
        bounds = episode_bounds(sim, starts, options, config.workers, progress)
    Console().print(_table(bounds, f"{scenario.name}, {config.split}: clairvoyant optimum of {len(bounds)} episodes"))
    write_json(config.json, [b.as_row() for b in bounds])


def _table(bounds: list[EpisodeBound], title: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for heading in ("episode", "bound\nCNY", "plan replayed\nCNY", "relative gap", "solver\ns"):
        table.add_column(heading, justify="right")
    for b in bounds:
        table.add_row(
            str(b.episode), f"{b.bound_cny:,.0f}", f"{b.replay_cny:,.0f}", f"{b.relative_gap:.1e}", f"{b.seconds:.2f}"
        )
    return table


if __name__ == "__main__":
    run("bound", main)
