"""One line for every comparison: what each policy cost, how much of the achievable saving it captured, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

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


def labels(names: Sequence[str], given: Sequence[str]) -> list[str]:
    """What tables call policies: their names; where several share one, how each was asked for.

    Args:
        names: of the policies.
        given: how they were asked for: a name, or the path of a run folder.
    """
    short = [Path(path).name for path in given]
    several = {name for name in names if names.count(name) > 1}
    asked = short if len(set(short)) == len(set(given)) else given
    return [word if name in several else name for name, word in zip(names, asked, strict=True)]


def summarise(
    by_policy: Mapping[str, Sequence[Episode]],
    bound_cny: Sequence[float] | None = None,
    reference: str = "price_follow",
) -> list[Line]:
    """Means per policy; the score compares mean costs over the same episodes.

    Args:
        by_policy: episodes of every policy, the same ones for all.
        bound_cny: certified bound of each episode; None leaves scores out.
        reference: the policy that scores 0.
    """
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
