"""From a configuration to a trained, evaluated and saved agent.

`agent.kind` says who trains: `sb3` (Stable-Baselines3), or one of the native learners `shac` and `ppo`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from shutil import rmtree
from time import perf_counter
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn
from torch.utils.tensorboard import SummaryWriter
from yaml import YAMLError

from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.errors import ConfigError, one_line
from greenhop_agents.base.cli import pick_device, scenario_of
from greenhop_agents.base.progress import Update
from greenhop_agents.learners.parallel import join_team
from greenhop_agents.learners.validation import Validation, build_validation
from greenhop_agents.learners.weights import save_policy
from greenhop_agents.policies.policy import ActionPolicy, Policy
from greenhop_agents.scoring.bounds import EpisodeBound, episode_bounds
from greenhop_agents.scoring.evaluate import Episode, evaluate
from greenhop_agents.shelf.find import find_policy
from greenhop_agents.shelf.runs import load_policy, log_training, start_run
from greenhop_agents.training.cloning import parse_warm_start, warm_start

VALIDATION = {"episodes": 0, "every": 0.05, "bound": False}  # where a configuration says nothing: none
CHECKPOINTS = 50  # of a native agent's training run
KEPT = 10  # weights that an SB3 agent's training run leaves on the way


def train_sb3(config: DictConfig, sim: Simulator, folder: Path, update: Update) -> Policy:
    """Train an SB3 agent and save its policy; an interrupt ends training early and keeps what was learnt."""
    from greenhop_agents.learners.sb3 import (
        Keep,
        Validate,
        Watch,
        as_policy,
        build_agent,
        build_env,
        learn,
        sync_targets,
    )

    agent: Any = OmegaConf.to_container(config.agent, resolve=True)
    began = perf_counter()
    model = build_agent(build_env(sim, agent, config.seed), agent, config.seed)
    total = int(config.total_steps)
    validation = validation_of(config, folder)
    begin_warm(config, sim, as_policy(model, agent["name"]), model.policy.parameters(), folder, update)
    sync_targets(model)

    def tick(steps: int) -> bool:
        update(min(steps, total), total, validation.note() if validation else "")
        return True

    kept = Keep(folder / "checkpoints", max(1, total // KEPT))
    watchers: list[Watch | Validate | Keep] = [Watch(tick), kept]
    if validation is not None:
        watchers.append(Validate(validation, agent["name"], every=_every(config, total)))
    try:
        learn(model, total, folder / "tensorboard", watchers)
    finally:
        log_training(folder, model.num_timesteps, perf_counter() - began)
        if validation is None or validation.best_cny == float("inf"):
            save_policy(folder, model.policy.state_dict())
    return as_policy(model, agent["name"]) if validation is None else load_policy(folder, sim)


def train_native(config: DictConfig, sim: Simulator, folder: Path, update: Update) -> Policy:
    """Train a native agent, from the start or from the last checkpoint in its folder, and save its best policy.

    Raises:
        KeyboardInterrupt: Ctrl-C ended training early; everything is saved.
    """
    from greenhop_agents.learners.learner import build_learner
    from greenhop_agents.learners.loop import Schedule, Training

    agent: Any = OmegaConf.to_container(config.agent, resolve=True)
    total, team, began = int(config.total_steps), join_team(), perf_counter()
    training = Training(
        learner=build_learner(sim, agent["kind"], agent["options"], config.seed, team),
        name=agent["name"],
        folder=folder,
        schedule=Schedule(total, _every(config, total), max(1, total // CHECKPOINTS)),
        identity={
            "agent": agent,
            "scenario": sim.scenario.model_dump(mode="json"),
            "seed": config.seed,
            "total": total,
        },
        validation=validation_of(config, folder) if team.rank == 0 else None,
        leads=team.rank == 0,
    )
    actor = training.learner.agent.actor
    if config.get("resume"):
        training.resume()
    else:
        if team.rank == 0:
            begin_warm(config, sim, ActionPolicy(agent["name"], actor.act, actor), actor.parameters(), folder, update)
        team.copy_first(actor.parameters())
        training.learner.begin_average()
    finished = training.run(update)
    if team.rank == 0:
        log_training(folder, training.steps, perf_counter() - began)
    if team.rank == 0 and training.validation is None:
        save_policy(folder, training.learner.actor.state_dict())
    if not finished:
        raise KeyboardInterrupt(f"saved after {training.steps} steps; go on with resume={folder}")
    return load_policy(folder, sim) if team.rank == 0 else training.learner.policy(agent["name"])


def begin_warm(
    config: DictConfig, sim: Simulator, policy: Policy, parameters: Iterable[nn.Parameter], folder: Path, update: Update
) -> None:
    """Let the networks of `policy` imitate the teacher that `agent.warm_start` names, if any; losses are logged.

    Raises:
        ConfigError: a mistake in the settings, or a policy that is no function of the present observation alone.
    """
    wanted = parse_warm_start(config.agent.get("warm_start"))
    if wanted.weights is not None:
        take_over(find_policy(wanted.weights, sim), policy)
    if wanted.teacher is None:
        return
    if not isinstance(policy, ActionPolicy):
        raise ConfigError(f"agent.warm_start: {policy.name} remembers earlier steps, so single states cannot teach it")
    losses = warm_start(sim, policy.act, parameters, wanted, config.seed, update)
    with SummaryWriter(str(folder / "tensorboard")) as writer:
        for epoch, loss in enumerate(losses):
            writer.add_scalar("warm_start/loss", loss, epoch)


def take_over(giver: Policy, taker: Policy) -> None:
    """Let the network of `taker` begin with the weights of `giver`.

    Raises:
        ConfigError: they are not native agents with networks alike.
    """
    networks = [p.network if isinstance(p, ActionPolicy) else None for p in (giver, taker)]
    if networks[0] is None or networks[1] is None:
        raise ConfigError(f"agent.warm_start.weights: {giver.name} and {taker.name} are not both native agents")
    try:
        networks[1].load_state_dict(networks[0].state_dict())
    except RuntimeError as error:
        raise ConfigError(f"agent.warm_start.weights: {giver.name} does not fit: {one_line(error)[:200]}") from None


def _every(config: DictConfig, total: int) -> int:
    """Steps between two validations."""
    return max(1, int(total * ({**VALIDATION, **(config.get("validation") or {})}["every"])))


def validation_of(config: DictConfig, folder: Path) -> Validation | None:
    """Validation as `config.validation` asks for it; None where it asks for no episodes."""
    wanted = {**VALIDATION, **(config.get("validation") or {})}
    if not wanted["episodes"]:
        return None
    sim = build_simulator(scenario_of(config), "val", device=pick_device(config.device))
    return build_validation(sim, int(wanted["episodes"]), bool(wanted["bound"]), folder)


TRAINERS: dict[str, Callable[[DictConfig, Simulator, Path, Update], Policy]] = {
    "sb3": train_sb3,
    "shac": train_native,
    "ppo": train_native,
}


def resumed(config: DictConfig) -> DictConfig:
    """The configuration of the run that `config.resume` names, to be continued; `config` itself where it names none.

    Raises:
        ConfigError: no run folder, or an agent that cannot be resumed.
    """
    if not config.get("resume"):
        return config
    folder = Path(str(config.resume))
    try:
        kept = OmegaConf.load(folder / "config.yaml")
    except (OSError, YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"resume = {str(folder)!r} is no run folder ({one_line(error)})") from None
    if not isinstance(kept, DictConfig) or "agent" not in kept:
        raise ConfigError(f"resume = {str(folder)!r} is no run folder: config.yaml names no agent")
    if kept.agent.kind == "sb3":
        raise ConfigError(f"resume = {str(folder)!r}: {kept.agent.name} cannot be continued; train it anew")
    return OmegaConf.merge(kept, {"resume": str(folder), "output": str(folder), "json": config.json})  # type: ignore[return-value]


def train(config: DictConfig, update: Update) -> Policy:
    """Create the run folder `config.output`, train `config.agent` on the train split and save its policy there."""
    if config.agent.kind not in TRAINERS:
        raise ConfigError(f"agent.kind = {config.agent.kind!r} is unknown; allowed: {', '.join(TRAINERS)}")
    if config.total_steps < 1:
        raise ConfigError(f"total_steps = {config.total_steps} must be at least 1")
    sim = build_simulator(scenario_of(config), "train", device=pick_device(config.device))
    folder, fresh = Path(config.output), not config.get("resume") and join_team().rank == 0
    if fresh:
        start_run(folder, config, sim)
    try:
        return TRAINERS[config.agent.kind](config, sim, folder, update)
    except ConfigError:
        if fresh:  # a mistake in the agent's configuration: leave nothing behind
            rmtree(folder)
        raise


def compare(
    config: DictConfig, policies: list[Policy | str], bound_workers: int, update: Update
) -> tuple[dict[str, list[Episode]], list[EpisodeBound] | None]:
    """Evaluate policies (objects or names) on the same episodes of `config.evaluation`, with bounds if it asks."""
    wanted = config.evaluation
    sim = build_simulator(scenario_of(config), wanted.split, device=pick_device(config.device))
    starts = sim.bank.spread(wanted.episodes)
    found = [find_policy(p, sim) if isinstance(p, str) else p for p in policies]
    episodes = {policy.name: evaluate(sim, policy, starts) for policy in found}
    bounds = episode_bounds(sim, starts.tolist(), workers=bound_workers, progress=update) if wanted.bound else None
    if bounds is not None:
        episodes["bound"] = [b.as_episode() for b in bounds]
    return episodes, bounds
