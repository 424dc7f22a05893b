"""The batched environments: rows equal single environments, three autoreset modes, nothing depends on the batch."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.errors import ActionError, ConfigError
from greenhop.gym.env import HubEnv
from greenhop.gym.tensor_env import TensorVectorEnv
from greenhop.gym.vector_env import HubVectorEnv
from greenhop.physics.rewards import REPORTED
from tests.sims import SCENARIOS, day_sim

SHORT = 4  # steps of an episode in the autoreset tests


@pytest.fixture(scope="module")
def short_sim() -> Simulator:
    return build_simulator("pair2", "test", overrides=[f"episode.length_h={SHORT}"], year_ids=[0])


def random_actions(sim: Simulator, num_envs: int, steps: int, seed: int = 0) -> NDArray[np.float32]:
    shape = (steps, num_envs, sim.action_size)
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


class Walker:
    """A single environment that is stepped and restarted by hand, as the oracle of one row."""

    def __init__(self, sim: Simulator) -> None:
        self.env = HubEnv(sim=sim)

    def begin(self, world_row: int) -> NDArray[np.float32]:
        start = int(np.searchsorted(self.env.sim.bank.starts.numpy(), world_row))
        return self.env.reset(options={"start": start})[0]


def rows_of(envs: HubVectorEnv) -> list[int]:
    return envs.tensors.carry.state.world_row.tolist()


def close(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", SCENARIOS)
def test_row_of_a_batch_equals_the_single_env(name: str) -> None:
    sim = day_sim(name)
    envs, starts = HubVectorEnv(3, sim=sim, autoreset_mode="SameStep"), [2, 200, 340]
    obs, _ = envs.reset(options={"start": starts})
    singles = [HubEnv(sim=sim) for _ in starts]
    close(obs, [env.reset(options={"start": s})[0] for env, s in zip(singles, starts, strict=True)])
    for actions in random_actions(sim, 3, sim.params.steps):
        obs, reward, terminated, truncated, info = envs.step(actions)
        stepped = [env.step(a) for env, a in zip(singles, actions, strict=True)]
        close(reward, [s[1] for s in stepped])
        assert terminated.tolist() == [s[2] for s in stepped]
        assert not truncated.any()
        seen = np.stack(info["final_obs"].tolist()) if terminated.all() else obs
        close(seen, [s[0] for s in stepped])
        told = info["final_info"] if terminated.all() else info
        for key in ("grid_mwh", "missed_mwh", "grid_energy_cny"):
            np.testing.assert_allclose(told[key], [s[4][key] for s in stepped], rtol=1e-4, atol=1e-2)


def test_same_step_returns_the_new_episode_and_keeps_the_last_observation(short_sim: Simulator) -> None:
    envs = HubVectorEnv(2, sim=short_sim, autoreset_mode="SameStep")
    walkers = [Walker(short_sim) for _ in range(2)]
    obs, _ = envs.reset(seed=3)
    close(obs, [w.begin(row) for w, row in zip(walkers, rows_of(envs), strict=True)])
    for t, actions in enumerate(random_actions(short_sim, 2, 3 * SHORT)):
        obs, reward, terminated, truncated, info = envs.step(actions)
        stepped = [w.env.step(a) for w, a in zip(walkers, actions, strict=True)]
        close(reward, [s[1] for s in stepped])
        assert not truncated.any()
        assert terminated.all() == ((t + 1) % SHORT == 0)
        if not terminated.any():
            close(obs, [s[0] for s in stepped])
            assert "final_obs" not in info
            continue
        close(np.stack(info["final_obs"].tolist()), [s[0] for s in stepped])
        assert info["_final_obs"].all()
        assert info["_final_info"].all()
        np.testing.assert_allclose(info["final_info"]["grid_mwh"], [s[4]["grid_mwh"] for s in stepped], rtol=1e-4)
        close(obs, [w.begin(row) for w, row in zip(walkers, rows_of(envs), strict=True)])


def test_next_step_ignores_the_action_of_the_step_that_resets(short_sim: Simulator) -> None:
    envs, walkers = HubVectorEnv(2, sim=short_sim, autoreset_mode="NextStep"), [Walker(short_sim) for _ in range(2)]
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    envs.reset(seed=3)
    for walker, row in zip(walkers, rows_of(envs), strict=True):
        walker.begin(row)
    for t, actions in enumerate(random_actions(short_sim, 2, 3 * (SHORT + 1))):
        obs, reward, terminated, _, info = envs.step(actions)
        if t % (SHORT + 1) == SHORT:  # the step after an end
            close(obs, [w.begin(row) for w, row in zip(walkers, rows_of(envs), strict=True)])
            assert not reward.any()
            assert not terminated.any()
            assert not info["grid_mwh"].any()
            assert (info["episode_start"] == envs.tensors.starts).all()
            continue
        stepped = [w.env.step(a) for w, a in zip(walkers, actions, strict=True)]
        close(obs, [s[0] for s in stepped])
        close(reward, [s[1] for s in stepped])
        assert terminated.all() == (t % (SHORT + 1) == SHORT - 1)


def test_disabled_waits_for_a_reset_mask(short_sim: Simulator) -> None:
    envs = HubVectorEnv(2, sim=short_sim, autoreset_mode="Disabled")
    walkers = [Walker(short_sim) for _ in range(2)]
    actions = random_actions(short_sim, 2, 2 * SHORT)
    envs.reset(seed=3)
    for walker, row in zip(walkers, rows_of(envs), strict=True):
        walker.begin(row)
    for t in range(2):
        envs.step(actions[t])
    first = np.array([True, False])
    obs, _ = envs.reset(options={"reset_mask": first})  # env 0 begins anew, env 1 goes on
    for t in range(2):
        walkers[1].env.step(actions[t][1])
    close(obs[0], walkers[0].begin(rows_of(envs)[0]))
    for t in range(2, 4):
        obs, reward, terminated, _, _ = envs.step(actions[t])
        stepped = [w.env.step(a) for w, a in zip(walkers, actions[t], strict=True)]
        close(obs, [s[0] for s in stepped])
        close(reward, [s[1] for s in stepped])
    assert terminated.tolist() == [False, True]
    with pytest.raises(ActionError, match="reset_mask"):
        envs.step(actions[4])
    obs, _ = envs.reset(options={"reset_mask": terminated})
    close(obs[1], walkers[1].begin(rows_of(envs)[1]))
    obs, _, terminated, _, _ = envs.step(actions[4])
    close(obs, [w.env.step(a)[0] for w, a in zip(walkers, actions[4], strict=True)])
    assert not terminated.any()


def test_a_reset_mask_must_fit_the_batch(short_sim: Simulator) -> None:
    envs = HubVectorEnv(2, sim=short_sim, autoreset_mode="Disabled")
    envs.reset(seed=0)
    with pytest.raises(ConfigError, match="reset_mask"):
        envs.reset(options={"reset_mask": np.array([True])})


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_nothing_returned_shares_memory_with_the_next_step(short_sim: Simulator, mode: AutoresetMode) -> None:
    envs = HubVectorEnv(2, sim=short_sim, autoreset_mode=mode)
    first, _ = envs.reset(seed=0)
    kept = first.copy()
    results = [envs.step(a) for a in random_actions(short_sim, 2, SHORT)]
    np.testing.assert_array_equal(first, kept)
    for one, two in pairwise(results):
        assert not any(np.shares_memory(a, b) for a, b in zip(one[:4], two[:4], strict=True))
        assert not np.shares_memory(one[4]["grid_mwh"], two[4]["grid_mwh"])


def test_the_same_seed_gives_the_same_batch_and_another_seed_another() -> None:
    sim = day_sim("pair2")
    runs = []
    for seed in (5, 5, 6):
        envs = HubVectorEnv(4, sim=sim)
        obs, _ = envs.reset(seed=seed)
        runs.append([obs, *(envs.step(a)[0] for a in random_actions(sim, 4, 30))])
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0][0], runs[2][0])


def test_worlds_and_starts_do_not_depend_on_the_number_of_environments() -> None:
    sim = day_sim("pair2")
    small, large = TensorVectorEnv(sim, 3, seed=11), TensorVectorEnv(sim, 64, seed=11)
    for _ in range(4):
        assert torch.equal(small.carry.state.world_row, large.carry.state.world_row[:3])
        assert torch.equal(small.carry.packed, large.carry.packed[:3])
        small.restart(np.ones(3, dtype=bool))
        large.restart(np.ones(64, dtype=bool))
    again = build_simulator("pair2", "test", overrides=["episode.length_h=24"], year_ids=[0])
    assert torch.equal(again.bank.table, sim.bank.table)
    assert torch.equal(again.bank.warm_mwh, sim.bank.warm_mwh)


def test_starts_cover_the_year() -> None:
    sim = day_sim("pair2")
    rows = TensorVectorEnv(sim, 2000, seed=0).carry.state.world_row
    assert len(set(rows.tolist())) > 0.9 * sim.bank.n_starts


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_batch_with_one_bad_number_is_refused(short_sim: Simulator, bad: float) -> None:
    envs = HubVectorEnv(2, sim=short_sim)
    envs.reset(seed=0)
    actions = np.zeros((2, short_sim.action_size), dtype=np.float32)
    actions[1, 3] = bad
    with pytest.raises(ActionError, match="1 NaN or infinite"):
        envs.step(actions)
    with pytest.raises(ActionError, match="shape"):
        envs.step(actions[:1])


def test_infos_name_every_quantity_with_a_mask(short_sim: Simulator) -> None:
    envs = HubVectorEnv(2, sim=short_sim)
    envs.reset(seed=0)
    info = envs.step(np.zeros((2, short_sim.action_size)))[4]
    assert set(info) == {*REPORTED, *(f"_{name}" for name in REPORTED)}
    assert all(info[name].shape == (2,) and info[f"_{name}"].all() for name in REPORTED)


def test_max_episode_steps_sets_the_length_of_an_episode() -> None:
    envs = HubVectorEnv(1, scenario="pair2", split="test", year_ids=[0], max_episode_steps=3)
    envs.reset(seed=0)
    ends = [bool(envs.step(np.zeros((1, envs.sim.action_size)))[2][0]) for _ in range(8)]
    assert ends == [False, False, True, False] * 2  # the step after an end begins anew


def test_deciding_and_stepping_are_one_graph_with_the_same_results() -> None:
    sim = day_sim("pair2")
    assert_same_day(sim, torch.compile(sim.act, fullgraph=True, dynamic=False, backend="aot_eager"))


def assert_same_day(sim: Simulator, act: Any) -> None:
    """A day of random actions through `act` is that of the simulator itself."""
    ours = theirs = sim.begin(torch.tensor([4, 300]))
    with torch.no_grad():
        for action in torch.from_numpy(random_actions(sim, 2, sim.params.steps)):
            ours, flows = act(ours, action)
            theirs, expected = sim.act(theirs, action)
            size = float(expected.cost_cny.abs().max())
            torch.testing.assert_close(flows.cost_cny, expected.cost_cny, rtol=1e-5, atol=1e-5 * size)
            torch.testing.assert_close(sim.observe(ours), sim.observe(theirs), rtol=1e-5, atol=1e-5)
