"""Run a policy on held-out episodes and report what it cost and did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omegaconf import DictConfig

from greenhop_agents.base.cli import pick_device, scenario_of, write_json

if TYPE_CHECKING:
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
    for policy, name in zip(deciding, labels([p.name for p in policies], asked), strict=True):
        with progress_bar(f"{name} on {scenario.name}", "step") as update:
            episodes[name] = evaluate(sim, policy, starts, update)
    records = [{**e.as_row(), "policy": name} for name, group in episodes.items() for e in group]
    bounds = None
    if config.bound:
        if "price_follow" not in episodes:
            episodes["price_follow"] = evaluate(sim, find_policy("price_follow", sim), starts)
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
