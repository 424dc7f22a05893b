"""Run a policy on held-out episodes and report what it cost and did."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from greenhop_agents.base.cli import pick_device, scenario_of, write_json

if TYPE_CHECKING:
    from greenhop.episode.simulator import Simulator
    from greenhop_agents.policies.policy import Policy
    from greenhop_agents.scoring.evaluate import Episode


def main(config: DictConfig) -> None:
    """Evaluate, optionally bound, print; JSON last."""
    from rich.console import Console

    from greenhop.episode.simulator import build_simulator
    from greenhop_agents.base.progress import progress_bar
    from greenhop_agents.policies.compiled import CompiledPolicy
    from greenhop_agents.report.console import compared_decisions, policy_table
    from greenhop_agents.report.video import check_video_path, film
    from greenhop_agents.scoring.bounds import episode_bounds
    from greenhop_agents.scoring.evaluate import evaluate
    from greenhop_agents.scoring.scoreboard import labels, summarise
    from greenhop_agents.shelf.find import find_policy

    check_video_path(config.video)
    scenario = scenario_of(config)
    sim = build_simulator(scenario, config.split, device=pick_device(config.device))
    starts = sim.bank.spread(config.episodes)
    asked = list(dict.fromkeys((config.policy, *config.beside)))
    policies = [find_policy(name, sim) for name in asked]
    deciding = list(policies)
    if config.compile:
        deciding[0] = CompiledPolicy(policies[0], sim, config.episodes)  # for this many at once, unlike a film
    episodes: dict[str, list[Episode]] = {}
    named = dict(zip(labels([p.name for p in policies], asked), policies, strict=True))
    for policy, name in zip(deciding, named, strict=True):
        with progress_bar(f"{name} on {scenario.name}", "step") as update:
            episodes[name] = evaluate(sim, policy, starts, update)
    records = [{**e.as_row(), "policy": name} for name, group in episodes.items() for e in group]
    bounds = None
    if config.bound:
        if "price_follow" not in episodes:
            named["price_follow"] = find_policy("price_follow", sim)
            episodes["price_follow"] = evaluate(sim, named["price_follow"], starts)
        with progress_bar("certified bounds", "episode") as update:
            solved = episode_bounds(sim, starts.tolist(), workers=config.workers, progress=update)
        bounds = [b.bound_cny for b in solved]
        episodes["bound"] = [b.as_episode() for b in solved]
        records = [{**record, "bound_cny": bounds[record["episode"]]} for record in records]
    lines = summarise(episodes, bounds)
    title = f"{scenario.name}, {config.split}: means of {config.episodes} episodes"
    Console().print(policy_table(lines, title), *compared_decisions(lines), sep="\n")
    write_json(config.json, records)
    if config.video is not None:
        with progress_bar(f"filming {policies[0].name}", "frame") as update:
            film(sim, policies[0], int(starts[0]), config.video, update)
    if config.replay is not None or config.csv is not None:
        _write_first_episode(config, sim, named, int(starts[0]))


def _write_first_episode(config: DictConfig, sim: Simulator, named: Mapping[str, Policy], start: int) -> None:
    """What every policy did in the episode that begins at `start`: as a page to play, as a table."""
    from greenhop.files import write_text
    from greenhop_agents.base.progress import progress_bar
    from greenhop_agents.report.replay import replay_page
    from greenhop_agents.scoring.series import as_frame, bound_series, policy_series

    weeks = {}
    with progress_bar("recording", "policy") as update:
        for done, (name, policy) in enumerate(named.items(), 1):
            weeks[name] = policy_series(sim, policy, start)
            update(done, len(named))
    if config.bound:
        weeks["bound"] = bound_series(sim, start)
    if config.replay is not None:
        write_text(Path(config.replay), replay_page(sim.scenario, weeks))
    if config.csv is not None:
        table = as_frame(weeks, sim.params)
        write_text(Path(config.csv), table.to_csv(index=False, float_format="%.10g", lineterminator="\n"))
