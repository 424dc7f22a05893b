"""The control variate and the potential: numbers no action can change, and no reward for delay."""

from __future__ import annotations

import pytest
import torch

from greenhop.engines.price_follow import price_follow_rewards
from greenhop.episode.simulator import Simulator
from greenhop.physics.rewards import gain, potential, reward_of
from greenhop.physics.state import State
from greenhop_agents.policies.rules import PriceFollow, Stay
from greenhop_agents.scoring.evaluate import evaluate


def test_the_reference_is_what_price_following_earns(moment: Simulator) -> None:
    starts = [3, 300]
    earned = price_follow_rewards(moment)[starts].sum(1) * moment.params.cost_scale_cny
    costs = [e.cost_cny for e in evaluate(moment, PriceFollow(), starts)]
    assert (-earned).tolist() == pytest.approx(costs, rel=1e-4)


def test_shaping_adds_minus_the_potential_of_the_start_to_an_episode(moment: Simulator) -> None:
    plain, shaped = price_follow_rewards(moment), price_follow_rewards(moment, "accrual")
    begun = moment.begin(torch.arange(moment.bank.n_starts)).state
    torch.testing.assert_close(shaped.sum(1) - plain.sum(1), -potential(moment.params, begun), rtol=1e-3, atol=1e-5)
    assert (shaped - plain).abs().max() > 0.01


def test_the_potential_prices_waiting_work_and_stored_energy_as_the_last_step_does(moment: Simulator) -> None:
    p = moment.params
    state = moment.begin(torch.tensor([3])).state
    more_work = state._replace(backlog_mwh=state.backlog_mwh + 1.0)
    more_energy = state._replace(soc_mwh=state.soc_mwh + 2.0)
    slots = state.backlog_mwh[0, :, 0].numel()
    work = -slots * float(p.work_terminal_cny_per_mwh.sum()) / p.cost_scale_cny
    energy = 2.0 * float(p.soc_terminal_cny_per_mwh.sum()) / p.cost_scale_cny
    assert float(potential(p, more_work) - potential(p, state)) == pytest.approx(work, rel=1e-3)
    assert float(potential(p, more_energy) - potential(p, state)) == pytest.approx(energy, rel=1e-3)
    assert float(potential(p, state._replace(t=state.t + p.steps))) == 0.0


def test_putting_all_work_off_looks_cheap_until_the_potential_counts(moment: Simulator) -> None:
    carry = moment.begin(torch.arange(0, moment.bank.n_starts, 97))
    plan = Stay().decide(moment, carry)
    idle = plan._replace(serve_mwh=torch.zeros_like(plan.serve_mwh))
    rewards, gains = [], []
    for chosen in (plan, idle):
        after, flows = moment.advance(carry, chosen)
        rewards.append(reward_of(moment.params, flows))
        gains.append(gain(moment.params, State(*carry.state), after.state))
    lure = (rewards[1] - rewards[0]).mean()
    assert lure > 0.0
    assert abs(float((rewards[1] + gains[1] - rewards[0] - gains[0]).mean())) < 0.5 * float(lure)
