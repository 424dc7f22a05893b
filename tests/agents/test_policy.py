"""A policy's decision as machine code."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from greenhop.errors import ConfigError
from greenhop_agents.learners.networks import NetworkConfig, build_actor
from greenhop_agents.policies.compiled import CompiledPolicy
from greenhop_agents.policies.policy import ActionPolicy
from greenhop_agents.shelf.find import find_policy
from tests.marks import needs_compiler
from tests.sims import day_sim


@needs_compiler
def test_a_compiled_policy_decides_as_the_policy_does() -> None:
    sim, num_envs = day_sim("pair2"), 3
    torch.manual_seed(0)
    actor = build_actor(sim, NetworkConfig(width=16))
    policy = ActionPolicy("some", actor.act, actor)
    ours = CompiledPolicy(policy, sim, num_envs)
    carry = sim.begin(torch.arange(num_envs) * 20 + 5)
    with torch.no_grad():
        for _ in range(3):
            plan, expected = ours.decide(sim, carry), policy.decide(sim, carry)
            assert plan.dispatch is None
            torch.testing.assert_close(plan[:-1], expected[:-1], rtol=1e-4, atol=1e-4)
            carry, _ = sim.advance(carry, expected)
    assert ours.name == policy.name


@pytest.mark.parametrize("name", ["mpc", "price_follow"])
def test_only_networks_are_compiled(name: str) -> None:
    sim: Any = day_sim("pair2")
    with pytest.raises(ConfigError, match=f"compile=true needs a network.*{name}"):
        CompiledPolicy(find_policy(name, sim), sim, 1)
