"""One table for every comparison: what each policy cost, how much of the achievable saving it captured, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from greenhop_agents.scoring.evaluate import Episode, score

KG_PER_T = 1e3
CNY_PER_MCNY = 1e6


@dataclass(frozen=True)
class Line:
    """Means over episodes of one policy; `score` is None where no bound was solved."""

    policy: str
    cost_cny: float
    score: float | None
    carbon_kg: float
    green_share: float
    missed_share: float
    migrated_mwh: float
    decision_s: float

    def as_row(self) -> dict[str, Any]:
        """A flat record for JSON."""
        return dict(vars(self))


def summarise(
    by_policy: Mapping[str, Sequence[Episode]],
    bound_cny: Sequence[float] | None = None,
    reference: str = "price_follow",
) -> list[Line]:
    """Means per policy; the score compares mean costs over the same episodes."""
    base = _mean(e.cost_cny for e in by_policy[reference]) if reference in by_policy else None
    best = None if bound_cny is None else _mean(bound_cny)
    return [_line(name, list(episodes), base, best) for name, episodes in by_policy.items()]


def _line(name: str, episodes: list[Episode], reference: float | None, bound: float | None) -> Line:
    cost = _mean(e.cost_cny for e in episodes)
    known = reference is not None and bound is not None
    return Line(
        policy=name,
        cost_cny=cost,
        score=score(reference, cost, bound) if known else None,  # type: ignore[arg-type]
        carbon_kg=_mean(e.totals["carbon_kg"] for e in episodes),
        green_share=_mean(e.green_share for e in episodes),
        missed_share=_mean(e.missed_share for e in episodes),
        migrated_mwh=_mean(e.totals["migrated_mwh"] for e in episodes),
        decision_s=_mean(e.decision_s for e in episodes),
    )


def _mean(values: Any) -> float:
    return float(np.mean(list(values)))


def compared_decisions(lines: Sequence[Line]) -> list[str]:
    """How much faster the first policy decides than each one that is slower; times of one decision of a batch."""
    first, times = lines[0], lines[0].decision_s
    slower = [line for line in lines[1:] if line.decision_s > times]
    return [f"{first.policy} decides {line.decision_s / times:,.0f} times as fast as {line.policy}" for line in slower]


def as_table(lines: Sequence[Line], title: str) -> Table:
    """The table that scripts print."""
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
