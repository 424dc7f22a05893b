"""How much of the achievable saving an action space can express: bids optimised with perfect foresight, open loop.

One list of bids for every episode is improved by Adam through the whole episode's derivative. What it reaches is a
lower bound on what the best policy of this action space could; what it leaves is told by cost term.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from greenhop.engines.differentiable import Step
from greenhop.episode.simulator import Carry, Simulator
from greenhop.physics.state import COST_TERMS, Plan
from greenhop_agents.learners.networks import cosine
from greenhop_agents.policies.policy import ActionPolicy
from greenhop_agents.scoring.bounds import EpisodeBound
from greenhop_agents.scoring.evaluate import Episode

MOST = 0.999  # of an action: beyond it `tanh` would give its bid no gradient to come back by
FINAL_RATE = 0.02  # share of the learning rate left at the end


@dataclass
class OpenLoop:
    """A policy that reads its actions `[T, B, A]` from a list, one entry of B for each episode of the batch."""

    name: str
    actions: Tensor

    def reset(self, sim: Simulator) -> None:
        """Nothing to forget."""

    def decide(self, sim: Simulator, carry: Carry) -> Plan:
        """The present entry; a batch moves through its episodes together."""
        return sim.decode(carry, self.actions[int(carry.state.t[0])])


def actions_of(sim: Simulator, policy: ActionPolicy, starts: Tensor) -> Tensor:
    """`[T, B, A]` what a policy does in the episodes from `starts` `[B]`."""
    done = []
    with torch.no_grad():
        carry = sim.begin(starts)
        for _ in range(sim.params.steps):
            done.append(policy.act(sim.observe(carry)))
            carry, _ = sim.act(carry, done[-1])
    return torch.stack(done)


def returns(step: Step, carry: Carry, actions: Tensor) -> Tensor:
    """`[B]` summed rewards of the episodes that begin in `carry` under actions `[T, B, A]`; gradients flow."""
    total = actions.new_zeros(actions.shape[1])
    for action in actions:
        carry, seen = step(carry, action)
        total = total + seen.reward
    return total


def improve(
    sim: Simulator,
    step: Step,
    starts: Tensor,
    actions: Tensor,
    updates: int,
    rate: float,
    told: Callable[[int, float], None],
) -> Tensor:
    """The best actions `[T, B, A]` that Adam met in each episode on its way from `actions`.

    Bids move behind a `tanh`, so that none meets a clip; episodes do not see each other. `told(update, mean bill)`.
    """
    bids = torch.atanh(actions.clamp(-MOST, MOST)).requires_grad_()
    optimiser = torch.optim.Adam([bids], rate, betas=(0.9, 0.99))
    best, most = actions.clone(), torch.full_like(actions[0, :, 0], -torch.inf)
    begin = sim.begin(starts)
    for number in range(updates):
        optimiser.param_groups[0]["lr"] = cosine(rate, FINAL_RATE * rate, number / updates)
        now = torch.tanh(bids)
        value = returns(step, begin, now)
        better = value.detach() > most
        best = torch.where(better[None, :, None], now.detach(), best)
        most = torch.maximum(most, value.detach())
        optimiser.zero_grad()
        torch.autograd.backward(-value.sum())
        optimiser.step()
        told(number + 1, -float(most.mean()) * sim.params.cost_scale_cny)
    return best


def points_left(run: list[Episode], reference_cny: float, bounds: list[EpisodeBound]) -> dict[str, float]:
    """Points of score that each cost term lies above the optimal plan's; they add up to what is missing to 100."""
    best = sum(b.bound_cny for b in bounds) / len(bounds)
    scale = 100.0 / (reference_cny - best) / len(bounds)
    return {
        term: scale * sum(e.totals[f"{term}_cny"] - b.totals[f"{term}_cny"] for e, b in zip(run, bounds, strict=True))
        for term in COST_TERMS
    }
