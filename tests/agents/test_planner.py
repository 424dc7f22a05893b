"""The planner that learns what follows its windows: what it records, how it weighs it, and that it pays."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.errors import ConfigError
from greenhop_agents.learners.algorithms.planner import Planner, PlannerConfig, record
from greenhop_agents.policies.futures import Futures
from greenhop_agents.policies.mpc import Mpc, MpcSettings
from greenhop_agents.policies.rules import PriceFollow
from greenhop_agents.scoring.episodes import walk
from greenhop_agents.scoring.evaluate import mean_cost
from greenhop_agents.shelf.find import find_policy
from greenhop_agents.training.train import train
from tests.agents.test_training import config_of, ignore

CONFIG = PlannerConfig()


@cache
def sim_of(split: str, hours: int = 72) -> Simulator:
    return build_simulator("pair2", split, overrides=[f"episode.length_h={hours}"], year_ids=[0])  # type: ignore[arg-type]


def some_futures(episodes: int, seed: int = 0) -> Futures:
    rng = np.random.default_rng(seed)
    peak = np.sort(rng.uniform(0.0, 100.0, (4, episodes, 2)), axis=0)[::-1]
    return Futures(rng.uniform(0.0, 365.0, episodes), peak, rng.normal(0.0, 9.0, (4, episodes, 2, 3)), count=4)


def test_what_is_recorded_is_what_the_simulator_bills_by() -> None:
    sim, starts = sim_of("train"), [10, 90, 300]
    found, told = record(sim, PriceFollow(), CONFIG, starts)
    *_, last = walk(sim, PriceFollow(), torch.tensor(starts))
    start = sim.params.peak_start_mw.numpy()
    assert np.maximum(found.peak_mw[0], start) == pytest.approx(last.after.state.peak_mw.numpy(), rel=1e-6)
    assert found.owed_mwh[0] == pytest.approx(last.after.state.owed_mwh.numpy(), rel=1e-4, abs=0.01)
    assert (np.diff(found.peak_mw, axis=0) <= 0).all()
    assert not found.peak_mw[-1].any()
    assert not found.owed_mwh[-1].any()
    assert found.day == pytest.approx([sim.bank.starts[s].item() / 24 for s in starts])
    assert told.shape[0] == len(starts)


def test_a_later_record_of_the_same_episode_is_the_rest_of_an_earlier_one() -> None:
    sim = sim_of("train")
    walked = list(walk(sim, PriceFollow(), torch.tensor([10])))
    found, _ = record(sim, PriceFollow(), CONFIG, [10])
    for step in (0, 30, 71):
        moved = walked[-1].after.state.owed_mwh - walked[step].before.state.owed_mwh
        assert found.owed_mwh[step, 0] == pytest.approx(moved[0].numpy(), abs=0.01)
        imported = max(float((w.flows.grid_mwh + w.flows.ppa_mwh)[0, 0]) for w in walked[step:])
        assert found.peak_mw[step, 0, 0] == pytest.approx(imported, rel=1e-6)


def test_one_episode_is_its_own_future() -> None:
    one = some_futures(1)
    later = one.after(2, 100.0)
    assert (later.peak_mw == one.peak_mw[2, 0, :, None]).all()
    assert (later.owed_mwh == one.owed_mwh[2, 0, :, :, None]).all()


def test_futures_are_quantiles_of_the_season() -> None:
    """Two seasons half a year apart do not see each other, across the turn of the year either."""
    n = 40
    summer = Futures(np.full(n, 190.0), np.full((4, n, 2), 50.0), np.full((4, n, 2, 3), -5.0), count=4)
    level = np.linspace(0.0, 39.0, n)[None, :, None]
    winter = Futures(np.full(n, 5.0), np.tile(level, (4, 1, 2)), np.zeros((4, n, 2, 3)), count=4)
    both = summer.and_later(winter, 2 * n)
    assert both.after(1, 200.0).peak_mw == pytest.approx(50.0)
    assert both.after(1, 360.0).peak_mw[0] == pytest.approx([4.0, 14.0, 24.0, 34.0], abs=1.0)
    assert both.after(1, 360.0).owed_mwh == pytest.approx(0.0)


def test_the_newest_episodes_are_kept() -> None:
    old, new = some_futures(5, 1), some_futures(4, 2)
    kept = old.and_later(new, 6)
    assert np.array_equal(kept.day, np.concatenate([old.day[-2:], new.day]))
    assert np.array_equal(kept.peak_mw[:, 2:], new.peak_mw)
    assert np.array_equal(kept.owed_mwh[:, :2], old.owed_mwh[:, -2:])


def test_without_futures_it_is_the_planner_itself() -> None:
    sim = sim_of("val", 30)
    learner = Planner.build(sim, {"name": "planner", "kind": "planner", "options": {}}, 0)
    assert mean_cost(sim, learner.policy(), np.array([40])) == mean_cost(sim, Mpc(), np.array([40]))


@pytest.mark.slow
def test_several_processes_play_what_one_plays() -> None:
    sim = build_simulator("pair2", "train", overrides=["episode.length_h=30", "years.train=1"])
    found = []
    for workers in (1, 2):
        options = {"horizon_h": 6, "episodes": 2, "workers": workers}
        learner = Planner.build(sim, {"name": "planner", "kind": "planner", "options": options}, 0)
        told = [learner.learn_once(0.0), learner.learn_once(0.5)]
        assert learner.futures is not None
        found.append((learner.futures.tensors(), torch.stack([x["env/grid_energy_cny"] for x in told])))
    for name, x in found[0][0].items():
        torch.testing.assert_close(found[1][0][name], x, rtol=1e-6, atol=1e-4)
    torch.testing.assert_close(found[1][1], found[0][1])


@pytest.mark.slow
def test_what_it_has_learnt_saves_money_in_days_it_has_not_seen(tmp_path: Path) -> None:
    """Six episodes of three days; the planner beside it has the same windows and forecasts."""
    options = ["agent.options.horizon_h=12", "agent.options.episodes=3", "+scenario.episode.length_h=72"]
    config = config_of(
        tmp_path / "run", ["agent=planner", "scenario=pair2", *options, "total_steps=432", "validation.episodes=0"]
    )
    trained = train(config, ignore)
    sim, starts = sim_of("val"), np.array([40, 130, 200, 300])
    plain = Mpc(settings=MpcSettings(horizon_h=12))
    again = find_policy(str(tmp_path / "run"), sim)
    cost = mean_cost(sim, trained, starts)
    assert cost < mean_cost(sim, plain, starts)
    assert mean_cost(sim, again, starts) == cost
    with pytest.raises(ConfigError, match="futures do not fit"):
        find_policy(str(tmp_path / "run"), sim_of("val", 30))
