"""Check that a scenario shows what its table of targets says; exit code 1 when a target is missed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omegaconf import DictConfig

from greenhop_agents.base.cli import scenario_of, write_json

if TYPE_CHECKING:
    from rich.table import Table

    from greenhop_agents.studies.calibration import Check

MISSED = 1


def main(config: DictConfig) -> None:
    """Measure, print, write JSON, judge."""
    from rich.console import Console

    from greenhop.episode.simulator import build_simulator
    from greenhop_agents.base.overrides import own_hydra
    from greenhop_agents.base.progress import progress_bar
    from greenhop_agents.studies.calibration import checks, direct_saving, facts, ladder, measure

    scenario, bounds = scenario_of(config), min(config.bounds, config.episodes)
    sim = build_simulator(scenario, config.split)
    starts = sim.bank.spread(config.episodes).tolist()
    with progress_bar(f"bounds of {scenario.name}", "episode") as progress:
        measured = measure(sim, starts, bounds, config.workers, progress)
    values = {**facts(sim), **ladder(sim, measured)}
    if config.direct:
        with own_hydra():
            other = build_simulator(config.direct, config.split)
        with progress_bar(f"bounds of {config.direct}", "episode") as progress:
            values["direct_saving"] = direct_saving(other, starts[: config.direct_bounds], config.workers, progress)
    found = checks(values)
    costs = measured.costs_cny()
    console = Console()
    title = f"{scenario.name}, {config.split}: {config.episodes} episodes, optima of the first {bounds}"
    console.print(_table(found, title))
    console.print("million CNY: " + ", ".join(f"{name} {cost / 1e6:.1f}" for name, cost in costs.items()))
    write_json(config.json, {"cost_cny": costs, "checks": [c.as_row() for c in found]})
    if any(c.passed is False for c in found):
        raise SystemExit(MISSED)


def _table(found: list[Check], title: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("target")
    for heading in ("wanted", "measured", "unit"):
        table.add_column(heading, justify="right")
    table.add_column("")
    verdicts = {True: "pass", False: "[red]missed[/red]", None: "not measured"}
    for c in found:
        table.add_row(c.what, c.wanted, "–" if c.value is None else f"{c.value:.4g}", c.unit, verdicts[c.passed])
    return table
