"""How much of the achievable saving the action space can express: bids optimised open loop with perfect foresight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omegaconf import DictConfig

from greenhop.errors import ConfigError
from greenhop_agents.base.cli import keys_checked, scenario_of, write_json

if TYPE_CHECKING:
    from rich.table import Table

    from greenhop_agents.studies.ceiling import Ceiling


def main(config: DictConfig) -> None:
    """Bound, optimise, print; JSON last."""
    from rich.console import Console

    from greenhop.episode.simulator import build_simulator
    from greenhop_agents.base.progress import progress_bar
    from greenhop_agents.policies.policy import Acting
    from greenhop_agents.scoring.bounds import episode_bounds
    from greenhop_agents.shelf.find import find_policy
    from greenhop_agents.studies.ceiling import CeilingConfig, ceiling

    settings = keys_checked(config, CeilingConfig, "ceiling.yaml")
    scenario = scenario_of(config)
    sim = build_simulator(scenario, config.split)
    policy = find_policy(config.policy, sim)
    if not isinstance(policy, Acting):
        raise ConfigError(f"policy = {config.policy!r} has no bids to begin with; name a network or price_follow")
    starts = sim.bank.spread(config.episodes).tolist()
    with progress_bar("certified bounds", "episode") as update:
        bounds = episode_bounds(sim, starts, workers=config.workers, progress=update)
    with progress_bar(f"bids of {scenario.name}", "update") as update:
        found = ceiling(sim, policy, starts, bounds, settings, update)
    Console().print(_table(found, f"{scenario.name}, {config.split}: {config.episodes} episodes, from {config.policy}"))
    write_json(config.json, found.as_row())


def _table(found: Ceiling, title: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("")
    table.add_column("points", justify="right")
    table.add_row("score before", f"{found.before:.2f}")
    table.add_row("score reached", f"{found.score:.2f}")
    table.add_row("lowest of an episode", f"{min(found.scores):.2f}")
    table.add_section()
    for term, points in found.left.items():
        table.add_row(f"{term} above the optimum", f"{points:+.2f}")
    return table
