"""The single Gymnasium environment: what Gymnasium and Stable-Baselines3 ask of it, and what design.md promises."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3
from torch import Tensor
from torch.utils._pytree import tree_leaves

import greenhop
from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.errors import ActionError, ConfigError
from greenhop.gym.env import HubEnv
from greenhop.physics.rewards import REPORTED
from greenhop.physics.state import COST_TERMS
from greenhop.scenario.config import parse_scenario
from greenhop.scenario.find import load_scenario
from tests.sims import SCENARIOS, day_sim

ONE_YEAR: dict[str, Any] = {"split": "test", "year_ids": [0], "overrides": ["episode.length_h=24"]}
MAIN_IDS = ("Pair2-v1", "Tri3-v1", "Hub10-v1")
UNITS = ("_cny", "_mwh", "_kg", "_gb")


def actions_of(env: HubEnv, steps: int, seed: int = 0) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
    rng = np.random.default_rng(seed)
    return [rng.uniform(-1, 1, env.sim.action_size).astype(np.float32) for _ in range(steps)]


@pytest.mark.parametrize("env_id", MAIN_IDS)
def test_environments_pass_both_checkers(env_id: str) -> None:
    env = gym.make(f"greenhop:{env_id}", disable_env_checker=True, **ONE_YEAR)
    check_env(env.unwrapped)
    check_env_for_sb3(env.unwrapped)


@pytest.mark.parametrize("env_id", MAIN_IDS)
def test_make_vec_gives_the_batched_environment(env_id: str) -> None:
    envs = gym.make_vec(f"greenhop:{env_id}", num_envs=3, **ONE_YEAR)
    obs, _ = envs.reset(seed=1)
    assert obs.shape == envs.observation_space.shape
    assert obs.shape[0] == 3
    obs, reward, terminated, truncated, _ = envs.step(envs.action_space.sample())
    assert obs in envs.observation_space
    assert reward.shape == terminated.shape == truncated.shape == (3,)
    assert type(envs.unwrapped).__name__ == "HubVectorEnv"


def test_registration_names_existing_scenarios() -> None:
    for env_id, scenario in greenhop.ENV_IDS.items():
        assert gym.spec(env_id).kwargs == {"scenario": scenario}
        assert load_scenario(scenario).name == scenario


def test_episodes_end_by_termination_only_after_exactly_their_length() -> None:
    env = HubEnv(sim=day_sim("tri3"))
    env.reset(seed=0)
    ends = [env.step(action)[2:4] for action in actions_of(env, 24)]
    assert not any(truncated for _, truncated in ends)
    assert [terminated for terminated, _ in ends] == [False] * 23 + [True]
    assert all(type(x) is bool for end in ends for x in end)


def test_info_names_every_quantity_with_its_unit_and_stays_small() -> None:
    env = HubEnv(sim=day_sim("hub10"), reward="bill")
    env.reset(seed=0)
    for action in actions_of(env, 24):
        _, reward, _, _, info = env.step(action)
        assert tuple(info) == REPORTED
        assert all(name.endswith(UNITS) for name in info)
        assert all(type(value) is np.float32 for value in info.values())
        cost = sum(info[f"{term}_cny"] for term in COST_TERMS)
        assert reward == pytest.approx(-cost / env.sim.params.cost_scale_cny, rel=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_actions_that_are_no_numbers_raise(bad: float) -> None:
    env = HubEnv(sim=day_sim("pair2"))
    env.reset(seed=0)
    action = np.zeros(env.sim.action_size)
    action[1] = bad
    with pytest.raises(ActionError, match="1 NaN or infinite"):
        env.step(action)


def test_actions_of_the_wrong_shape_or_kind_raise() -> None:
    env = HubEnv(sim=day_sim("pair2"))
    env.reset(seed=0)
    size = env.sim.action_size
    with pytest.raises(ActionError, match=rf"shape \({size + 1},\), allowed is \({size},\)"):
        env.step(np.zeros(size + 1, dtype=np.float32))
    with pytest.raises(ActionError, match="real numbers"):
        env.step(np.full(size, "a"))


def test_a_refused_action_leaves_the_episode_as_it_was() -> None:
    env = HubEnv(sim=day_sim("pair2"))
    env.reset(seed=0)
    before = env.tensors.carry
    with pytest.raises(ActionError):
        env.step(np.full(env.sim.action_size, np.nan))
    assert all(torch.equal(a, b) for a, b in zip(tree_leaves(env.tensors.carry), tree_leaves(before), strict=True))


@pytest.mark.parametrize("factor", [3.0, 1e300])
def test_actions_out_of_range_are_clipped(factor: float) -> None:
    sim = day_sim("tri3")
    signs = np.sign(np.random.default_rng(0).normal(size=sim.action_size))
    results = []
    for action in (signs * factor, signs):
        env = HubEnv(sim=sim)
        env.reset(seed=0)
        results.append(env.step(action))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_seed_gives_the_same_trajectory_and_another_seed_another(name: str) -> None:
    def run(seed: int) -> tuple[list[float], Tensor]:
        env = HubEnv(sim=day_sim(name))
        first, _ = env.reset(seed=seed)
        steps = [env.step(action) for action in actions_of(env, 24)]
        return [s[1] for s in steps], torch.tensor(np.stack([first, *(s[0] for s in steps)]))

    rewards, obs = run(7)
    again, same = run(7)
    assert rewards == again
    assert torch.equal(obs, same)
    assert run(8)[0] != rewards


def test_a_start_can_be_chosen_and_must_exist() -> None:
    env = HubEnv(sim=day_sim("pair2"))
    env.reset(options={"start": 5})
    assert env.tensors.carry.state.world_row.tolist() == [int(env.sim.bank.starts[5])]
    with pytest.raises(ConfigError, match="start"):
        env.reset(options={"start": env.sim.bank.n_starts})


def test_the_observation_is_named_without_gaps() -> None:
    sim = day_sim("hub10")
    where = sim.observer.slices()
    blocks = [where[name] for name in sim.observer.parts]
    assert [s.start for s in blocks] == [0, *(s.stop for s in blocks[:-1])]
    assert blocks[-1].stop == sim.obs_size
    widths = [where[f"region.{name}"] for name in sim.observer.region_parts]
    assert widths[-1].stop == sim.observer.parts["region"][1]


def test_the_observation_tells_when_slots_close_and_what_the_contract_bills_at_least() -> None:
    sim = day_sim("pair2")
    p, where = sim.params, sim.observer.slices()
    carry = sim.begin(torch.tensor([3]))
    for _ in range(p.steps):
        phase = int((carry.state.world_row + carry.state.t) % p.period)
        obs = sim.observe(carry)
        at_once = obs[0, where["deadlines"]] * (p.slack[:, :, 0].amax(0) + 1.0) == 1.0
        assert torch.equal(at_once, p.closes[phase] == 1.0)
        seen = sim.observer.split(obs)["region"][0]
        floor, peak = (seen[:, where[f"region.{name}"]].squeeze(-1) for name in ("peak_floor", "peak"))
        torch.testing.assert_close(floor, p.peak_start_mw * p.dt_h / p.connection_mwh)
        assert bool((peak >= floor).all())
        carry, _ = sim.act(carry, torch.full((1, sim.action_size), 0.5))


MARKS = 7  # rows carry their index modulo this; odd, so that a lag of one step never looks like no lag
BASE = {
    "green_mwh": 40.0, "ppa_mwh": 5.0, "pue_full": 1.2, "grid_price_cny_per_mwh": 300.0,
    "export_price_cny_per_mwh": 50.0, "carbon_kg_per_mwh": 500.0, "site_availability": 0.8, "grid_availability": 0.7,
    "online_mwh": 10.0,
    "next_arrivals_mwh": 10.0, "link_availability": 0.5, "inflow_mwh": 1.0, "temperature_c": 5.0, "calendar": 0.1,
    "forecast_green_mwh": 30.0, "forecast_price_cny_per_mwh": 200.0, "forecast_arrivals_mwh": 20.0,
}  # fmt: skip
OBSERVED = (
    "green", "ppa", "price", "export_price", "carbon", "pue", "temperature", "site_availability", "grid_availability",
    "online", "forecast_green", "forecast_price", "forecast_arrivals",
)  # fmt: skip


def marked_sim() -> tuple[Simulator, dict[str, Tensor]]:
    """A simulator whose rows all say which row they are, and per field the value `[N]` that each row holds."""
    sim = day_sim("tri3", dtype=torch.float64)
    mark = torch.arange(sim.bank.table.shape[0]) % MARKS
    table, values = sim.bank.table.clone(), {}
    for name, columns in sim.bank.layout.slices().items():
        values[name] = BASE[name] * (1.0 + 0.02 * mark.double())
        table[:, columns] = values[name].unsqueeze(-1)
    return replace(sim, bank=replace(sim.bank, table=table)), values


def test_everything_observed_and_billed_in_a_step_comes_from_the_same_row() -> None:
    sim, values = marked_sim()
    p, where = sim.params, sim.observer.slices()
    carry = sim.begin(torch.tensor([3]))
    first = int(carry.state.world_row)
    for t in range(p.steps):
        now = first + t
        assert_observed(sim, sim.observe(carry)[0], now, where)
        row, _ = sim.unpack(carry)
        waiting = carry.state.backlog_mwh
        carry, flows = sim.act(carry, torch.zeros(1, sim.action_size, dtype=torch.float64))
        price = values["grid_price_cny_per_mwh"][now] + p.grid_adder_cny_per_mwh
        billed = dict(zip(COST_TERMS, flows.cost_cny[0], strict=True))
        torch.testing.assert_close(billed["grid_energy"], (flows.grid_mwh * price).sum())
        torch.testing.assert_close(
            billed["export"], -(flows.export_mwh.sum() * values["export_price_cny_per_mwh"][now])
        )
        expected = flows.grid_mwh * values["carbon_kg_per_mwh"][now] + flows.diesel_mwh * p.diesel_carbon_kg_per_mwh
        torch.testing.assert_close(flows.carbon_kg, expected)
        torch.testing.assert_close(flows.green_mwh, values["green_mwh"][now].expand_as(flows.green_mwh))
        presented = flows.serve_online_mwh.sum() + flows.missed_online_mwh.sum()
        torch.testing.assert_close(presented, row.online_mwh.sum())
        overhead = flows.facility_mwh - flows.it_mwh
        full = 0.6 * flows.it_mwh + 0.4 * p.capacity_mwh.sum(-1) * values["site_availability"][now]
        torch.testing.assert_close(overhead, (values["pue_full"][now] - 1.0) * full)
        left = waiting.sum() - flows.serve_mwh.sum() - flows.missed_mwh.sum()
        lost = (flows.migrate_mwh.sum((0, 1, 3)) * p.restart_overhead).sum()
        arrived = carry.state.backlog_mwh.sum() - left - lost
        torch.testing.assert_close(arrived, values["next_arrivals_mwh"][now] * row.next_arrivals_mwh.numel())


def assert_observed(sim: Simulator, obs: Tensor, now: int, where: dict[str, slice]) -> None:
    """Every feature that copies the row is what it is in a still world whose every row is row `now`."""
    still = replace(sim, bank=replace(sim.bank, table=sim.bank.table[now].expand_as(sim.bank.table)))
    expected = still.observe(still.begin(torch.tensor([3])))[0]
    parts = (sim.observer.split(x.unsqueeze(0)) for x in (obs, expected))
    seen, wanted = ({name: x[0] for name, x in part.items()} for part in parts)
    for name in ("link_availability", "calendar"):
        torch.testing.assert_close(seen[name], wanted[name])
    for name in OBSERVED:
        columns = where[f"region.{name}"]
        torch.testing.assert_close(seen["region"][:, columns], wanted["region"][:, columns])
        other = still_value(sim, now + 1, columns)
        assert not torch.allclose(other, wanted["region"][:, columns]), name


def still_value(sim: Simulator, row: int, columns: slice) -> Tensor:
    still = replace(sim, bank=replace(sim.bank, table=sim.bank.table[row].expand_as(sim.bank.table)))
    obs = still.observe(still.begin(torch.tensor([3])))
    return sim.observer.split(obs)["region"][0][:, columns]


def test_permuting_the_regions_permutes_the_results() -> None:
    data = load_scenario("tri3", ["episode.length_h=24"]).model_dump()
    names, order = list(data["sites"]), [2, 0, 1]
    turned = {**data, "sites": {names[i]: data["sites"][names[i]] for i in order}}
    one, two = (build_simulator(parse_scenario(d), "test", year_ids=[0], dtype=torch.float64) for d in (data, turned))
    start, g = torch.tensor([3, 90]), torch.Generator().manual_seed(0)
    here, there = one.begin(start), two.begin(start)
    for _ in range(one.params.steps):
        seen = [sim.observer.split(sim.observe(at))["region"] for sim, at in ((one, here), (two, there))]
        torch.testing.assert_close(seen[0][:, order], seen[1])
        parts = {n: 2 * torch.rand(2, *s, generator=g, dtype=torch.float64) - 1 for n, s in one.decoder.parts.items()}
        moved = {n: x if n == "storage" else x[:, order] for n, x in parts.items()}
        here, ours = one.act(here, torch.cat([x.flatten(1) for x in parts.values()], 1))
        there, theirs = two.act(there, torch.cat([x.flatten(1) for x in moved.values()], 1))
        torch.testing.assert_close(ours.cost_cny, theirs.cost_cny)
        for name in ("grid_mwh", "facility_mwh", "serve_mwh", "missed_mwh"):
            torch.testing.assert_close(getattr(ours, name)[:, order], getattr(theirs, name))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"year_ids": 0}, "year_ids = 0; allowed: a list of whole numbers"),
        ({"year_ids": "0"}, "year_ids = '0'; allowed: a list of whole numbers"),
        ({"year_ids": [1.5]}, r"year_ids = \[1.5\]; allowed"),
        ({"year_ids": [True]}, r"year_ids = \[True\]; allowed"),
        ({"device": "foo"}, "device = 'foo': .*; allowed: cpu, cuda"),
        ({"device": 3}, "device = 3: no name of a device; allowed: cpu, cuda"),
        ({"overrides": "episode.length_h=24"}, "overrides = 'episode.length_h=24'; allowed: a list of texts"),
        ({"overrides": [3]}, r"overrides = \[3\]; allowed: a list of texts"),
        ({"overrides": None}, "overrides = None; allowed: a list of texts"),
        ({"overrides": {"episode.length_h": 24}}, "overrides = .*; allowed: a list of texts"),
        ({"compile": "yes"}, "compile = 'yes'; allowed: True, False, or None"),
    ],
)
def test_what_describes_no_environment_is_refused_in_one_line(given: dict[str, Any], said: str) -> None:
    described = {"overrides": ["episode.length_h=4"], "split": "test", "year_ids": [0], "compile": False, **given}
    with pytest.raises(ConfigError, match=f"^{said}") as refused:
        HubEnv("pair2", **described)
    assert "\n" not in str(refused.value)


def test_a_device_may_be_given_as_torch_knows_it() -> None:
    described: dict[str, Any] = {"split": "test", "year_ids": [np.int64(0)], "compile": False}
    assert HubEnv("pair2", device=torch.device("cpu"), **described).sim is HubEnv("pair2", **described).sim
