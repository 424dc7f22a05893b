"""From a configuration to a trained, evaluated and saved agent. `agent.kind` names its algorithm."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch.utils.tensorboard import SummaryWriter

from greenhop.episode.simulator import Simulator, build_simulator, shapes_of
from greenhop.errors import ConfigError, one_line
from greenhop.scenario.config import Split
from greenhop.scenario.join import build_params
from greenhop.scenario.plain_yaml import load_yaml
from greenhop.world.bank import count_starts
from greenhop_agents.base.cli import pick_device, scenario_of
from greenhop_agents.base.progress import Update
from greenhop_agents.base.stopping import stop_of
from greenhop_agents.learners.algorithm import Algorithm, Run
from greenhop_agents.learners.algorithms import find_algorithm
from greenhop_agents.learners.native import Native
from greenhop_agents.learners.parallel import Team, join_team
from greenhop_agents.learners.validation import Validation, build_validation
from greenhop_agents.learners.weights import save_policy
from greenhop_agents.policies.policy import ActionPolicy, Policy
from greenhop_agents.scoring.bounds import EpisodeBound, episode_bounds
from greenhop_agents.scoring.evaluate import Episode, evaluate
from greenhop_agents.shelf.beginning import alone_in, begun_run, is_learnt
from greenhop_agents.shelf.find import find_policy
from greenhop_agents.shelf.runs import load_policy, log_training
from greenhop_agents.training.cloning import parse_warm_start, warm_start

VALIDATION = {"episodes": 0, "every": 0.05, "bound": False}  # where a configuration says nothing: none


def begin_warm(config: DictConfig, sim: Simulator, learner: Algorithm, folder: Path, update: Update) -> None:
    """Let the policy of `learner` imitate the teacher that `agent.warm_start` names, if any; losses are logged.

    Raises:
        ConfigError: a mistake in the settings, or a policy that is no function of the present observation alone.
    """
    wanted, policy = parse_warm_start(config.agent.get("warm_start")), learner.policy()
    if wanted.weights is not None:
        take_over(find_policy(wanted.weights, sim), policy)
    if wanted.teacher is None:
        return
    if not isinstance(policy, ActionPolicy):
        raise ConfigError(f"agent.warm_start: {policy.name} remembers earlier steps, so single states cannot teach it")
    losses = warm_start(sim, policy.act, learner.parameters(), wanted, config.seed, update)
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


def _validation(config: DictConfig) -> dict[str, Any]:
    """`config.validation`, complete."""
    return {**VALIDATION, **(config.get("validation") or {})}


def validation_of(config: DictConfig, folder: Path) -> Validation | None:
    """Validation as `config.validation` asks for it; None where it asks for no episodes."""
    wanted = _validation(config)
    if not wanted["episodes"]:
        return None
    sim = build_simulator(scenario_of(config), "val", device=pick_device(config.device))
    return build_validation(sim, int(wanted["episodes"]), bool(wanted["bound"]), folder)


def resumed(config: DictConfig) -> DictConfig:
    """The configuration of the run that `config.resume` names, to be continued; `config` itself where it names none.

    Raises:
        ConfigError: no run folder, or an agent that cannot be resumed.
    """
    if not config.get("resume"):
        return config
    folder = Path(str(config.resume))
    try:
        kept = OmegaConf.create(load_yaml(folder / "config.yaml"))
    except ConfigError as error:
        raise ConfigError(f"resume = {str(folder)!r} is no run folder ({one_line(error)})") from None
    if not isinstance(kept, DictConfig) or "agent" not in kept:
        raise ConfigError(f"resume = {str(folder)!r} is no run folder: config.yaml names no agent")
    kept = OmegaConf.merge({"evaluation": config.get("evaluation")}, kept)  # a benchmark's runs have none of their own
    if not is_learnt(folder):  # begin anew, which `start_run` says
        return OmegaConf.merge(kept, {"resume": None, "output": str(folder), "json": config.json})  # type: ignore[return-value]
    if not find_algorithm(kept.agent.kind).resumable:
        raise ConfigError(f"resume = {str(folder)!r}: {kept.agent.name} cannot be continued; train it anew")
    return OmegaConf.merge(kept, {"resume": str(folder), "output": str(folder), "json": config.json})  # type: ignore[return-value]


def train(config: DictConfig, update: Update) -> Policy:
    """Create the run folder `config.output`, train `config.agent` on the train split and save its policy there.

    Raises:
        ConfigError: a mistake in the configuration; no folder is left behind.
        KeyboardInterrupt: Ctrl-C ended training early; everything is saved.
    """
    agent = config.get("agent")
    check_agent(OmegaConf.to_container(agent, resolve=True) if isinstance(agent, DictConfig) else agent)
    algorithm, team = find_algorithm(config.agent.kind), join_team()
    if config.total_steps < 1:
        raise ConfigError(f"total_steps = {config.total_steps} must be at least 1")
    if team.size > 1 and not algorithm.parallel:
        raise ConfigError(f"agent={config.agent.name} trains in one process; start it without torchrun")
    check_episodes(config)
    folder, scenario, device = Path(config.output), scenario_of(config), pick_device(config.device)
    with ExitStack() as held:
        if team.rank == 0:
            begun = alone_in(folder) if config.get("resume") else begun_run(folder, config, shapes_of(scenario))
            held.enter_context(begun)
        sim = build_simulator(scenario, "train", device=device)
        return _train(config, algorithm, team, sim, update)


def check_agent(agent: Any) -> None:
    """Refuse an agent's configuration that its algorithm cannot take, before anything is made.

    Raises:
        ConfigError: the first mistake.
    """
    if not isinstance(agent, Mapping) or "kind" not in agent:
        raise ConfigError("agent: keys with a kind are needed, as the files of configs/agent have them")
    find_algorithm(agent["kind"]).check(agent)
    parse_warm_start(agent.get("warm_start"))


def check_episodes(config: DictConfig) -> None:
    """Refuse more held-out episodes than there are, before anything is trained.

    Raises:
        ConfigError: of which block and split.
    """
    scenario = scenario_of(config)
    params = build_params(scenario)
    asked: list[tuple[str, Split, int]] = [("validation", "val", _validation(config)["episodes"])]
    if evaluation := config.get("evaluation"):  # a benchmark has its own
        asked.append(("evaluation", evaluation.split, evaluation.episodes))
    for block, split, episodes in asked:
        most = count_starts(scenario, params, split)
        if episodes > most:
            raise ConfigError(f"{block}.episodes = {episodes}: split {split!r} of {scenario.name} has {most}")


def _train(config: DictConfig, algorithm: type[Algorithm], team: Team, sim: Simulator, update: Update) -> Policy:
    """Train in a run folder that exists, from the start or from its last checkpoint."""
    agent: Any = OmegaConf.to_container(config.agent, resolve=True)
    began, folder, total = perf_counter(), Path(config.output), int(config.total_steps)
    learner = algorithm.build(sim, agent, config.seed, team)
    run = Run(
        folder=folder,
        total_steps=total,
        validate_every=max(1, int(total * _validation(config)["every"])),
        validation=validation_of(config, folder) if team.rank == 0 else None,
        identity={
            "agent": agent,
            "scenario": sim.scenario.model_dump(mode="json"),
            "seed": config.seed,
            "total": total,
        },
        told=update,
        leads=team.rank == 0,
    )
    if config.get("resume"):
        assert isinstance(learner, Native)
        learner.resume(run)
    else:
        if run.leads:
            begin_warm(config, sim, learner, folder, update)
        learner.begin()
    finished = learner.train(run)
    if run.leads:
        log_training(folder, run.steps, perf_counter() - began)
        if run.validation is None or learner.keeps_last:
            save_policy(folder, learner.weights())
    if not finished:
        go_on = f"; go on with resume={folder}" if algorithm.resumable else f" in {folder}"
        raise stop_of(run.stopped_by)(f"saved after {run.steps} steps{go_on}")
    return load_policy(folder, sim) if run.leads else learner.policy()


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
