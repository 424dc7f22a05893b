"""Episodes by machine code are the episodes by the step as it is written."""

from __future__ import annotations

from time import process_time

import pytest
import torch

from greenhop.episode.simulator import build_simulator
from greenhop_agents.policies.policy import Acting, ActionPolicy
from greenhop_agents.policies.rules import Greenest, PriceFollow
from greenhop_agents.scoring.episodes import drive, environments, walk
from greenhop_agents.scoring.evaluate import evaluate, mean_cost
from tests.marks import needs_compiler
from tests.sims import SCENARIOS, day_sim

STARTS = [1, 90, 180]


def wavering(action_size: int) -> ActionPolicy:
    """Acts on what it sees, beyond what is allowed now and then."""
    weight = torch.linspace(-1.0, 1.0, action_size)
    return ActionPolicy("wavering", lambda obs: 1.5 * torch.sin(obs[:, :5].sum(-1, keepdim=True) * 3.0 + 9.0 * weight))


@needs_compiler
@pytest.mark.parametrize("name", SCENARIOS)
def test_an_episode_by_machine_code_is_the_one_that_is_walked(name: str) -> None:
    sim = day_sim(name)
    policy = wavering(sim.action_size)
    driven, starts = evaluate(sim, policy, STARTS), torch.tensor(STARTS)
    rewards = torch.stack([step.reward for step in drive(sim, policy, starts)])
    walked = list(walk(sim, policy, starts))
    paid = torch.stack([step.flows.cost_cny.sum(-1) for step in walked])
    torch.testing.assert_close(-rewards * sim.params.cost_scale_cny, paid, rtol=1e-3, atol=1.0)
    for i, episode in enumerate(driven):
        assert episode.cost_cny == pytest.approx(float(paid[:, i].sum()), rel=1e-5)
        served = sum(float(step.flows.serve_mwh[i].sum() + step.flows.serve_online_mwh[i].sum()) for step in walked)
        assert episode.totals["served_mwh"] == pytest.approx(served, rel=1e-5)
    assert mean_cost(sim, policy, STARTS) == pytest.approx(float(paid.sum(0).mean()), rel=1e-5)


def test_a_rule_that_writes_plans_is_walked_and_its_sites_are_known() -> None:
    sim = day_sim("tri3")
    assert not isinstance(Greenest(), Acting)
    (episode,) = evaluate(sim, Greenest(), [5])
    assert sum(site["facility_mwh"] for site in episode.sites.values()) == pytest.approx(
        episode.totals["facility_mwh"], rel=1e-5
    )
    assert mean_cost(sim, Greenest(), [5]) == pytest.approx(episode.cost_cny, rel=1e-5)


def test_where_power_is_supplied_directly_sites_are_known_of_every_policy() -> None:
    sim = build_simulator("hub10-direct", "test", overrides=["episode.length_h=3"], year_ids=[0])
    (episode,) = evaluate(sim, PriceFollow(), [5])
    assert episode.direct
    assert set(episode.sites) == set(sim.params.regions)


@needs_compiler
def test_sixteen_weeks_are_validated_in_a_fifth_of_a_second() -> None:
    sim = build_simulator("pair2", "val", year_ids=[0])
    starts = sim.bank.spread(16)
    environments(sim, len(starts))
    began = process_time()
    mean_cost(sim, wavering(sim.action_size), starts)
    assert process_time() - began < 0.2
