"""The pieces of a benchmark that run on their own: train an agent, evaluate a policy, bound an episode, record a week.

A job is plain data, so that it travels to any process; its result too, so that it becomes one small JSON file. The name
of that file holds a hash of everything the result depends on: what is finished is never run again, and what was asked
differently is never mistaken for it.
"""

from __future__ import annotations

import json
import re
import shutil
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from omegaconf import OmegaConf

from greenhop import __version__
from greenhop.cache import key_of
from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.errors import GreenhopError, one_line
from greenhop.files import write_text
from greenhop.lp.bound import bound
from greenhop.lp.solve import Options
from greenhop.scenario.config import Split, parse_scenario
from greenhop_agents.policies.policy import Policy
from greenhop_agents.policies.rules import PriceFollow
from greenhop_agents.scoring.bounds import episode_window, plan_totals
from greenhop_agents.scoring.evaluate import evaluate
from greenhop_agents.scoring.series import plan_series, policy_series
from greenhop_agents.shelf.find import find_policy
from greenhop_agents.shelf.runs import git_commit

BOUND = "bound"  # the clairvoyant plan, where a policy is named
REFERENCE = "price_follow"
REFERENCE_EPISODES = 128  # training episodes that price following is measured on, for learning curves

Result = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One unit of work. `after` names the run folder it needs, written by a training job."""

    kind: str
    label: str
    spec: Mapping[str, Any]
    after: str | None = None

    @property
    def name(self) -> str:
        """Stem of its result file."""
        return re.sub(r"[^\w.+-]", "_", f"{self.kind}-{self.label}-{self.key}")

    @property
    def key(self) -> str:
        """Hash of all that the result depends on; the order of hubs and links is part of a scenario."""
        return key_of(__version__, self.kind, json.dumps(self.spec))[:10]


class Done(NamedTuple):
    """A job that ended: with a result, or with the reason why not."""

    job: Job
    result: Result | None
    error: str = ""
    details: str = ""


def carry_out(job: Job, root: str) -> Done:
    """Run a job in this process; every failure becomes part of the answer."""
    torch.set_num_threads(1)  # the same sums in the same order in every engine, and no quarrel over cores
    began = perf_counter()
    try:
        result = KINDS[job.kind](job.spec, Path(root))
    except GreenhopError as error:
        return Done(job, None, one_line(error))
    except Exception as error:  # a broken job must not take the others down
        return Done(job, None, f"{type(error).__name__}: {one_line(error)}", traceback.format_exc())
    return Done(job, {**result, "seconds": perf_counter() - began, "commit": git_commit()})


def result_path(root: Path, job: Job) -> Path:
    """Where the result of a job is kept."""
    return root / "jobs" / f"{job.name}.json"


def stored(root: Path, job: Job) -> Result | None:
    """The result of a job that has been finished before."""
    try:
        found = json.loads(result_path(root, job).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def store(root: Path, done: Done) -> None:
    """Write a result whole or not at all; a failure leaves its traceback in `failed/`, a later success removes it."""
    failure = root / "failed" / f"{done.job.name}.txt"
    path = failure if done.result is None else result_path(root, done.job)
    text = f"{done.error}\n{done.details}" if done.result is None else json.dumps(done.result)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    if done.result is not None:
        failure.unlink(missing_ok=True)


@lru_cache(maxsize=2)
def _simulator(scenario: str, split: Split) -> Simulator:
    return build_simulator(parse_scenario(json.loads(scenario)), split)


def simulator(spec: Mapping[str, Any]) -> Simulator:
    """The simulator a job asks for; the last two are kept."""
    return _simulator(json.dumps(spec["scenario"]), spec["split"])


def _policy(spec: Mapping[str, Any], root: Path, sim: Simulator) -> Policy:
    return find_policy(str(root / "runs" / spec["run"]) if spec["run"] else spec["policy"], sim)


def _train(spec: Mapping[str, Any], root: Path) -> Result:
    from greenhop_agents.training.train import train

    folder = root / "runs" / spec["run"]
    resume = (folder / "checkpoints" / "latest").is_file()
    if not resume:
        shutil.rmtree(folder, ignore_errors=True)  # cut short before its first checkpoint: begin again
    paths = {"output": str(folder), "resume": str(folder) if resume else None}
    train(OmegaConf.create({**spec["config"], **paths}), lambda *_: None)
    sim = build_simulator(parse_scenario(spec["config"]["scenario"]), "train")
    starts = sim.bank.spread(min(REFERENCE_EPISODES, sim.bank.n_starts))
    reference = [e.cost_cny for e in evaluate(sim, PriceFollow(), starts)]
    return {
        "train_reference_cny": float(np.mean(reference)),
        "cost_scale_cny": sim.params.cost_scale_cny,
    }


def _evaluate(spec: Mapping[str, Any], root: Path) -> Result:
    sim = simulator(spec)
    done = evaluate(sim, _policy(spec, root, sim), spec["starts"])
    records = [
        {
            "episode": episode,
            "cost_cny": e.cost_cny,
            "green_share": e.green_share,
            "missed_share": e.missed_share,
            "decision_s": e.decision_s,
            "totals": e.totals,
        }
        for episode, e in zip(spec["episodes"], done, strict=True)
    ]
    return {"episodes": records}


def _bound(spec: Mapping[str, Any], root: Path) -> Result:
    sim = simulator(spec)
    window = episode_window(sim, spec["start"])
    solved = bound(*window, Options(solver=spec["solver"], time_limit_s=spec["time_limit_s"]))
    result = {
        "bound_cny": solved.lower_bound,
        "replay_cny": solved.replay_cost,
        "relative_gap": solved.relative_gap,
        "totals": plan_totals(*window, solved.plan),
    }
    if spec["week"]:
        result["week"] = plan_series(*window, solved.plan)
    return result


def _week(spec: Mapping[str, Any], root: Path) -> Result:
    sim = simulator(spec)
    return {"week": policy_series(sim, _policy(spec, root, sim), spec["start"])}


KINDS: dict[str, Callable[[Mapping[str, Any], Path], Result]] = {
    "train": _train,
    "evaluate": _evaluate,
    "bound": _bound,
    "week": _week,
}
