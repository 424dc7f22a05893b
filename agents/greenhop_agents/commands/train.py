"""Train an agent (or go on with resume=RUN_DIR), score it on held-out episodes, and keep everything in a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from greenhop_agents.base.cli import check_file_path, write_json
from greenhop_agents.base.stopping import exit_code

if TYPE_CHECKING:
    from rich.console import Console

    from greenhop_agents.shelf.seeds import SeedResult


def main(config: DictConfig) -> float | None:
    """Train, evaluate, print, seed by seed; files are written as they become final.

    Returns:
        What a sweep should raise: the mean score over seeds and episodes, or without bounds minus the mean cost in CNY.
    """
    from rich.console import Console

    from greenhop_agents.learners.parallel import join_team
    from greenhop_agents.report.console import seed_table
    from greenhop_agents.shelf.seeds import common_output, merit, per_seed, summary
    from greenhop_agents.training.train import resumed

    config, console = resumed(config), Console()
    check_file_path("json", config.json)
    records: list[dict[str, object]] = []
    results = [train_one(one, console, records) for one in per_seed(config)]
    if join_team().rank:
        return None  # one process reports for all
    write_json(config.json, records)
    if len(results) > 1:
        console.print(seed_table(results, f"{config.agent.name} on {config.scenario.name}: {len(results)} seeds"))
        path = f"{common_output(config.output)}-seeds.json"
        write_json(path, summary(config.agent.name, config.scenario.name, results))
        console.print(f"summary: {path}", soft_wrap=True)
    return merit(results)


def train_one(config: DictConfig, console: Console, records: list[dict[str, object]]) -> SeedResult:
    """Train and score one seed; appends a record for every policy and episode."""
    from greenhop_agents.base.progress import progress_bar
    from greenhop_agents.learners.parallel import join_team
    from greenhop_agents.report.console import policy_table
    from greenhop_agents.scoring.scoreboard import summarise
    from greenhop_agents.shelf.seeds import result_of
    from greenhop_agents.training.train import compare, train

    title = f"training {config.agent.name} on {config.scenario.name}, seed {config.seed}"
    try:
        with progress_bar(title, "step") as update:
            policy = train(config, update)
    except KeyboardInterrupt as stop:
        said = str(stop) or "before anything was learnt; the same command begins anew"
        console.print(f"interrupted: {said}", soft_wrap=True)
        raise SystemExit(exit_code(stop)) from None
    if join_team().rank:
        return result_of(config, policy.name, {policy.name: []}, None)
    with progress_bar("scoring on held-out episodes", "episode") as update:
        episodes, bounds = compare(config, ["stay", "price_follow", policy], 2, update)
    rows = [e.as_row() for group in episodes.values() for e in group]
    write_json(str(Path(config.output) / "evaluation.json"), rows)
    records += [{"seed": config.seed, **row} for row in rows]
    lines = summarise(episodes, None if bounds is None else [b.bound_cny for b in bounds])
    title = f"{config.scenario.name}, {config.evaluation.split}: means of {config.evaluation.episodes} episodes"
    console.print(policy_table(lines, title))
    console.print(f"run folder: {config.output}\ncurves: tensorboard --logdir {config.output}", soft_wrap=True)
    return result_of(config, policy.name, episodes, bounds)
