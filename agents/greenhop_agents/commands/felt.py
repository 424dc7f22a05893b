"""What each mechanism of a scenario is worth: the cost of ignoring it, and of its absence, over days of all seasons.

Every optimum is kept on disk as soon as it is found: an interrupted run goes on where it stopped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from omegaconf import DictConfig

from greenhop_agents.base.cli import scenario_of, write_json

if TYPE_CHECKING:
    from rich.table import Table

    from greenhop_agents.studies.felt import Felt


def main(config: DictConfig) -> None:
    """Solve, replay, print; JSON last."""
    from rich.console import Console

    from greenhop.episode.simulator import build_simulator
    from greenhop_agents.base.progress import progress_bar
    from greenhop_agents.studies.felt import felt, felt_config, overridden

    checked = felt_config(config)
    scenario = overridden(scenario_of(config), [f"episode.length_h={config.length_h}"])
    sim = build_simulator(scenario, config.split)
    starts = sim.bank.spread(config.episodes).tolist()
    with progress_bar(f"optima of {scenario.name}", "optimum") as progress:
        found = felt(checked, sim, starts, config.workers, progress)
    Console(width=120).print(_table(found))
    bill, saving = found[0].bound_cny / 1e6, found[0].saving_cny / 1e6
    print(f"{scenario.name}, {config.split}: {config.episodes} episodes of {config.length_h:g} h; "
          f"optimal bill {bill:.2f}, 100 points {saving:.2f} million CNY")  # fmt: skip
    write_json(config.json, [f.as_row() for f in found])


def _table(found: list[Felt]) -> Table:
    from rich.box import MARKDOWN
    from rich.table import Table

    table = Table(box=MARKDOWN)
    table.add_column("mechanism")
    for heading in ("ignored: bill, %", "points", "absent: bill, %", "points"):
        table.add_column(heading, justify="right")
    table.add_column("felt")
    for f in found:
        blind, absent = f.blind_cny, f.absent_cny
        cells = (f.percent(blind), f.points(blind), f.percent(absent), f.points(absent))
        shown = ("–" if cell is None else f"{cell:+.2f}" for cell in cells)
        table.add_row(f.name, *shown, "yes" if f.is_felt else "no")
    return table
