"""What noise of one spread costs a policy, for each block of the action: is the action space fit to be explored?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from omegaconf import DictConfig

from greenhop.errors import ConfigError
from greenhop_agents.base.cli import keys_checked, scenario_of, write_json

if TYPE_CHECKING:
    from rich.table import Table

    from greenhop_agents.studies.conditioning import Conditioning


def main(config: DictConfig) -> None:
    """Play, bound, print; JSON last."""
    from rich.console import Console

    from greenhop.episode.simulator import build_simulator
    from greenhop_agents.base.progress import progress_bar
    from greenhop_agents.policies.policy import Acting
    from greenhop_agents.scoring.bounds import episode_bounds
    from greenhop_agents.shelf.find import find_policy
    from greenhop_agents.studies.conditioning import ConditioningConfig, condition

    settings = keys_checked(config, ConditioningConfig, "conditioning.yaml")
    scenario = scenario_of(config)
    sim = build_simulator(scenario, config.split)
    policy = find_policy(config.policy, sim)
    if not isinstance(policy, Acting):
        raise ConfigError(f"policy = {config.policy!r} takes no actions that noise could be added to; name a network")
    starts = sim.bank.spread(config.episodes).tolist()
    with progress_bar("certified bounds", "episode") as update:
        solved = episode_bounds(sim, starts, workers=config.workers, progress=update)
    found = condition(sim, policy, starts, [b.bound_cny for b in solved], settings)
    title = f"{config.policy} on {scenario.name}, {config.split}: {config.episodes} episodes, {config.repeats} times"
    Console().print(_table(found, title))
    write_json(config.json, found.as_row())


def _table(found: Conditioning, title: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column(f"noise of {found.sigma:g} on")
    table.add_column("score", justify="right")
    table.add_column("points lost", justify="right")
    table.add_row("nothing", f"{found.clean:.1f}", "")
    for name, value in found.noisy.items():
        table.add_row(name, f"{value:.1f}", f"{found.lost[name]:.1f}")
    table.add_row("(uniform actions)", f"{found.uniform:.1f}", "")
    return table
