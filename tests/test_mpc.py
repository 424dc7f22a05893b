"""Controllers see what they may see, end where the episode ends, and land between price following and the bound."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from greenhop.episode.carry import Carry
from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.errors import ConfigError
from greenhop.lp.model import LinearProgram, Pattern, build
from greenhop.lp.window import Window
from greenhop.physics.state import State
from greenhop.world.forecast import Forecast
from greenhop.world.year import generate_year
from greenhop_agents.policies import mpc
from greenhop_agents.policies.mpc import Mpc, MpcSettings
from greenhop_agents.policies.outlook import ForecastOutlook, PerfectOutlook
from greenhop_agents.policies.policy import Policy
from greenhop_agents.scoring.bounds import episode_bounds
from greenhop_agents.scoring.evaluate import evaluate
from greenhop_agents.shelf.find import find_policy
from tests.sims import day_sim

STARTS = [40, 200]  # of a year of days


@cache
def week_sim() -> Simulator:
    """Two days are enough of a week here: the window recedes for one of them."""
    return build_simulator("pair2", "val", overrides=["episode.length_h=48"], year_ids=[0])


def mean_cost(policy: Policy) -> float:
    return float(np.mean([e.cost_cny for e in evaluate(week_sim(), policy, STARTS)]))


def test_costs_fall_from_price_following_to_perfect_foresight() -> None:
    costs = [mean_cost(find_policy(name, week_sim())) for name in ("price_follow", "mpc", "mpc_perfect")]
    lowest = float(np.mean([b.bound_cny for b in episode_bounds(week_sim(), STARTS)]))
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] >= lowest
    assert costs[0] - costs[1] >= 0.5 * (costs[0] - lowest)


def test_a_window_as_long_as_the_episode_with_perfect_foresight_finds_the_bound() -> None:
    sim = day_sim("pair2")
    policy = Mpc("mpc_perfect", MpcSettings(horizon_h=24), perfect=True)
    episodes = evaluate(sim, policy, STARTS)
    for episode, bound in zip(episodes, episode_bounds(sim, STARTS), strict=True):
        assert episode.cost_cny == pytest.approx(bound.bound_cny, rel=2e-4)
        assert episode.cost_cny >= bound.bound_cny * (1.0 - 1e-6)


def test_coarse_later_hours_cost_little() -> None:
    fine, coarse = mean_cost(Mpc()), mean_cost(Mpc(settings=MpcSettings(fine_h=6)))
    assert coarse == pytest.approx(fine, rel=0.03)


def test_the_forecast_outlook_is_the_forecast_of_the_scenario() -> None:
    sim, row = week_sim(), 1000
    rows = ForecastOutlook().rows(sim, row, 24)
    told = Forecast(sim.scenario, generate_year(sim.scenario, "val", 0)).at(row, 24)
    truth, seen = sim.bank.layout.unpack(sim.bank.table[row : row + 24])
    assert np.array_equal(rows.green_mwh.numpy(), told["green_mwh"][:24])
    assert np.array_equal(rows.next_arrivals_mwh.numpy(), told["arrivals_mwh"][1:])
    assert rows.green_mwh[0].numpy() == pytest.approx(truth.green_mwh[0].numpy(), rel=1e-6)
    assert rows.green_mwh[6].numpy() == pytest.approx(seen.forecast_green_mwh[0, 3].numpy(), rel=1e-6)  # lead of 6 h
    assert not np.allclose(rows.green_mwh[1:], truth.green_mwh[1:])


def test_the_perfect_outlook_is_the_world() -> None:
    sim, row = week_sim(), 1000
    truth, _ = sim.bank.layout.unpack(sim.bank.table[row : row + 5].double())
    for known, true in zip(PerfectOutlook().rows(sim, row, 5), truth, strict=True):
        assert torch.equal(known, true)


def test_the_forecast_of_a_later_year_is_that_years() -> None:
    sim = build_simulator("pair2", "val", overrides=["episode.length_h=48"])
    row = sim.params.rows_per_year + 500
    truth, _ = sim.bank.layout.unpack(sim.bank.table[row : row + 1])
    assert ForecastOutlook().rows(sim, row, 24).green_mwh[0].numpy() == pytest.approx(
        truth.green_mwh[0].numpy(), rel=1e-6
    )


def test_an_environment_decides_alone_as_in_a_batch() -> None:
    sim = week_sim()
    carry = sim.begin(torch.tensor(STARTS))
    both, alone = Mpc(), Mpc()
    both.reset(sim)
    alone.reset(sim)
    second = Carry(State(*(x[1:] for x in carry.state)), carry.packed[1:])
    assert torch.equal(both.decide(sim, carry).serve_mwh[1:], alone.decide(sim, second).serve_mwh)


def test_windows_at_one_phase_of_the_clock_share_a_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    sim, policy = build_simulator("pair2", "val", overrides=["episode.length_h=96"], year_ids=[0]), Mpc()
    known: list[Pattern | None] = []

    def seen(window: Window, pattern: Pattern | None) -> LinearProgram:
        known.append(pattern)
        return build(window, pattern)

    monkeypatch.setattr(mpc, "build", seen)
    policy.reset(sim)
    with torch.no_grad():
        carry = sim.begin(torch.tensor([40]))
        for _ in range(30):
            carry, _ = sim.advance(carry, policy.decide(sim, carry))
    assert [pattern is None for pattern in known] == [True] * 24 + [False] * 6


def test_a_new_episode_forgets_the_old_window() -> None:
    sim, policy = week_sim(), Mpc()
    policy.reset(sim)
    with torch.no_grad():
        carry = sim.begin(torch.tensor([40]))
        for _ in range(3):
            carry, _ = sim.advance(carry, policy.decide(sim, carry))
        elsewhere = sim.begin(torch.tensor([200]))
        jumped = policy.decide(sim, elsewhere)
        policy.reset(sim)
        fresh = policy.decide(sim, elsewhere)
    step = [float(sim.advance(elsewhere, plan)[1].cost_cny.sum()) for plan in (jumped, fresh)]
    assert step[0] == pytest.approx(step[1], rel=0.05)


def test_a_window_without_hours_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1 hour"):
        MpcSettings(horizon_h=0)


def test_a_horizon_beyond_the_forecasts_is_refused() -> None:
    far = MpcSettings(horizon_h=36)
    with pytest.raises(ConfigError, match=r"set scenario\.forecast\.horizon_h=36"):
        Mpc(settings=far).reset(week_sim())
    Mpc(settings=far, perfect=True).reset(week_sim())
