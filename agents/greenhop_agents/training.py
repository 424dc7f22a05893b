"""From a configuration to a trained, evaluated and saved agent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from greenhop.errors import ConfigError
from greenhop.simulator import Simulator, build_simulator
from greenhop_agents.bounds import EpisodeBound, episode_bounds
from greenhop_agents.cli import pick_device, scenario_of
from greenhop_agents.evaluate import Episode, evaluate
from greenhop_agents.policy import Policy
from greenhop_agents.registry import find_policy
from greenhop_agents.runs import save_policy, start_run

Update = Callable[[int, int], None]


def train_sb3(config: DictConfig, sim: Simulator, folder: Path, update: Update) -> Policy:
    """Train an SB3 agent and save its policy; an interrupt ends training early and keeps what was learnt."""
    from greenhop_agents.sb3 import HubVecEnv, Watch, as_policy, build_model, learn

    agent: Any = OmegaConf.to_container(config.agent, resolve=True)
    env = HubVecEnv(sim, agent["num_envs"], config.seed)
    model = build_model(env, agent["algorithm"], config.seed, str(sim.params.device), agent["options"])
    total = int(config.total_steps)

    def tick(steps: int) -> bool:
        update(min(steps, total), total)
        return True

    try:
        learn(model, total, folder / "tensorboard", [Watch(tick)])
    finally:
        save_policy(folder, model.policy.state_dict())
    return as_policy(model, agent["name"])


TRAINERS: dict[str, Callable[[DictConfig, Simulator, Path, Update], Policy]] = {"sb3": train_sb3}


def train(config: DictConfig, update: Update) -> Policy:
    """Create the run folder `config.output`, train `config.agent` on the train split and save its policy there."""
    if config.agent.kind not in TRAINERS:
        raise ConfigError(f"agent.kind = {config.agent.kind!r} is unknown; allowed: {', '.join(TRAINERS)}")
    if config.total_steps < 1:
        raise ConfigError(f"total_steps = {config.total_steps} must be at least 1")
    sim = build_simulator(scenario_of(config), "train", device=pick_device(config.device))
    start_run(Path(config.output), config, sim)
    return TRAINERS[config.agent.kind](config, sim, Path(config.output), update)


def compare(
    config: DictConfig, policies: list[Policy | str], bound_workers: int, update: Update
) -> tuple[dict[str, list[Episode]], list[EpisodeBound] | None]:
    """Evaluate policies (objects or names) on the same episodes of `config.evaluation`; bounds too if it asks for them."""
    wanted = config.evaluation
    sim = build_simulator(scenario_of(config), wanted.split, device=pick_device(config.device))
    starts = sim.bank.spread(wanted.episodes)
    found = [find_policy(p, sim) if isinstance(p, str) else p for p in policies]
    episodes = {policy.name: evaluate(sim, policy, starts) for policy in found}
    bounds = episode_bounds(sim, starts.tolist(), workers=bound_workers, progress=update) if wanted.bound else None
    if bounds is not None:
        episodes["bound"] = [b.as_episode() for b in bounds]
    return episodes, bounds
