"""The static plan knows the hour of the day and nothing else, and beats staying put."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from greenhop.episode.simulator import Simulator, build_simulator
from greenhop_agents.policies.rules import Stay
from greenhop_agents.policies.static import Static
from greenhop_agents.scoring.evaluate import evaluate
from greenhop_agents.shelf.find import find_policy


@cache
def sim() -> Simulator:
    return build_simulator("pair2", "val", overrides=["years.train=1", "episode.length_h=72"], year_ids=[0])


@cache
def static() -> Static:
    policy = Static()
    policy.reset(sim())
    return policy


def test_fractions_are_fractions_and_due_work_always_runs() -> None:
    p, plan = sim().params, static()._plan
    for share in (plan.serve, plan.migrate, plan.route, plan.spill):
        assert float(share.min()) >= 0.0
        assert float(share.max()) <= 1.0
    due = (p.slack[torch.arange(len(plan.serve)) % p.period] == 0).unsqueeze(1).expand_as(plan.serve)
    assert (plan.serve[due] == 1.0).all()


def test_the_plan_depends_on_the_hour_of_the_day_alone() -> None:
    carry = sim().begin(torch.tensor([10, 11]))  # starts lie a day apart
    plan = static().decide(sim(), carry)
    assert torch.equal(plan.charge_mwh[0], plan.charge_mwh[1])
    share = plan.serve_mwh / carry.state.backlog_mwh.clamp_min(1e-6)
    both = (carry.state.backlog_mwh > 1e-3).all(0)
    assert share[0][both].numpy() == pytest.approx(share[1][both].numpy(), rel=1e-4)


def test_the_static_plan_beats_staying_put() -> None:
    starts = sim().bank.spread(6)
    cost = {
        p.name: np.mean([e.cost_cny for e in evaluate(sim(), p, starts)])
        for p in (find_policy("static", sim()), Stay())
    }
    assert cost["static"] < cost["stay"]


def test_a_second_reset_reads_the_same_plan_from_disk() -> None:
    again = Static()
    again.reset(sim())
    assert torch.equal(again._plan.serve, static()._plan.serve)
