"""Train an agent (or go on with resume=RUN_DIR), score it on held-out episodes, and keep everything in a run folder."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from greenhop_agents.cli import INTERRUPTED, check_json_path, run, write_json


def main(config: DictConfig) -> None:
    """Train, evaluate, print; files are written as they become final."""
    from rich.console import Console

    from greenhop_agents.parallel import join_team
    from greenhop_agents.progress import progress_bar
    from greenhop_agents.scoreboard import as_table, summarise
    from greenhop_agents.training import compare, resumed, train

    config = resumed(config)
    check_json_path(config.json)
    console = Console()
    try:
        with progress_bar(f"training {config.agent.name} on {config.scenario.name}", "step") as update:
            policy = train(config, update)
    except KeyboardInterrupt as stop:
        console.print(f"interrupted: {str(stop) or 'what was learnt is in ' + config.output}", soft_wrap=True)
        raise SystemExit(INTERRUPTED) from None
    if join_team().rank:
        return  # one process reports for all
    with progress_bar("certified bounds", "episode") as update:
        episodes, bounds = compare(config, ["stay", "price_follow", policy], 2, update)
    records = [e.as_row() for group in episodes.values() for e in group]
    write_json(str(Path(config.output) / "evaluation.json"), records)
    write_json(config.json, records)
    lines = summarise(episodes, None if bounds is None else [b.bound_cny for b in bounds])
    title = f"{config.scenario.name}, {config.evaluation.split}: means of {config.evaluation.episodes} episodes"
    console.print(as_table(lines, title))
    console.print(f"run folder: {config.output}\ncurves: tensorboard --logdir {config.output}", soft_wrap=True)


if __name__ == "__main__":
    run("train", main)
