"""Shared weeks, baselines and accruals: what is paid, beyond what, and that neither moves the best policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from greenhop.engines.price_follow import price_follow_rewards
from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.errors import ConfigError
from greenhop.gym.env import HubEnv
from greenhop.gym.pay import beyond_others
from greenhop.gym.tensor_env import TensorVectorEnv
from greenhop.gym.vector_env import HubVectorEnv
from greenhop.gym.wrappers import GroupBaseline
from greenhop.physics.rewards import potential
from greenhop.physics.state import COST_TERMS
from greenhop_agents.learners.sb3 import HubVecEnv
from tests.sims import day_sim

SHORT = 4


@pytest.fixture(scope="module")
def short_sim() -> Simulator:
    return build_simulator("pair2", "test", overrides=[f"episode.length_h={SHORT}"], year_ids=[0])


def actions(sim: Simulator, num_envs: int, steps: int) -> NDArray[np.float32]:
    shape = (steps, num_envs, sim.action_size)
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def test_environments_of_a_group_live_the_same_episodes_also_later(short_sim: Simulator) -> None:
    envs = HubVectorEnv(6, sim=short_sim, group_size=3, autoreset_mode="SameStep")
    envs.reset(seed=7)
    seen = []
    for step in actions(short_sim, 6, 3 * SHORT):
        seen.append(envs.tensors.starts.tolist())
        envs.step(step)
    assert all(len(set(row[:3])) == len(set(row[3:])) == 1 for row in seen)
    assert len({row[0] for row in seen}) == 3
    assert any(row[0] != row[3] for row in seen)


def test_group_g_seeded_s_lives_what_an_environment_seeded_s_plus_g_lives(short_sim: Simulator) -> None:
    groups, plain = HubVectorEnv(6, sim=short_sim, group_size=2), HubVectorEnv(3, sim=short_sim)
    one = HubEnv(sim=short_sim)
    for envs in (groups, plain):
        envs.reset(seed=11)
    one.reset(seed=13)
    for _ in range(3):
        assert groups.tensors.starts[::2].tolist() == plain.tensors.starts.tolist()
        assert plain.tensors.starts[2] == one.tensors.starts[0]
        for envs in (groups, plain):
            envs.reset()
        one.reset()


@pytest.mark.parametrize("kind", ["tensor", "array"])
def test_the_group_baseline_is_the_mean_of_the_others(kind: str) -> None:
    rewards = np.array([1.0, 2.0, 6.0, -1.0, 0.0, 1.0])
    given: Any = torch.from_numpy(rewards) if kind == "tensor" else rewards
    beyond: Any = beyond_others(given, 3)
    np.testing.assert_allclose(np.asarray(beyond), [-3.0, -1.5, 4.5, -1.5, 0.0, 1.5])


def test_a_baseline_is_subtracted_in_every_way_to_step(short_sim: Simulator) -> None:
    plain = TensorVectorEnv(short_sim, 4, seed=3, group_size=2)
    ways: list[Any] = [
        TensorVectorEnv(short_sim, 4, seed=3, group_size=2, baseline="group", compile=c) for c in (False, None)
    ]
    for action in actions(short_sim, 4, SHORT):
        reward = plain.step_arrays(action)[1]
        expected = beyond_others(reward, 2)
        with torch.no_grad():
            found = ways[0].step(torch.from_numpy(action))[1].numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(ways[1].step_arrays(action)[1], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reward", ["bill", "accrual"])
def test_the_zero_action_earns_nothing_beyond_price_following(short_sim: Simulator, reward: Any) -> None:
    tensors = TensorVectorEnv(short_sim, 3, reward=reward, baseline="price_follow")
    adapter = HubVecEnv(short_sim, 3, reward=reward, baseline="price_follow")
    adapter.reset()
    still = np.zeros((3, short_sim.action_size), dtype=np.float32)
    last = short_sim.bank.n_starts - 1
    tensors.reset(starts=torch.tensor([0, 9, last]))
    for t in range(2 * SHORT + 1):  # into the third episode
        assert np.abs(tensors.step_arrays(still)[1]).max() < 1e-4
        assert np.abs(adapter.step(still)[1]).max() < 1e-4
        if t % SHORT == SHORT - 1:
            tensors.restart(np.ones(3, dtype=bool))
    busy = tensors.step_arrays(still + 0.5)[1]
    assert np.abs(busy).max() > 1e-3


def test_the_table_of_price_following_is_what_torch_gives(short_sim: Simulator) -> None:
    carry, table = short_sim.begin(torch.tensor([0, 50])), price_follow_rewards(short_sim)
    assert table.shape == (short_sim.bank.n_starts, SHORT)
    for t in range(SHORT):
        carry, flows = short_sim.act(carry, torch.zeros(2, short_sim.action_size))
        expected = -flows.cost_cny.sum(-1) / short_sim.params.cost_scale_cny
        torch.testing.assert_close(table[[0, 50], t], expected, rtol=1e-4, atol=1e-5)


def test_accruals_of_an_episode_are_its_bill_and_a_number_known_at_the_start() -> None:
    sim = day_sim("pair2")
    envs = HubVectorEnv(3, sim=sim, reward="accrual", autoreset_mode="SameStep")
    envs.reset(seed=5)
    known = -potential(sim.params, envs.tensors.carry.state).numpy()
    assert (np.abs(known) > 0.1).all()
    paid, billed, differs = np.zeros(3), np.zeros(3), False
    for action in actions(sim, 3, 24):
        _, reward, terminated, _, info = envs.step(action)
        told = info["final_info"] if terminated.all() else info
        bill = sum(told[f"{term}_cny"] for term in COST_TERMS) / sim.params.cost_scale_cny
        differs |= bool(np.abs(reward + bill).max() > 0.01)
        paid, billed = paid + reward, billed + bill
    np.testing.assert_allclose(paid, known - billed, rtol=1e-4, atol=1e-4)
    assert differs


def sync(sim: Simulator) -> Callable[[], Any]:
    return lambda: gym.vector.SyncVectorEnv([lambda: HubEnv(sim=sim) for _ in range(4)])


def test_the_wrapper_makes_groups_of_any_vector_environment(short_sim: Simulator) -> None:
    native = HubVectorEnv(4, sim=short_sim, group_size=2, baseline="group")
    wrapped = [GroupBaseline(HubVectorEnv(4, sim=short_sim), 2), GroupBaseline(sync(short_sim)(), 2)]
    first = native.reset(seed=5)[0]
    for envs in wrapped:
        np.testing.assert_allclose(envs.reset(seed=5)[0], first, rtol=1e-5, atol=1e-5)
    for action in actions(short_sim, 4, 3 * SHORT):
        obs, reward, *_ = native.step(action)
        for envs in wrapped:
            stepped = envs.step(action)
            np.testing.assert_allclose(stepped[0], obs, rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(stepped[1], reward, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"group_size": 3}, "num_envs = 4 must be a multiple of group_size = 3"),
        ({"group_size": 0}, "group_size = 0; allowed: whole numbers from 1"),
        ({"baseline": "group"}, "group_size = 2 or more"),
        ({"baseline": "mean"}, "baseline = 'mean' is unknown; allowed: none, group, price_follow"),
        ({"reward": "cost"}, "reward = 'cost' is unknown; allowed: bill, accrual"),
    ],
)
def test_groups_and_words_that_cannot_be_are_refused(short_sim: Simulator, given: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        HubVectorEnv(4, sim=short_sim, **given)


def test_a_group_is_not_torn_apart(short_sim: Simulator) -> None:
    envs = HubVectorEnv(4, sim=short_sim, group_size=2, autoreset_mode="Disabled")
    envs.reset(seed=0)
    with pytest.raises(ConfigError, match="restart whole groups"):
        envs.reset(options={"reset_mask": np.array([True, False, True, True])})
    with pytest.raises(ConfigError, match="starts must be alike within groups of 2"):
        envs.reset(options={"start": [1, 2, 3, 3]})
    with pytest.raises(ConfigError, match="seeds must be alike within groups of 2"):
        envs.reset(seed=[1, 2, 3, 3])
    envs.reset(options={"start": [1, 1, 3, 3]})
    with pytest.raises(ConfigError, match="group_size = 3; allowed: from 2, and dividing num_envs = 4"):
        GroupBaseline(envs, 3)
