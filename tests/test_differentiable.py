"""The compiled step for learners: its numbers and its derivative are those of the step as it is written."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from greenhop.engines.differentiable import CompiledOutcome, Pull, Step, floats, pull_back
from greenhop.engines.engine import tick
from greenhop.episode.carry import Carry
from greenhop.episode.simulator import Simulator
from tests.marks import needs_compiler
from tests.sims import day_sim

pytestmark = needs_compiler

N, STEPS = 6, 3


def episodes(sim: Simulator) -> tuple[Carry, Tensor]:
    """`N` episodes some way into their day, and actions `[STEPS, N, A]` that leave few of them at a kink."""
    random = torch.Generator().manual_seed(0)
    actions = torch.rand(STEPS + 4, N, sim.action_size, generator=random, dtype=sim.params.dtype) - 0.5
    carry = sim.begin(torch.arange(N) * 40)
    with torch.no_grad():
        for action in actions[STEPS:]:
            carry, _ = sim.act(carry, action)
    return carry, actions[:STEPS]


def gradient(step: Step, start: Carry, chosen: Tensor) -> Tensor:
    """With respect to all actions `[STEPS, N, A]`, of something that every result of every step has a part in."""
    given, carry, total = chosen.clone().requires_grad_(), start, chosen.new_zeros(())
    for action in given:
        carry, seen = step(carry, action)
        total = total + seen.reward.sum() + 1e-2 * seen.obs.square().sum()
    total = total + 1e-3 * carry.state.backlog_mwh.square().sum() + carry.state.peak_mw.sum()
    return torch.autograd.grad(total, given)[0]


@pytest.mark.slow
def test_the_gradient_of_the_compiled_step_is_the_gradient() -> None:
    """Through several steps; float64, so that nothing but the derivative itself can differ."""
    sim = day_sim("tri3", dtype=torch.float64)
    carry, actions = episodes(sim)
    compiled = CompiledOutcome(sim)
    ours, theirs = (gradient(step, carry, actions) for step in (compiled, partial(tick, sim)))
    assert theirs.abs().amax((1, 2)).min() > 0.0
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9 * float(theirs.abs().max()))


def test_the_compiled_step_without_gradient_is_the_step() -> None:
    sim = day_sim("pair2")
    carry, actions = episodes(sim)
    compiled = CompiledOutcome(sim)
    with torch.no_grad():
        ours, theirs = compiled(carry, actions[0]), tick(sim, carry, actions[0])
    for a, b in zip(tree_leaves(ours), tree_leaves(theirs), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-5 * max(float(b.abs().max()), 1.0))
    assert "backward" not in vars(compiled)  # nobody asked for it


@pytest.mark.slow
def test_machine_code_gives_the_gradient() -> None:
    """What once was wrong: single bids whose derivative a compiler got wrong by up to half."""
    sim = day_sim("pair2")
    carry, (action, *_) = episodes(sim)
    after, seen = tick(sim, carry, action)
    random = torch.Generator().manual_seed(0)
    state, given = (
        [torch.randn(x.shape, generator=random) for x in xs] for xs in (floats(after.state), (seen.obs, seen.reward))
    )
    state_grad, action_grad = pull_back(partial(tick, sim), carry, action, Pull(tuple(state), *given))
    compiled = CompiledOutcome(sim)
    ours = compiled.backward.batch_first(sim.bank.table, [*carry.state, action, *state, *given])
    for a, b in zip(ours, (*state_grad, action_grad), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5 * float(b.abs().max()))
