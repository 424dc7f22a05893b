"""A benchmark: agents × seeds × held-out episodes as jobs, run by an engine, resumed where they stopped.

Everything lands in one folder:

config.yaml     resolved configuration
jobs/           one small JSON file per finished job
failed/         one traceback per failed job
runs/           one run folder per trained agent and seed
results.csv …   what `report` makes of them
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, cast

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import Field, ValidationError

from greenhop.cache import key_of
from greenhop.episode.simulator import Shapes, build_simulator, shapes_of
from greenhop.errors import ConfigError, nearest, one_line
from greenhop.files import write_text
from greenhop.scenario.config import Count, Model, Positive, Split, describe, parse_scenario
from greenhop.scenario.find import config_dir
from greenhop.scenario.limits import Name
from greenhop_agents.base.cli import Seed, Solver, check_shared, pick_device
from greenhop_agents.base.overrides import choices, keys_of, own_hydra
from greenhop_agents.benchmark.executors import ENGINES, Resources, Runner
from greenhop_agents.benchmark.jobs import BOUND, REFERENCE, Done, Job, Result, store, stored
from greenhop_agents.benchmark.settings import EvaluationConfig, Setting, build_setting
from greenhop_agents.learners.algorithms import algorithm_names, find_algorithm
from greenhop_agents.policies.rules import RULES
from greenhop_agents.scoring.evaluate import Progress
from greenhop_agents.shelf.find import PLANNERS, find_policy
from greenhop_agents.shelf.runs import facts_of
from greenhop_agents.training.train import check_agent

NOT_OURS = ("output", "json", "hydra", "evaluation", "resume", "seeds")  # of train.yaml: a benchmark has its own ways

PACK = "pack"  # label of the setting in the user's own series


class BenchmarkConfig(Model):
    """`benchmark.*`: what is compared."""

    name: Name
    """Name of the benchmark, in titles and in its output folder."""
    agents: Annotated[list[str], Field(min_length=1)]
    """Rules, planners, agents of `configs/agent/` and run folders to compare."""
    seeds: Annotated[list[Seed], Field(min_length=1)]
    """Seeds that every agent is trained with."""
    episodes: Count
    """Held-out episodes, spread over the years of the split."""
    split: Split = "test"
    """Whose years the episodes are of."""
    bound: bool = True
    """Whether the certified bound of every episode is solved, which scores need."""
    solver: Solver = "ipx"
    """Algorithm of HiGHS."""
    time_limit_s: Positive = 7200.0
    """Longest time for one bound, s."""
    total_steps: Count | None = None
    """Environment steps of each training run; null: what the agent's own file says."""
    train: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Changes of the training configuration, by agent."""
    one_by_one: list[str] = Field(default_factory=list)
    """Slow agents that get a job for each episode."""
    weeks: list[str] = Field(default_factory=lambda: [BOUND, REFERENCE])
    """Agents whose first episode is drawn hour by hour; `bound` is the optimal plan."""
    evaluations: dict[str, EvaluationConfig] = Field(default_factory=dict)
    """Other settings to test in, by label; empty: the scenario itself."""
    everywhere: list[str] = Field(default_factory=list)
    """Changes of the scenario in every setting, such as `episode.length_h=24`."""
    pack: str | None = None
    """Folder of a world pack: one more setting, the scenario in that world; null: none."""


@dataclass(frozen=True)
class Plan:
    """All jobs of a benchmark. Jobs of the second wave need run folders that the first one writes."""

    benchmark: BenchmarkConfig
    settings: dict[str, Setting]
    jobs: list[Job]
    skipped: dict[str, list[str]] = field(default_factory=dict)  # by agent: settings where it cannot act

    @property
    def waves(self) -> tuple[list[Job], list[Job]]:
        """Jobs that can begin at once, and jobs that need a trained agent."""
        return [j for j in self.jobs if j.after is None], [j for j in self.jobs if j.after is not None]


@dataclass
class Collected:
    """Results by job and failures, in the order of the plan."""

    plan: Plan
    results: dict[str, Result] = field(default_factory=dict)
    failures: list[Done] = field(default_factory=list)
    resumed: int = 0  # jobs that were finished before

    def of_kind(self, kind: str) -> list[tuple[Job, Result]]:
        """Finished jobs of a kind."""
        return [(j, self.results[j.name]) for j in self.plan.jobs if j.kind == kind and j.name in self.results]


def benchmark_of(config: DictConfig) -> BenchmarkConfig:
    """The checked `benchmark` part of a configuration."""
    try:
        data = OmegaConf.to_container(config.benchmark, resolve=True, throw_on_missing=True)
        return BenchmarkConfig.model_validate(data)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{one_line(error)}; in benchmark") from None
    except ValidationError as error:
        raise ConfigError(describe(error, "configs/benchmark")) from None


def make_plan(config: DictConfig) -> Plan:
    """Check everything and list the jobs, before anything runs.

    Raises:
        ConfigError: a value, agent or scenario that does not exist, or a folder that cannot hold the results.
    """
    with own_hydra():
        return _plan(config)


def _plan(config: DictConfig) -> Plan:
    if config.engine not in ENGINES:
        hint = nearest(str(config.engine), ENGINES)
        raise ConfigError(f"engine = {config.engine!r} is unknown; allowed: {', '.join(ENGINES)}{hint}")
    benchmark = benchmark_of(config)
    trained = cast(dict[str, Any], OmegaConf.to_container(config.scenario, resolve=True, throw_on_missing=True))
    settings = {
        label: build_setting(label, trained, e, benchmark.everywhere, benchmark.split, benchmark.episodes)
        for label, e in _evaluations(benchmark, str(config.scenario.name)).items()
    }
    home = _sizes(shapes_of(parse_scenario(trained)))
    _check_changes(benchmark, trained)
    plan = Plan(benchmark, settings, _bound_jobs(benchmark, settings) if benchmark.bound else [])
    for name in dict.fromkeys([*benchmark.agents, REFERENCE]):
        base = agent_config(name)
        if base is None:
            _check_policy(name, next(iter(settings.values())))
            given = facts_of(Path(name)) if Path(name).is_dir() else None
            size = None if given is None else (given["obs_size"], given["action_size"])
            _add_agent(plan, name, 0, None, None if given is None else given["agent"], size)
            continue
        for seed in benchmark.seeds:
            training = _training_job(config, benchmark, name, seed, base)
            plan.jobs.append(training)
            _add_agent(plan, name, seed, training.spec["run"], training.spec["config"]["agent"], home)
    plan.jobs.sort(key=lambda job: job.kind != "train")  # the longest first
    return plan


def _evaluations(benchmark: BenchmarkConfig, home: str) -> dict[str, EvaluationConfig]:
    given = benchmark.evaluations or {home: EvaluationConfig()}
    return given if benchmark.pack is None else {**given, PACK: EvaluationConfig(overrides=[f"world={benchmark.pack}"])}


def _sizes(shapes: Shapes) -> tuple[int, int]:
    return shapes.obs_size, shapes.action_size


def _check_changes(benchmark: BenchmarkConfig, trained: Mapping[str, Any]) -> None:
    """Every change of a training must name an agent that can be trained and a key that its configuration has."""
    for name, changes in benchmark.train.items():
        where = f"benchmark.train.{name}"
        base = agent_config(name)
        if base is None:
            raise ConfigError(f"{where}: no agent of that name is trained{nearest(name, choices('agent'))}")
        known = list(keys_of(OmegaConf.create(base)))
        for key in keys_of(OmegaConf.create(changes)):
            if key not in known and not key.startswith(("agent.options.", "scenario.")):  # their schemas judge those
                raise ConfigError(f"{where}.{key}: unknown key{nearest(key, known)}")
        if "scenario" in changes:
            changed = _merged(where, {"scenario": trained}, {"scenario": changes["scenario"]})
            parse_scenario(changed["scenario"], where)


def _merged(where: str, *parts: Any) -> dict[str, Any]:
    """Configurations laid one over the other, the last on top.

    Raises:
        ConfigError: a list stands where a mapping was, or an interpolation leads nowhere.
    """
    try:
        data = OmegaConf.to_container(OmegaConf.merge(*parts), resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{one_line(error)}; in {where}") from None
    assert isinstance(data, dict)
    return {str(key): value for key, value in data.items()}


def agent_config(name: str) -> dict[str, Any] | None:
    """The training configuration with this agent; None for what needs no training."""
    if not (config_dir() / "agent" / f"{name}.yaml").is_file():
        return None
    data = deepcopy(_composed(name))
    return data if data["agent"]["kind"] in algorithm_names() else None


@cache
def _composed(name: str) -> dict[str, Any]:
    """The training configuration of a shipped agent, which Hydra takes a tenth of a second for."""
    try:
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            composed = compose("train", overrides=[f"agent={name}", "output=."])
        data = OmegaConf.to_container(composed, resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"{one_line(error)}; in agent {name}") from None
    assert isinstance(data, dict)
    return {str(key): value for key, value in data.items()}


def _check_policy(name: str, setting: Setting) -> None:
    if name in RULES or name in PLANNERS:
        return  # no need to generate a world
    try:
        find_policy(name, build_simulator(parse_scenario(setting.scenario), setting.split))
    except ConfigError as error:
        raise ConfigError(f"benchmark.agents: {error}") from None


def _training_job(config: DictConfig, benchmark: BenchmarkConfig, name: str, seed: int, base: Mapping[str, Any]) -> Job:
    ours = {
        "scenario": config.scenario,
        "seed": seed,
        "total_steps": benchmark.total_steps or base["total_steps"],
        "device": pick_device(config.device),
    }
    theirs = {key: value for key, value in base.items() if key not in ours}
    where = f"benchmark.train.{name}" if name in benchmark.train else f"agent {name}"
    merged = _merged(where, theirs, ours, benchmark.train.get(name, {}))
    data = {key: value for key, value in merged.items() if key not in NOT_OURS}
    check_shared(data, where)
    check_agent(data["agent"])
    return Job("train", f"{name}-s{seed}", {"config": data, "run": f"{name}-s{seed}-{key_of(json.dumps(data))[:8]}"})


def _add_agent(
    plan: Plan, name: str, seed: int, run: str | None, agent: Mapping[str, Any] | None, size: tuple[int, int] | None
) -> None:
    """Evaluations of one policy wherever it can act, and its week in the first setting.

    `agent` is the configuration of a trained policy and `size` the lengths of observation and action it knows.
    """
    benchmark, shown = plan.benchmark, Path(name).name if Path(name).is_dir() else name
    who = {"agent": shown, "policy": name, "run": run, "seed": seed, "content": _content(name)}
    for label, setting in plan.settings.items():
        fits = agent is None or size == _sizes(setting.shapes) or find_algorithm(agent["kind"]).fits_any_graph(agent)
        if not fits:
            if label not in plan.skipped.setdefault(shown, []):
                plan.skipped[shown].append(label)
            continue
        for episodes in _chunks(benchmark, name):
            starts = [setting.starts[e] for e in episodes]
            spec = {**setting.spec(), **who, "setting": label, "episodes": episodes, "starts": starts}
            part = f"-e{episodes[0]}" if len(episodes) < benchmark.episodes else ""
            plan.jobs.append(Job("evaluate", f"{shown}-s{seed}-{label}{part}", spec, run))
    first, setting = next(iter(plan.settings.items()))
    if name in benchmark.weeks and seed in (0, benchmark.seeds[0]) and first not in plan.skipped.get(shown, []):
        spec = {**setting.spec(), **who, "setting": first, "start": setting.starts[0]}
        plan.jobs.append(Job("week", f"{shown}-s{seed}-{first}", spec, run))


def _content(name: str) -> str | None:
    """A hash of the weights where `name` is a run folder."""
    weights = Path(name) / "policy.safetensors"
    return key_of(weights.read_bytes()) if weights.is_file() else None


def _chunks(benchmark: BenchmarkConfig, name: str) -> list[list[int]]:
    """Episodes that one job evaluates in one batch: all, or for slow agents each on its own."""
    every = list(range(benchmark.episodes))
    return [[e] for e in every] if name in benchmark.one_by_one else [every]


def _bound_jobs(benchmark: BenchmarkConfig, settings: Mapping[str, Setting]) -> list[Job]:
    jobs = []
    for n, (label, setting) in enumerate(settings.items()):
        for episode, start in enumerate(setting.starts):
            week = n == 0 and episode == 0 and BOUND in benchmark.weeks
            spec = {
                **setting.spec(),
                "setting": label,
                "episode": episode,
                "start": start,
                "week": week,
                "solver": benchmark.solver,
                "time_limit_s": benchmark.time_limit_s,
            }
            jobs.append(Job("bound", f"{label}-e{episode}", spec))
    return jobs


def run_plan(plan: Plan, config: DictConfig, progress: Progress) -> Collected:
    """Run what is not finished yet; every result is on disk the moment it is there.

    Raises:
        ConfigError: an engine that cannot be reached, or an output folder that cannot be written.
    """
    root = _output_folder(str(config.output))
    write_text(root / "config.yaml", OmegaConf.to_yaml(config, resolve=True))
    collected = Collected(plan)
    for job in plan.jobs:
        if (found := stored(root, job)) is not None:
            collected.results[job.name] = found
    collected.resumed = len(collected.results)
    resources = Resources(config.workers, config.ray.address, config.ray.gpus_per_job)
    if len(collected.results) < len(plan.jobs):
        with ENGINES[config.engine](str(root), resources) as runner:
            for wave in plan.waves:
                _run_wave(wave, runner, root, collected, progress)
    return collected


def _output_folder(output: str) -> Path:
    root = Path(output).resolve()
    try:
        (root / "jobs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"output = {output!r} cannot be a folder for results: {error.strerror}") from None
    return root


def _run_wave(wave: Sequence[Job], runner: Runner, root: Path, collected: Collected, progress: Progress) -> None:
    trained = {j.spec["run"] for j, _ in collected.of_kind("train")}
    pending = []
    for job in wave:
        if job.name in collected.results:
            continue
        if job.after is None or job.after in trained:
            pending.append(job)
        else:
            collected.failures.append(Done(job, None, "its training failed"))
    total = len(collected.plan.jobs)
    progress(len(collected.results) + len(collected.failures), total)
    for done in runner(pending):
        store(root, done)
        if done.result is None:
            collected.failures.append(done)
        else:
            collected.results[done.job.name] = done.result
        progress(len(collected.results) + len(collected.failures), total)
