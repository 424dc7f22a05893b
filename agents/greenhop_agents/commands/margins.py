"""Does any policy cost less than the certified bound? Rules and random actions on days of many scenarios.

Every bound is kept on disk as soon as it is found: an interrupted run goes on where it stopped. Exit code 1 where a
policy went below its bound.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from greenhop_agents.base.cli import write_json

if TYPE_CHECKING:
    from rich.table import Table

    from greenhop_agents.studies.margins import Margin

BELOW = 1


def main(config: DictConfig) -> None:
    """Bound, play, print; JSON last."""
    from rich.console import Console

    from greenhop_agents.base.progress import progress_bar
    from greenhop_agents.studies.margins import margins_config, scenario_margins, scenarios_of

    checked = margins_config(config)
    found: list[Margin] = []
    for name, scenario in scenarios_of(checked).items():
        with progress_bar(f"bounds of {name}", "episode") as progress:
            found += scenario_margins(checked, scenario, config.workers, progress)
    Console().print(_table(found))
    write_json(config.json, [m.as_row() for m in found])
    below = [m for m in found if m.margin_cny < 0.0]
    for m in below:
        print(
            f"below the bound: {m.nearest} in {m.scenario}, start {m.start}: {m.margin_cny:,.2f} CNY", file=sys.stderr
        )
    if below:
        raise SystemExit(BELOW)


def _table(found: list[Margin]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    below = sum(m.margin_cny < 0.0 for m in found)
    title = f"{len(found)} episodes, {len(found[0].costs_cny)} policies on each: {below} below the bound"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("scenario")
    for heading in ("episodes", "largest\ngap", "smallest\nmargin, CNY", "of the\nbound", "policy"):
        table.add_column(heading, justify="right")
    groups = {name: [m for m in found if m.scenario == name] for name in dict.fromkeys(m.scenario for m in found)}
    for name, group in [*groups.items(), ("all", found)]:
        if name == "all":
            table.add_section()
        least, gap = min(group, key=lambda m: m.relative), max(abs(m.relative_gap) for m in group)
        margin = f"{least.margin_cny:,.2f}"
        table.add_row(name, str(len(group)), f"{gap:.0e}", margin, f"{100 * least.relative:.3g} %", least.nearest)
    return table
