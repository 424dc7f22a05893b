"""Run a policy on held-out episodes and report what it cost and did."""

from __future__ import annotations

from omegaconf import DictConfig

from greenhop_agents.cli import pick_device, run, scenario_of, write_json


def main(config: DictConfig) -> None:
    """Evaluate, optionally bound, print; JSON last."""
    from rich.console import Console

    from greenhop.simulator import build_simulator
    from greenhop_agents.bounds import episode_bounds
    from greenhop_agents.evaluate import evaluate
    from greenhop_agents.progress import progress_bar
    from greenhop_agents.registry import find_policy
    from greenhop_agents.scoreboard import as_table, summarise
    from greenhop_agents.video import check_video_path, film

    check_video_path(config.video)
    scenario = scenario_of(config)
    sim = build_simulator(scenario, config.split, device=pick_device(config.device))
    starts = sim.bank.spread(config.episodes)
    policy = find_policy(config.policy, sim)
    with progress_bar(f"{policy.name} on {scenario.name}", "step") as update:
        episodes = {policy.name: evaluate(sim, policy, starts, update)}
    records = [e.as_row() for e in episodes[policy.name]]
    bounds = None
    if config.bound:
        if policy.name != "price_follow":
            episodes["price_follow"] = evaluate(sim, find_policy("price_follow", sim), starts)
        with progress_bar("certified bounds", "episode") as update:
            solved = episode_bounds(sim, starts.tolist(), workers=config.workers, progress=update)
        bounds = [b.bound_cny for b in solved]
        episodes["bound"] = [b.as_episode() for b in solved]
        records = [{**record, "bound_cny": b} for record, b in zip(records, bounds, strict=True)]
    title = f"{scenario.name}, {config.split}: means of {config.episodes} episodes"
    Console().print(as_table(summarise(episodes, bounds), title))
    write_json(config.json, records)
    if config.video is not None:
        with progress_bar(f"filming {policy.name}", "frame") as update:
            film(sim, policy, int(starts[0]), config.video, update)


if __name__ == "__main__":
    run("evaluate", main)
