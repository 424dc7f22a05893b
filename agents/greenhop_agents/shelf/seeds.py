"""Several seeds of one agent: one run folder each, trained one after the other in one process, and their summary."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from greenhop.errors import ConfigError
from greenhop_agents.scoring.bounds import EpisodeBound
from greenhop_agents.scoring.evaluate import Episode, score
from greenhop_agents.scoring.stats import Interval, interval
from greenhop_agents.shelf.runs import facts_of


@dataclass(frozen=True)
class SeedResult:
    """What one seed reached on the episodes of `evaluation.*`."""

    seed: int
    folder: str
    cost_cny: list[float]
    score: list[float] | None  # None where no bound was solved


def per_seed(config: DictConfig) -> list[DictConfig]:
    """The configuration of every seed in `config.seeds`; `config` itself where it names none.

    The run folder of a seed is `output` with `-s<seed>` at its end.

    Raises:
        ConfigError: seeds that repeat, a folder that exists already, or seeds together with `resume`.
    """
    seeds = list(config.get("seeds") or ())
    if not seeds:
        return [config]
    if config.get("resume"):
        raise ConfigError(f"seeds = {seeds} does not go with resume = {config.resume!r}: resume the run of one seed")
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds = {seeds} names a seed twice")
    folders = [f"{common_output(config.output)}-s{seed}" for seed in seeds]
    for folder in folders:
        if Path(folder).exists():
            raise ConfigError(f"output = {folder!r} exists already; name another folder or other seeds")
    changes = ({"seed": seed, "seeds": None, "output": folder} for seed, folder in zip(seeds, folders, strict=True))
    return [OmegaConf.merge(config, change) for change in changes]  # type: ignore[misc]


def common_output(output: str) -> str:
    """`output` without the seed at its end: `runs/pair2/ppo-s0` → `runs/pair2/ppo`."""
    return re.sub(r"-s\d+$", "", output)


def result_of(
    config: DictConfig, policy: str, episodes: Mapping[str, Sequence[Episode]], bounds: Sequence[EpisodeBound] | None
) -> SeedResult:
    """The costs of `policy` and, with bounds, its score in every episode."""
    costs, usual = ([e.cost_cny for e in episodes.get(name, ())] for name in (policy, "price_follow"))
    best = None if bounds is None else [b.bound_cny for b in bounds]
    return SeedResult(int(config.seed), str(config.output), costs, _scores(usual, costs, best))


def stored_result(folder: Path) -> SeedResult:
    """The same from the final evaluation in a run folder.

    Raises:
        ConfigError: no run folder, or one without an evaluation.
    """
    facts = facts_of(folder)
    try:
        rows = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
        names = (facts["agent"]["name"], "price_follow", "bound")
        costs, usual, best = ([float(r["cost_cny"]) for r in rows if r["policy"] == name] for name in names)
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(f"{folder} has no final evaluation (evaluation.json); train to the end first") from None
    return SeedResult(int(facts["seed"]), str(folder), costs, _scores(usual, costs, best or None))


def _scores(usual: Sequence[float], costs: Sequence[float], best: Sequence[float] | None) -> list[float] | None:
    """Share of the achievable saving in every episode, %; None without bounds."""
    return None if best is None else [score(*triple) for triple in zip(usual, costs, best, strict=True)]


def overall(results: Sequence[SeedResult]) -> Interval | None:
    """Interquartile mean of the scores over seeds and episodes, with its 95 % bootstrap interval."""
    rows = [r.score for r in results]
    if any(row is None for row in rows):
        return None
    return interval(np.array(rows, dtype=np.float64))


def merit(results: Sequence[SeedResult]) -> float:
    """One number, the larger the better: the mean score, or where none is known minus the mean cost in CNY."""
    scores = [s for r in results for s in r.score or ()]
    return float(np.mean(scores)) if scores else -float(np.mean([c for r in results for c in r.cost_cny]))


def summary(agent: str, scenario: str, results: Sequence[SeedResult]) -> dict[str, Any]:
    """What is written beside the run folders."""
    iqm = overall(results)
    return {
        "agent": agent,
        "scenario": scenario,
        "runs": [dict(vars(r)) for r in results],
        "iqm_score": None if iqm is None else iqm._asdict(),
    }
