"""The reward vector: the same physics, and MO-Gymnasium takes the environment as one of its own."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import greenhop
from greenhop.communities.mo_env import HubMOEnv
from greenhop.gym.env import HubEnv
from greenhop.physics.objectives import GREEN, OBJECTIVES

DAY: dict[str, Any] = {"overrides": ["episode.length_h=24"], "year_ids": [0], "split": "test"}
needs_mo = pytest.mark.skipif(find_spec("mo_gymnasium") is None, reason="MO-Gymnasium is not installed (extra `mo`)")


def test_the_vector_is_of_the_same_physics() -> None:
    env, alone = HubMOEnv("pair2", **DAY), HubEnv("pair2", reward="bill", **DAY)
    obs, _ = env.reset(seed=1)
    whole, _ = alone.reset(seed=1)
    units, rng = np.array(list(env.reward_units.values())), np.random.default_rng(0)
    total, over = np.zeros(4), False
    sums = dict.fromkeys(("carbon_kg", "missed_mwh"), 0.0)
    while not over:
        np.testing.assert_array_equal(obs, whole)
        action = rng.uniform(-1, 1, env.sim.action_size).astype(np.float32)
        obs, vector, over, cut, info = env.step(action)
        whole, reward, *_ = alone.step(action)
        assert env.reward_space.contains(vector)
        assert vector[0] == pytest.approx(reward, rel=1e-5, abs=1e-5)
        total -= vector * units
        sums = {name: sums[name] + float(info[name]) for name in sums}
    assert not cut
    owed = env.tensors.engine.state.owed_mwh[0, :, GREEN].clamp_min(0.0).sum()
    assert dict(zip(OBJECTIVES, total, strict=True)) == {
        "cost_cny": pytest.approx(total[0]),
        "carbon_kg": pytest.approx(sums["carbon_kg"], rel=1e-5),
        "missed_mwh": pytest.approx(sums["missed_mwh"], rel=1e-4, abs=1e-3),
        "green_short_mwh": pytest.approx(float(owed), rel=1e-4, abs=1e-2),
    }
    assert total[3] > 0.0, "random bids leave some green energy missing: else this compares zeros"


def test_the_environments_with_a_vector_are_registered() -> None:
    for env_id, scenario in greenhop.MO_ENV_IDS.items():
        assert gym.spec(env_id).kwargs["scenario"] == scenario
    env = gym.make("greenhop:Pair2MO-v1", **DAY)
    env.reset(seed=0)
    reward: Any = env.step(env.action_space.sample())[1]
    assert reward.shape == (4,)
    assert env.unwrapped.reward_dim == 4  # type: ignore[attr-defined]


@needs_mo
def test_mo_gymnasium_makes_scalarises_and_normalises_it() -> None:
    import mo_gymnasium as mo
    from mo_gymnasium.wrappers import LinearReward, MORecordEpisodeStatistics

    env = mo.make("greenhop:Pair2MO-v1", **DAY)
    plain = gym.make("greenhop:Pair2-v1", reward="bill", **DAY)
    scalar = LinearReward(env, weight=np.array([1.0, 0.0, 0.0, 0.0]))
    scalar.reset(seed=4)
    plain.reset(seed=4)
    action = np.zeros(env.action_space.shape, dtype=np.float32)
    _, reward, _, _, info = scalar.step(action)
    assert reward == pytest.approx(plain.step(action)[1], rel=1e-5)
    assert np.shape(info["vector_reward"]) == (4,)
    counted = MORecordEpisodeStatistics(mo.make("greenhop:Pair2MO-v1", **DAY), gamma=1.0)
    counted.reset(seed=4)
    over, earned = False, np.zeros(4)
    while not over:
        _, vector, over, _, info = counted.step(action)
        earned += vector
    np.testing.assert_allclose(info["episode"]["r"], earned, rtol=1e-4)


@needs_mo
def test_mo_gymnasium_steps_several_at_once() -> None:
    import mo_gymnasium as mo
    from mo_gymnasium.wrappers.vector import MOSyncVectorEnv

    envs = MOSyncVectorEnv([lambda: mo.make("greenhop:Pair2MO-v1", **DAY)] * 2)
    envs.reset(seed=[1, 2])
    _, rewards, *_ = envs.step(np.zeros(envs.action_space.shape, dtype=np.float32))
    assert rewards.shape == (2, 4)
