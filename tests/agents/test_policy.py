"""A policy's decision as one compiled graph."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from greenhop import compiled
from greenhop.errors import ConfigError
from greenhop_agents.policy import CompiledPolicy
from greenhop_agents.registry import find_policy
from tests.sims import day_sim


def test_a_compiled_policy_decides_as_the_policy_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph stands in for the machine code made from it; test_machine_code.py has that."""
    monkeypatch.setattr(compiled, "machine_code", lambda graph, inputs, options: graph)
    sim = day_sim("pair2")
    policy = find_policy("pretrained/pair2-shac", sim)
    ours = CompiledPolicy(policy, sim, 3)
    carry = sim.begin(torch.tensor([5, 90, 200]))
    with torch.no_grad():
        for _ in range(3):
            plan, expected = ours.decide(sim, carry), policy.decide(sim, carry)
            assert plan.dispatch is None
            torch.testing.assert_close(plan[:-1], expected[:-1])
            carry, _ = sim.advance(carry, expected)
    assert ours.name == policy.name


@pytest.mark.parametrize("name", ["mpc", "price_follow"])
def test_only_networks_are_compiled(name: str) -> None:
    sim: Any = day_sim("pair2")
    with pytest.raises(ConfigError, match=f"compile=true needs a network.*{name}"):
        CompiledPolicy(find_policy(name, sim), sim, 1)
