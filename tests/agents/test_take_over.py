"""Beginning with the weights of another agent."""

from __future__ import annotations

import pytest
import torch

from greenhop.errors import ConfigError
from greenhop_agents.learners.networks import NetworkConfig, build_actor
from greenhop_agents.policies.policy import ActionPolicy
from greenhop_agents.shelf.find import find_policy
from greenhop_agents.training.train import take_over
from tests.sims import day_sim

SIM = day_sim("pair2")


def untrained(name: str = "new", **network: int) -> ActionPolicy:
    actor = build_actor(SIM, NetworkConfig(width=64, layers=2).model_copy(update=network))
    return ActionPolicy(name, actor.act, actor)


def trained() -> ActionPolicy:
    """Another agent, with weights that decide."""
    giver = untrained("giver")
    assert giver.network is not None
    with torch.no_grad():
        for x in giver.network.parameters():
            x.add_(0.1 * torch.randn_like(x))
    return giver


def test_weights_taken_over_decide_as_their_giver_does() -> None:
    torch.manual_seed(0)
    giver, taker = trained(), untrained()
    carry = SIM.begin(torch.tensor([3, 99]))
    with torch.no_grad():
        before = taker.decide(SIM, carry)
        take_over(giver, taker)
        after, expected = taker.decide(SIM, carry), giver.decide(SIM, carry)
    torch.testing.assert_close(after[:-1], expected[:-1], rtol=0.0, atol=0.0)
    assert not torch.equal(before.serve_mwh, after.serve_mwh)


def test_what_has_no_such_network_gives_nothing() -> None:
    with pytest.raises(ConfigError, match=r"price_follow and new are not both native agents"):
        take_over(find_policy("price_follow", SIM), untrained())
    with pytest.raises(ConfigError, match=r"giver does not fit: .*size mismatch"):
        take_over(trained(), untrained(width=32))
