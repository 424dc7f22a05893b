"""Train PPO on two hubs, score it on held-out days against rules and the certified optimum, and draw one of them."""

from __future__ import annotations

from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from greenhop.errors import ConfigError
from greenhop.files import ENDING
from greenhop_agents.base.cli import scenario_of, write_json

if TYPE_CHECKING:
    from greenhop_agents.policies.policy import Policy
    from greenhop_agents.scoring.evaluate import Episode
    from greenhop_agents.scoring.scoreboard import Line

RULES = ("stay", "price_follow", "greenest")
WRITTEN = (
    "config.yaml",
    "run.json",
    "training.json",
    "tensorboard",
    "policy.safetensors",
    "checkpoints",
    "evaluation.json",
    "day.png",
)


def main(config: DictConfig) -> None:
    """Train, compare, print the table, draw a day."""
    from rich.console import Console

    from greenhop_agents.base.progress import progress_bar
    from greenhop_agents.report.console import policy_table
    from greenhop_agents.scoring.scoreboard import summarise
    from greenhop_agents.training.train import compare, train

    console, folder = Console(), Path(config.output)
    if discard(folder):
        console.print(f"replacing {folder}, which an earlier demo left", soft_wrap=True)
    console.print(f"preparing the weather, prices and work of {config.scenario.name} (slow only the first time)")
    with progress_bar(f"training {config.agent.name} on {config.scenario.name}", "step") as update:
        policy = train(config, update)
    with progress_bar("certified bounds", "day") as update:
        episodes, bounds = compare(config, [*RULES, policy], config.workers, update)
    records = [e.as_row() for group in episodes.values() for e in group]
    write_json(str(folder / "evaluation.json"), records)
    write_json(config.json, records)
    lines = summarise(episodes, [b.bound_cny for b in bounds or ()] or None)
    console.print(policy_table(lines, f"{config.scenario.name}: means of {config.evaluation.episodes} held-out days"))
    draw(config, policy, episodes, lines, folder / "day.png")
    console.print(
        "saving captured: 0 % pays what price_follow pays, 100 % is the certified optimum of perfect foresight\n"
        f"picture: {folder / 'day.png'}\ncurves:  tensorboard --logdir {folder}  (then open http://localhost:6006)",
        soft_wrap=True,
    )


def discard(folder: Path) -> bool:
    """Remove what an earlier demo left; whether there was anything.

    Raises:
        ConfigError: the folder holds something that no demo writes.
    """
    if not folder.exists():
        return False
    foreign = (
        [folder]
        if not folder.is_dir()
        else [path for path in folder.iterdir() if path.name not in WRITTEN and path.suffix != ENDING]
    )
    if foreign:
        raise ConfigError(
            f"output = {str(folder)!r} holds {foreign[0].name!r}, which no demo wrote; name another folder"
        )
    rmtree(folder)
    return True


def draw(config: DictConfig, policy: Policy, episodes: dict[str, list[Episode]], lines: list[Line], path: Path) -> None:
    """The day with the median saving of the agent against price_follow, beside its clairvoyant optimum."""
    from greenhop.episode.simulator import build_simulator
    from greenhop.scenario.sites import locations_deg
    from greenhop_agents.report.figures import draw_day
    from greenhop_agents.scoring.trace import record_bound, record_policy

    scenario = scenario_of(config)
    sim = build_simulator(scenario, config.evaluation.split)
    saved = [b.cost_cny - a.cost_cny for a, b in zip(episodes[policy.name], episodes["price_follow"], strict=True)]
    start = episodes[policy.name][saved.index(sorted(saved)[len(saved) // 2])].start
    heading = f"{len(scenario.sites)} hubs on a held-out day, the one with the median saving"
    days = record_policy(sim, policy, start), record_bound(sim, start)
    draw_day(path, *days, lines, locations_deg(scenario), heading)
