"""One agent for each hub: what it sees and decides is its own, bills add up, and PettingZoo's own tests pass."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings

import greenhop
from greenhop.engines.hub_bills import HubBills
from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.errors import ActionError, ConfigError
from greenhop.gym.env import HubEnv
from greenhop.gym.hub_views import PUBLISHED, hub_views
from greenhop.physics.shares import bill_by_hub
from tests.marks import needs_compiler
from tests.sims import day_sim
from tests.strategies import Case, cases, rollout

needs_pettingzoo = pytest.mark.skipif(
    find_spec("pettingzoo") is None, reason="PettingZoo is not installed (extra `pettingzoo`)"
)
pytestmark = pytest.mark.filterwarnings("ignore:The old environment creation API:DeprecationWarning")  # its own tests

TEN_HOURS: dict[str, Any] = {"overrides": ["episode.length_h=10"], "year_ids": [0], "split": "test"}


def env_of(scenario: str = "pair2", **options: Any) -> Any:
    return greenhop.parallel_env(scenario, **{**TEN_HOURS, **options})


@given(case=cases())
@settings(max_examples=15, derandomize=True, deadline=None)
def test_the_bills_of_all_hubs_add_up_to_the_whole_bill(case: Case) -> None:
    params = case.params.to(dtype=torch.float64)
    for record in rollout(case, steps=4, batch=2):
        own = bill_by_hub(params, record.row, record.flows, record.state, record.after)
        torch.testing.assert_close(own.sum(-1), record.flows.cost_cny.sum(-1), rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("name", ["pair2", "tri3"])
def test_every_number_of_an_action_is_decided_by_one_hub_alone(name: str) -> None:
    sim = day_sim(name)
    views = hub_views(sim)
    bids = torch.arange(sim.params.n_regions * views.bids, dtype=torch.float32)
    action = views.action(bids.reshape(1, sim.params.n_regions, -1))[0]
    assert len(set(action.tolist())) == sim.action_size
    owner = (action // views.bids).long()
    place = owner[: len(sim.params.regions) * len(sim.params.deferrable)].reshape(sim.params.n_regions, -1)
    assert (place == torch.arange(sim.params.n_regions)[:, None]).all()
    at = sum(np.prod(sim.decoder.parts[block]) for block in ("place", "time"))
    assert owner[int(at) : int(at) + len(sim.params.units)].tolist() == sim.params.unit_region.tolist()


@pytest.mark.parametrize("name", ["pair2", "tri3"])
def test_a_hub_sees_its_own_features_and_what_its_neighbours_publish(name: str) -> None:
    sim = day_sim(name)
    p, at, views = sim.params, sim.observer.slices(), hub_views(sim)
    obs = torch.arange(float(sim.obs_size))[None]
    told = sim.observer.split(obs)
    seen = views.observe(obs)[0]
    width = told["region"].shape[-1]
    columns = [i for feature in PUBLISHED for i in range(*at[f"region.{feature}"].indices(width))]
    for hub in range(p.n_regions):
        numbers = seen[hub].tolist()
        assert numbers[:width] == told["region"][0, hub].tolist()
        for link in (p.link_source == hub).nonzero().flatten().tolist():
            beyond = told["region"][0, int(p.link_target[link])][columns].tolist()
            expected = [told["link_availability"][0, link].item(), *beyond]
            places = [i for i in range(len(numbers)) if numbers[i : i + len(expected)] == expected]
            assert len(places) == 1, "a link and the hub at its end stand in one place"
    everyone = told["region"][0][:, columns].mean(0)
    torch.testing.assert_close(seen[:, -len(columns) :], everyone.expand(p.n_regions, -1))


@needs_compiler
def test_machine_code_bills_hubs_as_torch_does() -> None:
    sim = day_sim("pair2")
    env = HubEnv(sim=sim, compile=False)
    env.reset(seed=1)
    action = torch.as_tensor(np.random.default_rng(0).uniform(-1, 1, (1, sim.action_size)), dtype=torch.float32)
    state = env.tensors.engine.state
    bills = [HubBills(sim, compile)(state, action) for compile in (True, False)]
    torch.testing.assert_close(*bills, rtol=1e-5, atol=1.0)


@needs_pettingzoo
@pytest.mark.parametrize("reward", ["shared", "own"])
def test_pettingzoos_parallel_test_passes(reward: str) -> None:
    from pettingzoo.test import parallel_api_test

    parallel_api_test(env_of(reward=reward, compile=False), num_cycles=25)


@needs_pettingzoo
def test_pettingzoos_test_of_taking_turns_passes() -> None:
    from pettingzoo.test import api_test

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "We recommend agents to be named", UserWarning)
        api_test(greenhop.aec_env("pair2", compile=False, **TEN_HOURS), num_cycles=25)


@needs_pettingzoo
def test_pettingzoos_seed_tests_pass() -> None:
    from pettingzoo.test import parallel_seed_test, seed_test

    parallel_seed_test(lambda: env_of(compile=False), num_cycles=12)
    seed_test(lambda: greenhop.aec_env("pair2", compile=False, **TEN_HOURS), num_cycles=12)


@needs_pettingzoo
def test_pettingzoos_render_test_passes() -> None:
    from pettingzoo.test import render_test

    def made(render_mode: str) -> Any:
        shown = None if render_mode == "human" else render_mode  # the test makes a window's environment, and drops it
        return greenhop.aec_env("pair2", compile=False, render_mode=shown, **TEN_HOURS)

    render_test(made)


@needs_pettingzoo
@pytest.mark.parametrize("scenario", ["pair2", "tri3"])
def test_hubs_together_live_the_episode_of_the_single_agent(scenario: str) -> None:
    env, alone = env_of(scenario, reward="own"), HubEnv(scenario, reward="bill", **TEN_HOURS)
    obs, _ = env.reset(seed=3)
    whole, _ = alone.reset(seed=3)
    rng = np.random.default_rng(0)
    while env.agents:
        np.testing.assert_array_equal(env.state(), whole)
        assert all(env.observation_space(hub).contains(view) for hub, view in obs.items())
        actions = {hub: rng.uniform(-1, 1, env.views.bids).astype(np.float32) for hub in env.agents}
        bids = torch.from_numpy(np.stack(list(actions.values())))[None]
        obs, rewards, terminated, truncated, infos = env.step(actions)
        whole, reward, over, cut, info = alone.step(env.views.action(bids)[0].numpy())
        assert sum(rewards.values()) == pytest.approx(reward, rel=1e-6, abs=1e-6)
        assert set(terminated.values()) == {over}
        assert set(truncated.values()) == {cut}
        bill = sum(value for name, value in info.items() if name.endswith("_cny"))
        assert sum(told["bill_cny"] for told in infos.values()) == pytest.approx(bill, rel=1e-6)
    assert over


@needs_pettingzoo
def test_a_shared_reward_is_everybodys() -> None:
    env, alone = env_of(), HubEnv("pair2", reward="bill", **TEN_HOURS)
    env.reset(seed=3)
    alone.reset(seed=3)
    still = {hub: np.zeros(env.views.bids, dtype=np.float32) for hub in env.agents}
    _, rewards, *_ = env.step(still)
    _, reward, *_ = alone.step(np.zeros(env.sim.action_size, dtype=np.float32))
    assert list(rewards.values()) == [reward, reward]


@needs_pettingzoo
def test_mistakes_of_many_agents_are_told() -> None:
    with pytest.raises(ConfigError, match="allowed: shared, own"):
        env_of(reward="mine")
    with pytest.raises(ConfigError, match="no baseline"):
        env_of(reward="own", baseline="price_follow")
    env = env_of()
    with pytest.raises(ActionError, match="call reset"):
        env.state()
    env.reset(seed=0)
    with pytest.raises(ActionError, match=r"no action of yangtze_demo"):
        env.step({"horinger": np.zeros(env.views.bids)})


def test_without_pettingzoo_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pettingzoo", None)
    monkeypatch.delitem(sys.modules, "greenhop.communities.hub_agents", raising=False)
    with pytest.raises(ConfigError, match=r"pip install 'greenhop\[pettingzoo\]'"):
        greenhop.parallel_env("pair2")


def test_city_networks_are_seen_hub_by_hub_too() -> None:
    sim: Simulator = build_simulator("hub10", "test", overrides=["episode.length_h=6"], year_ids=[0])
    views = hub_views(sim)
    action = views.action(torch.zeros(2, 10, views.bids))
    assert action.shape == (2, sim.action_size)
    assert views.observe(torch.zeros(2, sim.obs_size)).shape == (2, 10, views.size)
