"""The environment of single jobs, as a client meets it."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from greenhop.errors import ActionError, ConfigError

GIVEN: dict[str, Any] = {
    "split": "test",
    "overrides": ["episode.length_h=6"],
    "year_ids": [0],
    "statistics": {"count": 100},
}


def make(**more: Any) -> gym.Env[Any, Any]:
    return gym.make("greenhop:Pair2Jobs-v1", **GIVEN, **more, disable_env_checker=True)


def test_the_checker_of_gymnasium_has_nothing_to_say() -> None:
    check_env(make().unwrapped, skip_render_check=True)


def test_spaces_are_those_of_the_flow_environment() -> None:
    flow = gym.make("greenhop:Pair2-v1", split="test", overrides=["episode.length_h=6"], year_ids=[0])
    jobs = make()
    assert jobs.observation_space == flow.observation_space
    assert jobs.action_space == flow.action_space


def test_an_episode_ends_with_the_metrics_of_its_jobs() -> None:
    env = make()
    _, opened = env.reset(seed=3)
    assert opened["year"] == 0
    zero, done, bill = np.zeros(env.action_space.shape or ()), False, 0.0
    while not done:
        _, reward, done, truncated, info = env.step(zero)
        assert not truncated
        bill -= float(reward)
    assert bill > 0
    assert 0.0 <= info["jobs"]["finished_share"] <= 1.0
    with pytest.raises(ActionError, match=r"call reset\(\) first"):
        env.unwrapped.step(zero)


def test_the_same_seed_is_the_same_week_with_the_same_jobs() -> None:
    tables = []
    for _ in range(2):
        env = make()
        env.reset(seed=5)
        episode = env.unwrapped.episode  # type: ignore[attr-defined]
        tables.append(episode.dispatcher.jobs.work_mwh)
    assert np.array_equal(*tables)


def test_an_unknown_rule_is_one_line() -> None:
    with pytest.raises(ConfigError, match="rule = 'first' is unknown; allowed: earliest_deadline"):
        make(rule="first")
