"""Tables that commands print: policies side by side, seeds of one agent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from greenhop_agents.scoring.scoreboard import CNY_PER_MCNY, KG_PER_T, Line
from greenhop_agents.shelf.seeds import SeedResult, overall


def compared_decisions(lines: Sequence[Line]) -> list[str]:
    """How much faster the first policy decides than each one that is slower; times of one decision of a batch."""
    first, times = lines[0], lines[0].decision_s
    slower = [line for line in lines[1:] if line.decision_s > times]
    return [f"{first.policy} decides {line.decision_s / times:,.0f} times as fast as {line.policy}" for line in slower]


def policy_table(lines: Sequence[Line], title: str) -> Table:
    """What each policy of an evaluation cost and did."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=0)
    table.add_column("policy", no_wrap=True)
    for heading in (
        "cost\nmillion\nCNY",
        "saving\ncaptured\n%",
        "carbon\n\nt",
        "green\nshare\n%",
        "missed\nwork\n%",
        "migrated\n\nMWh",
        "decision\n\nms",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for line in lines:
        table.add_row(
            line.policy,
            f"{line.cost_cny / CNY_PER_MCNY:.3f}",
            "–" if line.score is None else f"{line.score:.1f}",
            f"{line.carbon_kg / KG_PER_T:,.0f}",
            f"{100 * line.green_share:.1f}",
            f"{100 * line.missed_share:.3f}",
            f"{line.migrated_mwh:,.0f}",
            "–" if np.isnan(line.decision_s) else f"{1e3 * line.decision_s:.3f}",
        )
    return table


def seed_table(results: Sequence[SeedResult], title: str) -> Table:
    """One line for each seed; the interquartile mean and its interval below."""
    iqm = overall(results)
    caption = (
        None if iqm is None else f"IQM of the scores {iqm.value:.1f}, 95 % interval {iqm.low:.1f} to {iqm.high:.1f}"
    )
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left", box=SIMPLE_HEAD)
    for heading in ("seed", "cost\nmillion CNY", "saving captured\n%", "run folder"):
        table.add_column(heading, justify="left" if heading == "run folder" else "right", no_wrap=True)
    for r in results:
        saving = "–" if r.score is None else f"{np.mean(r.score):.1f}"
        table.add_row(str(r.seed), f"{np.mean(r.cost_cny) / CNY_PER_MCNY:.3f}", saving, r.folder)
    return table
