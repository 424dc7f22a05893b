"""Damaged configurations: whatever a file says, it is taken or refused in one line, never with a traceback.

`--mutations 1000` tries that many of each kind; each has a number, so that a failure can be repeated.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from greenhop.errors import GreenhopError
from greenhop.scenario.config import ScenarioConfig, parse_scenario
from greenhop.scenario.find import compose_scenario, config_dir, load_scenario
from greenhop.scenario.join import build_params
from greenhop_agents.base.cli import check_shared
from greenhop_agents.benchmark.plan import make_plan
from greenhop_agents.learners.algorithms import find_algorithm
from greenhop_agents.shelf.runs import RunFacts
from greenhop_agents.training.train import check_agent

ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2, 1e-300, 1e300, -1e300, 5e37, 1e30, math.nan, math.inf, -math.inf, 10**30, 0.5, 1.7,
    "", "x", "0", "1e9", "nan", "../../x", "a\0b", "a\nb", "中文", "${x}", "x" * 5000, [], [1], [[]], {}, {"a": 1},
    {"": None}, {1: 2}, [None], "null", "~", "auto", "true", b"\xff".decode("latin1"),
]  # fmt: skip
PIECES = (
    b"",
    b"\x00",
    b"\xff",
    b"*a",
    b"&a ",
    b"${",
    b"}",
    b"[",
    b"{",
    b"\t",
    b"- ",
    b": ",
    b"!!",
    b"\n",
    b"%",
    b"<<: ",
)


def shelf(group: str) -> list[str]:
    """Names of the files of a group that are shipped."""
    return sorted(path.stem for path in (config_dir() / group).glob("*.yaml") if path.stem != "common")


def places(node: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the leaves and branches of a nest stand."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*at, key)
        yield from places(value, (*at, key))


def mutated(data: dict[str, Any], seed: int) -> dict[str, Any]:
    """The nest with one to three changes: another value, a lost, doubled or misspelt key, a number beyond measure."""
    random, out = Random(seed), copy.deepcopy(data)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        *path, last = random.choice(list(places(out)))
        parent: Any = out
        for key in path:
            parent = parent[key]
        change = random.random()
        if change < 0.65:
            parent[last] = copy.deepcopy(random.choice(ODD))
        elif change < 0.75:
            del parent[last]
        elif change < 0.85 and isinstance(parent, dict):
            parent[f"{last}x"] = parent.pop(last)
        elif change < 0.9 and isinstance(parent, dict):
            parent[random.choice(("", "../x", "a b", "x" * 200, 5))] = parent[last]
        elif isinstance(parent[last], int | float) and not isinstance(parent[last], bool):
            parent[last] = parent[last] * random.choice((-1, 1e-9, 1e9, 1e40))
        else:
            parent[last] = [parent[last]]
    return out


def tried(check: Callable[..., Any], given: Any, about: str) -> Any:
    """What `check(given)` returns, or None where it refuses in one line; anything else is a failure."""
    try:
        return check(given)
    except GreenhopError as error:
        told = str(error)
    assert told, about
    assert "\n" not in told, about
    return None


def finite(scenario: ScenarioConfig) -> bool:
    """Whether all numbers that a step needs are."""
    params = vars(build_params(scenario))
    return all(bool(torch.isfinite(x).all()) for x in params.values() if isinstance(x, torch.Tensor))


@pytest.mark.parametrize("name", ["pair2", "hub10-outage"])
def test_a_mutated_scenario_is_refused_in_one_line_or_has_finite_numbers(name: str, mutations: int) -> None:
    data, taken = compose_scenario(name), 0
    for seed in range(mutations):
        changed = mutated(data, seed)
        scenario = tried(parse_scenario, changed, f"{name}, mutation {seed}")
        if scenario is not None:
            taken += 1
            assert tried(finite, scenario, f"{name}, mutation {seed}") in (None, True), seed
    assert 0 < taken < mutations


def test_a_mutated_scenario_file_is_read_or_refused_in_one_line(tmp_path: Path, mutations: int) -> None:
    text = (config_dir() / "scenario" / "pair2.yaml").read_text(encoding="utf-8")
    path = tmp_path / "own.yaml"
    for seed in range(mutations // 4):
        random = Random(seed)
        data = bytearray(text.encode())
        for _ in range(random.choice((1, 2, 5))):
            at = random.randrange(len(data))
            data[at : at + random.choice((0, 1, 8))] = random.choice(PIECES)
        path.write_bytes(bytes(data))
        tried(load_scenario, path, f"file, mutation {seed}")


def check_options(agent: dict[str, Any]) -> None:
    """As an algorithm does."""
    find_algorithm(agent["kind"]).check(agent)


@cache
def training(agent: str) -> dict[str, Any]:
    """The composed configuration of a training."""
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        data = OmegaConf.to_container(compose("train", [f"agent={agent}", "output=x"]), resolve=True)
    assert isinstance(data, dict)
    return {str(key): value for key, value in data.items() if key != "scenario"}


@pytest.mark.parametrize("agent", shelf("agent"))
def test_a_mutated_training_is_taken_or_refused_in_one_line(agent: str, mutations: int) -> None:
    def check(data: dict[str, Any]) -> bool:
        checked, agent = check_shared(data, "train.yaml"), data.get("agent")
        if isinstance(agent, dict):
            agent = {**agent, **checked.agent.model_dump(exclude_unset=True)}
        check_agent(agent)
        return True

    taken = 0
    for seed in range(mutations):
        changed = mutated(training(agent), seed)
        taken += bool(tried(check, changed, f"{agent}, mutation {seed}"))
    assert taken < mutations


@pytest.mark.parametrize("agent", shelf("agent"))
def test_mutated_options_of_a_learner_are_taken_or_refused_in_one_line(agent: str, mutations: int) -> None:
    given = training(agent)["agent"]
    for seed in range(mutations):
        changed = {**given, "options": mutated(given["options"], seed)}
        tried(check_options, changed, f"{agent}, mutation {seed}")


@cache
def benchmark(name: str) -> dict[str, Any]:
    """The composed configuration of a benchmark."""
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        data = OmegaConf.to_container(compose("benchmark", [f"benchmark={name}", "output=x"]), resolve=True)
    assert isinstance(data, dict)
    return {str(key): value for key, value in data.items()}


@pytest.mark.parametrize(("name", "one_in"), [("smoke", 1), ("generalisation", 20)])  # whose plan takes two seconds
def test_a_mutated_benchmark_is_planned_or_refused_in_one_line(name: str, one_in: int, mutations: int) -> None:
    whole, taken, mutations = benchmark(name), 0, max(mutations // one_in, 8)
    for seed in range(mutations):
        changed = {**whole, "benchmark": mutated(whole["benchmark"], seed)}
        taken += tried(make_plan, OmegaConf.create(changed), f"{name}, mutation {seed}") is not None
    assert 0 < taken < mutations


def test_mutated_facts_of_a_run_are_taken_or_refused(mutations: int) -> None:
    facts = {
        "schema": 2, "scenario": "pair2", "obs_size": 5, "action_size": 3, "agent": training("ppo")["agent"], "seed": 0,
        "git_commit": None, "python": "3.11", "packages": {"torch": "2"}, "policy_sha256": ["0" * 64],
    }  # fmt: skip
    for seed in range(mutations):
        text = json.dumps(mutated(facts, seed), default=str, skipkeys=True)
        try:
            found = RunFacts.model_validate_json(text)
        except ValueError:
            continue
        agent = found.agent.model_dump()
        tried(check_options, agent, f"facts, mutation {seed}")
