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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import Field, ValidationError

from greenhop.cache import key_of
from greenhop.config import Count, Model, Positive, Split, describe, parse_scenario
from greenhop.errors import ConfigError
from greenhop.scenarios import compose_scenario, config_dir, one_line
from greenhop.simulator import build_simulator
from greenhop_agents.cli import own_hydra, pick_device
from greenhop_agents.engines import ENGINES, Resources, Runner
from greenhop_agents.evaluate import Progress
from greenhop_agents.jobs import BOUND, REFERENCE, Done, Job, Result, store, stored
from greenhop_agents.registry import find_policy
from greenhop_agents.training import TRAINERS

NOT_OURS = ("output", "json", "hydra", "evaluation", "resume", "seeds")  # of train.yaml: a benchmark has its own ways

Seed = Annotated[int, Field(ge=0)]


class EvaluationConfig(Model):
    """Where agents are tested: the scenario they were trained on with `overrides`, or another one by name."""

    scenario: str | None = None
    overrides: list[str] = Field(default_factory=list)
    split: Split | None = None


class BenchmarkConfig(Model):
    """`benchmark.*`: what is compared."""

    name: str
    agents: Annotated[list[str], Field(min_length=1)]
    seeds: Annotated[list[Seed], Field(min_length=1)]
    episodes: Count
    split: Split = "test"
    bound: bool = True
    solver: Annotated[str, Field(pattern="^(ipx|simplex|hipo|pdlp)$")] = "ipx"
    time_limit_s: Positive = 7200.0
    total_steps: Count | None = None
    train: dict[str, dict[str, Any]] = Field(default_factory=dict)
    one_by_one: list[str] = Field(default_factory=list)
    weeks: list[str] = Field(default_factory=lambda: [BOUND, REFERENCE])
    evaluations: dict[str, EvaluationConfig] = Field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """A scenario and split on which agents are tested, and the starts of its episodes."""

    scenario: dict[str, Any]
    split: Split
    starts: list[int]

    def spec(self) -> dict[str, Any]:
        """What a job needs to build the simulator."""
        return {"scenario": self.scenario, "split": self.split}


@dataclass(frozen=True)
class Plan:
    """All jobs of a benchmark. Jobs of the second wave need run folders that the first one writes."""

    benchmark: BenchmarkConfig
    settings: dict[str, Setting]
    jobs: list[Job]

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
        raise ConfigError(f"engine = {config.engine!r} is unknown; allowed: {', '.join(ENGINES)}")
    benchmark = benchmark_of(config)
    settings = {name: _setting(config, benchmark, e) for name, e in _evaluations(config, benchmark).items()}
    jobs: list[Job] = []
    agents = list(dict.fromkeys([*benchmark.agents, REFERENCE]))
    for name in agents:
        trained = agent_config(name)
        if trained is None:
            _check_policy(name, next(iter(settings.values())))
            jobs += _policy_jobs(benchmark, settings, name, 0, None)
            continue
        for seed in benchmark.seeds:
            training = _training_job(config, benchmark, name, seed, trained)
            jobs += [training, *_policy_jobs(benchmark, settings, name, seed, training.spec["run"])]
    if benchmark.bound:
        jobs += _bound_jobs(benchmark, settings)
    return Plan(benchmark, settings, sorted(jobs, key=lambda job: job.kind != "train"))  # the longest first


def _evaluations(config: DictConfig, benchmark: BenchmarkConfig) -> dict[str, EvaluationConfig]:
    return benchmark.evaluations or {str(config.scenario.name): EvaluationConfig()}


def _setting(config: DictConfig, benchmark: BenchmarkConfig, e: EvaluationConfig) -> Setting:
    own = OmegaConf.to_container(config.scenario, resolve=True, throw_on_missing=True)
    assert isinstance(own, dict)
    if e.scenario is not None:
        data = compose_scenario(e.scenario, e.overrides)
    else:
        data = {str(k): v for k, v in own.items()}
        merged = OmegaConf.to_container(OmegaConf.merge(data, OmegaConf.from_dotlist(e.overrides)))
        assert isinstance(merged, dict)
        data = {str(k): v for k, v in merged.items()}
    scenario = parse_scenario(data, where=f"scenario {data.get('name', '?')}")
    split = e.split or benchmark.split
    sim = build_simulator(scenario, split)
    return Setting(scenario.model_dump(mode="json"), split, sim.bank.spread(benchmark.episodes).tolist())


def agent_config(name: str) -> dict[str, Any] | None:
    """The training configuration with this agent; None for what needs no training."""
    if not (config_dir() / "agent" / f"{name}.yaml").is_file():
        return None
    try:
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            composed = compose("train", overrides=[f"agent={name}", "output=."])
        data = OmegaConf.to_container(composed, resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"{one_line(error)}; in agent {name}") from None
    assert isinstance(data, dict)
    return {str(k): v for k, v in data.items()} if data["agent"]["kind"] in TRAINERS else None


def _check_policy(name: str, setting: Setting) -> None:
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
    merged = OmegaConf.merge(theirs, ours, benchmark.train.get(name, {}))
    data = OmegaConf.to_container(merged, resolve=True)
    assert isinstance(data, dict)
    data = {str(k): v for k, v in data.items() if k not in NOT_OURS}
    parse_scenario(data["scenario"])
    return Job("train", f"{name}-s{seed}", {"config": data, "run": f"{name}-s{seed}-{key_of(json.dumps(data))[:8]}"})


def _policy_jobs(
    benchmark: BenchmarkConfig, settings: Mapping[str, Setting], name: str, seed: int, run: str | None
) -> list[Job]:
    """Evaluations of one policy in every setting, and its week in the first."""
    agent = Path(name).name if Path(name).is_dir() else name
    who = {"agent": agent, "policy": name, "run": run, "seed": seed, "content": _content(name)}
    jobs = []
    for label, setting in settings.items():
        for episodes in _chunks(benchmark, name):
            starts = [setting.starts[e] for e in episodes]
            spec = {**setting.spec(), **who, "setting": label, "episodes": episodes, "starts": starts}
            part = f"-e{episodes[0]}" if len(episodes) < benchmark.episodes else ""
            jobs.append(Job("evaluate", f"{agent}-s{seed}-{label}{part}", spec, run))
    if name in benchmark.weeks and seed in (0, benchmark.seeds[0]):
        label, setting = next(iter(settings.items()))
        spec = {**setting.spec(), **who, "setting": label, "start": setting.starts[0]}
        jobs.append(Job("week", f"{agent}-s{seed}-{label}", spec, run))
    return jobs


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
    (root / "config.yaml").write_text(OmegaConf.to_yaml(config, resolve=True), encoding="utf-8")
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
