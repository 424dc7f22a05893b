"""Budgets of a learner: prices rise while a budget is broken, fall to 0 while it is not, and policies follow them."""

from __future__ import annotations

import pytest
import torch

from greenhop.episode.budgets import Budgets
from greenhop.errors import ConfigError
from greenhop.physics.rewards import REPORTED
from greenhop_agents.learners.algorithms.ppo import Ppo
from greenhop_agents.learners.multipliers import Multipliers, multipliers
from tests.sims import day_sim

CARBON = REPORTED.index("carbon_kg")


def of_carbon(limit: float, rate: float = 0.1) -> Multipliers:
    return multipliers(Budgets(carbon_kg=limit), day_sim("pair2").params, rate)


def steps_with(carbon_kg: float) -> torch.Tensor:
    reported = torch.zeros(5, 3, len(REPORTED))
    reported[..., CARBON] = carbon_kg
    return reported


def test_a_price_rises_while_too_much_is_used_and_falls_to_zero_otherwise() -> None:
    prices = of_carbon(limit=2400.0)
    assert prices.spent(steps_with(150.0)).tolist() == [pytest.approx(150.0 * 24)]
    prices.follow(prices.spent(steps_with(150.0)))
    first = prices.price.item()
    assert first * 2400.0 == pytest.approx(0.1 * prices.cost_scale_cny * 24 * 0.5, rel=1e-5)  # half too much
    prices.follow(prices.spent(steps_with(150.0)))
    assert prices.price.item() == pytest.approx(2 * first)
    for _ in range(9):
        prices.follow(prices.spent(steps_with(50.0)))
    assert prices.price.item() == 0.0


def test_a_step_pays_the_price_of_what_it_uses() -> None:
    prices = of_carbon(limit=0.0)
    prices.price.fill_(0.5)
    paid = prices.penalty(steps_with(1000.0))
    assert paid.shape == (5, 3)
    torch.testing.assert_close(paid, torch.full((5, 3), 500.0 / prices.cost_scale_cny))
    assert not multipliers(Budgets(), day_sim("pair2").params, 0.1).penalty(steps_with(1.0)).any()


def agent(**constraints: float) -> Ppo:
    options = {"num_envs": 16, "group_size": 4, "horizon": 12, "constraints": constraints, "multiplier_rate": 0.5}
    network = {"kind": "mlp", "width": 8, "layers": 1}
    given = {"name": "ppo", "kind": "ppo", "options": {**options, "compile": False, "network": network}}
    return Ppo.build(day_sim("pair2", "train"), given, seed=0)


def test_an_agent_with_a_budget_learns_its_price_and_keeps_it_in_its_checkpoint() -> None:
    learner = agent(carbon_kg=0.0)
    told = learner.learn_once(0.0)
    told = learner.learn_once(0.1)
    assert told["train/price_carbon_kg_cny"] > 0.0
    assert told["train/beyond_carbon_kg"] > 0.0
    assert learner.keeps_last
    other = agent(carbon_kg=0.0)
    other.take_up(learner.state())
    assert torch.equal(other.prices.price, learner.prices.price)


def test_an_agent_without_budgets_learns_as_before() -> None:
    free = agent()
    assert not free.keeps_last
    assert not any(name.startswith("train/price") for name in free.learn_once(0.0))


def test_a_budget_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="green_share"):
        agent(green_share=2.0)
