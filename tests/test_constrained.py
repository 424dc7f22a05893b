"""Budgets: what a step uses of them is told the way constrained reinforcement learning expects it."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import greenhop
from greenhop.communities.constrained import CostInfo, SixTuple
from greenhop.errors import ConfigError

DAY: dict[str, Any] = {"overrides": ["episode.length_h=24"], "year_ids": [0], "split": "test"}
BUDGETS = {"carbon_kg": 1e6, "missed_mwh": 5.0, "green_share": 0.8}


def made(**budgets: float) -> CostInfo:
    return CostInfo(gym.make("greenhop:Pair2-v1", **DAY), budgets or BUDGETS)


def played(env: gym.Env[Any, Any]) -> list[tuple[Any, ...]]:
    env.reset(seed=0)
    rng, rows, over = np.random.default_rng(1), [], False
    while not over:
        rows.append(env.step(rng.uniform(-1, 1, env.action_space.shape).astype(np.float32)))
        over = rows[-1][-3] or rows[-1][-2]
    return rows


def test_costs_are_what_a_step_uses_of_each_budget() -> None:
    env = made()
    infos = [row[-1] for row in played(env)]
    for info in infos:
        assert info["cost_carbon_kg"] == pytest.approx(float(info["carbon_kg"]))
        assert info["cost_missed_mwh"] == pytest.approx(float(info["missed_mwh"]))
        lack = 0.8 * float(info["facility_mwh"]) - float(info["green_used_mwh"])
        assert info["cost_green_lack_mwh"] == pytest.approx(lack, abs=1e-4)
        parts = [info[f"cost_{b.name}"] / b.unit for b in env.budgets]
        assert info["cost"] == pytest.approx(sum(parts))
    assert env.limits == {"carbon_kg": 1e6, "missed_mwh": 5.0, "green_lack_mwh": 0.0}
    used = {name: sum(info[f"cost_{name}"] for info in infos) for name in env.limits}
    green = sum(float(i["green_used_mwh"]) for i in infos) / sum(float(i["facility_mwh"]) for i in infos)
    assert (used["green_lack_mwh"] <= 0.0) == (green >= 0.8)


def test_with_one_budget_an_episode_keeps_it_exactly_where_its_cost_is_within_the_limit() -> None:
    carbon = sum(float(row[-1]["carbon_kg"]) for row in played(made(carbon_kg=1.0)))
    for budget in (0.99 * carbon, 1.01 * carbon):
        env = made(carbon_kg=budget)
        spent = sum(row[-1]["cost"] for row in played(env))
        assert (spent <= env.cost_limit) == (carbon <= budget)


def test_the_six_values_are_those_of_the_five_and_the_cost() -> None:
    five, six = played(made()), played(SixTuple(made()))
    for (obs, reward, terminated, truncated, info), row in zip(five, six, strict=True):
        np.testing.assert_array_equal(row[0], obs)
        assert row[1:5] == (reward, info["cost"], terminated, truncated)
        assert isinstance(row[2], float)


def test_budgets_that_are_none_are_refused() -> None:
    env = gym.make("greenhop:Pair2-v1", **DAY)
    with pytest.raises(ConfigError, match="no budget is given; allowed: carbon_kg, missed_mwh, green_share"):
        greenhop.CostInfo(env, {})
    with pytest.raises(ConfigError, match="green_share"):
        greenhop.CostInfo(env, {"green_share": 1.5})
    with pytest.raises(ConfigError, match="carbon"):
        greenhop.CostInfo(env, {"carbon": 1.0})
    with pytest.raises(ConfigError, match="CartPoleEnv"):
        greenhop.CostInfo(gym.make("CartPole-v1"), BUDGETS)
