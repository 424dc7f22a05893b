"""Other objectives in the programme: they count what the simulator counts, and prices on them give bounds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from greenhop.errors import ConfigError
from greenhop.lp.model import build
from greenhop.lp.objectives import counted
from greenhop.lp.replay import plan_of
from greenhop.lp.solve import solve
from greenhop.lp.trade_off import optimum, weighted
from greenhop.lp.window import make_window
from greenhop.physics.objectives import OBJECTIVES, objectives
from greenhop.physics.rewards import REPORTED, report
from greenhop_agents.scoring.bounds import episode_window
from greenhop_agents.scoring.episodes import walk
from greenhop_agents.shelf.find import find_policy
from tests.sims import day_sim

PRICES = [{}, {"carbon_kg": 0.5}, {"missed_mwh": 500.0}, {"green_short_mwh": 300.0}, {"green_lack_mwh": 100.0}]


def totals_of(name: str, start: int) -> dict[str, float]:
    """What a policy comes to in one episode, step by step as the simulator tells it."""
    sim = day_sim("pair2", dtype=torch.float64)
    sums = torch.zeros(len(OBJECTIVES) + len(REPORTED), dtype=torch.float64)
    for done in walk(sim, find_policy(name, sim), torch.tensor([start])):
        told = report(sim.params, done.flows)
        owed = (done.before.state.owed_mwh, done.after.state.owed_mwh)
        sums += torch.cat((objectives(sim.params, told, *owed), told), dim=-1)[0]
    return dict(zip((*OBJECTIVES, *REPORTED), sums.tolist(), strict=True))


@pytest.mark.parametrize("prices", PRICES, ids=lambda p: next(iter(p), "bill"))
def test_no_policy_has_a_smaller_weighted_sum_than_the_certified_one(prices: dict[str, float]) -> None:
    sim = day_sim("pair2", dtype=torch.float64)
    start = 40
    best = optimum(*episode_window(sim, start), prices, share=0.8)
    value = weighted(best.totals, prices, share=0.8)
    assert best.lower_bound <= value + 1e-6
    assert value - best.lower_bound < 1e-4 * abs(best.lower_bound)
    for policy in ("price_follow", "stay", "greenest"):
        assert weighted(totals_of(policy, start), prices, share=0.8) > best.lower_bound


@pytest.mark.parametrize("name", ["carbon_kg", "missed_mwh", "green_short_mwh", "green_lack_mwh"])
def test_the_programme_counts_what_the_simulator_counts(name: str) -> None:
    """With its price so high that the plan looks for it, the solution holds as much of it as its replay."""
    sim, share = day_sim("pair2", dtype=torch.float64), 0.9
    params, state, rows = episode_window(sim, 40)
    point = optimum(params, state, rows, {name: 50.0}, share=share)
    window = make_window(params, state, rows)
    from greenhop.lp.objectives import priced

    lp = priced(build(window), window, {name: 50.0}, share=share)
    x = solve(lp).x * lp.column_unit
    held = 0.0
    for family, amount in counted(window, name, share).items():
        values = lp.columns.read(x, family)
        held += float((np.broadcast_to(amount, values.shape) * values).sum())
    in_simulator = weighted({**point.totals, "cost_cny": 0.0}, {name: 1.0}, share=share)
    assert held == pytest.approx(in_simulator, rel=1e-4, abs=0.05)
    assert plan_of(window, lp, lp.cost * 0).serve_mwh.shape[0] == params.steps


def test_what_costs_more_is_done_less() -> None:
    sim = day_sim("pair2", dtype=torch.float64)
    window = episode_window(sim, 300)
    points = [optimum(*window, {"carbon_kg": price}).totals for price in (0.0, 0.3, 1.0)]
    carbon, cost = ([p[name] for p in points] for name in ("carbon_kg", "cost_cny"))
    assert carbon[0] > carbon[1] > carbon[2]
    assert cost[0] < cost[1] < cost[2]


def test_weights_that_bound_nothing_are_refused() -> None:
    window = episode_window(day_sim("pair2", dtype=torch.float64), 40)
    with pytest.raises(ConfigError, match="at least 0"):
        optimum(*window, {"carbon_kg": -1.0})
    with pytest.raises(ConfigError, match="is no objective"):
        optimum(*window, {"carbon": 1.0})
