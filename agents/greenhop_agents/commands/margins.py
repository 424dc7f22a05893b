"""Does any policy cost less than the certified bound? Rules and random actions on days of many scenarios, as flows and,
with `jobs=[COUNT]`, as whole jobs.

Every bound is kept on disk as soon as it is found: an interrupted run goes on where it stopped. Exit code 1 where a
policy went below its bound.
"""

from __future__ import annotations

import sys
from statistics import mean
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from greenhop_agents.base.cli import write_json
from greenhop_agents.base.tables import show

if TYPE_CHECKING:
    from rich.table import Table

    from greenhop_agents.studies.margins import Margin

BELOW = 1


def main(config: DictConfig) -> None:
    """Bound, play, print; JSON last."""
    from greenhop_agents.base.progress import progress_bar
    from greenhop_agents.studies.margins import margins_config, scenario_margins, scenarios_of

    checked = margins_config(config)
    found: list[Margin] = []
    for name, scenario in scenarios_of(checked).items():
        with (
            progress_bar(f"whole jobs of {name}", "episode") as playing,
            progress_bar(f"bounds of {name}", "episode") as progress,
        ):
            found += scenario_margins(checked, scenario, config.workers, progress, playing)
    show(_table(found), *([_jobs_table(found)] if checked.jobs else []))
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


def _jobs_table(found: list[Margin]) -> Table:
    """Policy by policy: how far flows and whole jobs stay above the bound, and jobs above the same policy's flows."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title="whole jobs beside flows, %", title_justify="left", box=SIMPLE_HEAD)
    for heading in ("scenario", "policy", "jobs"):
        table.add_column(heading)
    above = [f"{of} above\nbound, mean" for of in ("flows", "jobs")]
    for heading in (above[0], "least", above[1], "least", "jobs above\nflows, mean", "below\nbound"):
        table.add_column(heading, justify="right")
    for scenario in dict.fromkeys(m.scenario for m in found):
        group = [m for m in found if m.scenario == scenario]
        for name in group[0].costs_cny:
            for count in group[0].jobs_cny:
                table.add_row(scenario, name, f"{count:,}", *_compared(group, name, count))
    return table


def _compared(group: list[Margin], policy: str, count: int) -> list[str]:
    flows = [100.0 * (m.costs_cny[policy] / m.bound_cny - 1.0) for m in group]
    jobs = [100.0 * (m.jobs_cny[count][policy] / m.bound_cny - 1.0) for m in group]
    loss = [100.0 * (m.jobs_cny[count][policy] / m.costs_cny[policy] - 1.0) for m in group]
    below = sum(x < 0.0 for x in (*flows, *jobs))
    numbers = (mean(flows), min(flows), mean(jobs), min(jobs), mean(loss))
    return [*(f"{x:.2f}" for x in numbers), str(below)]
