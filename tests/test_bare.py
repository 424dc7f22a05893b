"""Scenarios that lack something: storage, fibres, work that may wait, work that may not, or all hubs but one."""

from __future__ import annotations

from functools import cache
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.errors import ConfigError
from greenhop.gym.env import HubEnv
from greenhop.scenario.config import ScenarioConfig, parse_scenario
from greenhop.scenario.find import compose_scenario
from greenhop_agents import score
from greenhop_agents.policies.rules import RULES
from greenhop_agents.shelf.runs import load_policy
from greenhop_agents.training.train import train
from tests.agents.test_training import NATIVE, config_of, ignore
from tests.marks import needs_compiler

BARE = ("storage", "links", "deferrable", "online", "all hubs but one")
SMALL = [*NATIVE, "agent.options.horizon=3", "total_steps=24", "validation.episodes=1", "device=cpu"]


def without(what: str) -> dict[str, Any]:
    """`pair2` as data, with days for episodes and one year for each split, without something."""
    data = compose_scenario("pair2", ["episode.length_h=24", *(f"years.{s}=1" for s in ("train", "val", "test"))])
    if what in ("storage", "links"):
        data[what] = {}
    elif what in ("deferrable", "online"):
        left = data["online" if what == "deferrable" else "deferrable"]
        total = sum(row["energy_share"] for row in left.values())
        left.update({name: {**row, "energy_share": row["energy_share"] / total} for name, row in left.items()})
        data[what] = {}
    else:
        data |= {"links": {}, "sites": {"horinger": data["sites"]["horinger"]}}
        data["storage"] = {"horinger_battery": data["storage"]["horinger_battery"]}
    return data


@cache
def bare(what: str) -> ScenarioConfig:
    """`pair2` without something."""
    return parse_scenario(without(what))


@cache
def bare_sim(what: str) -> Simulator:
    """Its simulator."""
    return build_simulator(bare(what), "train")


@pytest.mark.parametrize("what", BARE)
@pytest.mark.parametrize("decoder", ["shadow_price", "full"])
def test_a_day_of_random_actions_has_finite_observations_and_costs(what: str, decoder: str) -> None:
    scenario = bare(what).model_copy(update={"decoder": bare(what).decoder.model_copy(update={"name": decoder})})
    sim = build_simulator(scenario, "train")
    carry, random = sim.begin(torch.arange(3)), torch.Generator().manual_seed(0)
    for _ in range(sim.params.steps):
        assert sim.observe(carry).shape == (3, sim.obs_size)
        assert bool(sim.observe(carry).isfinite().all())
        carry, flows = sim.act(carry, torch.rand(3, sim.action_size, generator=random) * 2.0 - 1.0)
        assert bool(flows.cost_cny.isfinite().all())


@needs_compiler
@pytest.mark.parametrize("what", BARE)
def test_machine_code_and_torch_agree_and_a_frame_can_be_drawn(what: str) -> None:
    fast, slow = (HubEnv(sim=bare_sim(what), compile=compile, render_mode="rgb_array") for compile in (True, False))
    (first, _), (second, _) = fast.reset(seed=0), slow.reset(seed=0)
    fast.action_space.seed(0)
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)
    over = False
    while not over:
        action = fast.action_space.sample()
        (first, paid, over, *_), (second, expected, *_) = fast.step(action), slow.step(action)
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)
        assert paid == pytest.approx(expected, rel=1e-4, abs=1e-5)
    frame = fast.render()
    assert isinstance(frame, np.ndarray)
    assert frame.std() > 10.0  # something is drawn


@pytest.mark.parametrize("what", BARE)
def test_no_policy_beats_the_bound_and_the_planner_comes_close(what: str) -> None:
    rules = [rule for rule in RULES if rule != "price_follow"]
    table = score("mpc_perfect", bare(what), beside=[*rules, "mpc"], episodes=1)
    cost, scores = table["cost_cny"].to_dict(), table["score"].to_dict()
    assert min(cost.values()) >= cost["bound"] - 1e-6 * abs(cost["bound"])
    assert scores["mpc_perfect"] > 95.0


@pytest.mark.parametrize("agent", ["ppo", "shac"])
@pytest.mark.parametrize("what", BARE)
def test_an_agent_trains_and_comes_back(what: str, agent: str, tmp_path: Path) -> None:
    groups = ["agent.options.group_size=2"] if agent == "ppo" else []
    config = config_of(tmp_path / "run", [f"agent={agent}", *SMALL, *groups])
    config.scenario = None
    config.scenario = bare(what).model_dump(mode="json")
    policy = train(config, ignore)
    sim = bare_sim(what)
    obs = sim.observe(sim.begin(torch.arange(2)))
    again = load_policy(tmp_path / "run", sim)
    assert bool(policy.act(obs).isfinite().all())  # type: ignore[attr-defined]
    assert torch.equal(policy.act(obs), again.act(obs))  # type: ignore[attr-defined]


def test_where_nothing_can_be_decided_nothing_is_scored() -> None:
    data = without("all hubs but one") | {"storage": {}, "deferrable": {}, "online": without("deferrable")["online"]}
    scenario = parse_scenario(data)
    assert build_simulator(scenario, "test").action_size > 0  # bids that have no effect
    table = score("mpc", scenario, episodes=1)
    assert table["cost_cny"].max() == pytest.approx(table["cost_cny"].min(), rel=1e-6)
    assert all(isnan(value) for value in table["score"])


def test_some_class_of_work_is_needed() -> None:
    with pytest.raises(ConfigError, match="online, deferrable: at least one class of work is needed"):
        parse_scenario(without("online") | {"deferrable": {}})
