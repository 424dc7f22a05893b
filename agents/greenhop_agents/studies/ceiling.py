"""How much of the achievable saving an action space can express: bids optimised with perfect foresight, open loop.

One list of bids for every episode is improved by Adam through the whole episode's derivative. What it reaches is a
lower bound on what the best policy of this action space could; what it leaves is told by cost term.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Generator, Tensor

from greenhop.engines.differentiable import Step
from greenhop.episode.simulator import Carry, Simulator
from greenhop.physics.state import COST_TERMS, Plan
from greenhop.scenario.config import Count, Model, Positive
from greenhop_agents.base.progress import Update
from greenhop_agents.learners.networks import cosine
from greenhop_agents.learners.rollout import ticker
from greenhop_agents.policies.policy import Acting
from greenhop_agents.policies.rules import PriceFollow
from greenhop_agents.scoring.bounds import EpisodeBound
from greenhop_agents.scoring.evaluate import Episode, evaluate, score

MOST = 0.999  # of an action: beyond it `tanh` would give its bid no gradient to come back by
FINAL_RATE = 0.02  # share of the learning rate left at the end
BETAS = (0.9, 0.99)  # of Adam: its memory is a hundred updates, not a thousand
SEEN = 0.005  # points below which a cost term is not told
NOISE = 0.3  # spread of the noise on bids at the start


class CeilingConfig(Model):
    """`configs/ceiling.yaml`: how long bids are improved."""

    updates: Count
    learning_rate: Positive
    seed: Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Ceiling:
    """What bids reached."""

    before: float  # score of the policy they began with
    score: float
    scores: tuple[float, ...]  # of every episode
    left: dict[str, float]  # points by cost term above the optimal plan

    def as_row(self) -> dict[str, Any]:
        """A record for JSON."""
        return asdict(self)


def ceiling(
    sim: Simulator,
    policy: Acting,
    starts: Sequence[int],
    bounds: list[EpisodeBound],
    config: CeilingConfig,
    update: Update,
) -> Ceiling:
    """Improve the actions of `policy` in the episodes from `starts`, and say what is left to their certified bounds."""
    began, bound = torch.as_tensor(starts), sum(b.bound_cny for b in bounds) / len(bounds)
    usual = evaluate(sim, PriceFollow(), starts)
    reference = mean_cost(usual)

    def told(number: int, bills_cny: Tensor) -> None:
        update(number, config.updates, f"score {score(reference, float(bills_cny.mean()), bound):.1f}")

    step = ticker(sim, None, derivative=True)
    first = actions_of(sim, policy, began)
    last = improve(sim, step, began, first, config.updates, config.learning_rate, told, config.seed)
    before, after = (evaluate(sim, OpenLoop(name, x), starts) for name, x in (("first", first), ("last", last)))
    return Ceiling(
        before=score(reference, mean_cost(before), bound),
        score=score(reference, mean_cost(after), bound),
        scores=tuple(score(u.cost_cny, e.cost_cny, b.bound_cny) for u, e, b in zip(usual, after, bounds, strict=True)),
        left={name: points for name, points in points_left(after, reference, bounds).items() if abs(points) >= SEEN},
    )


def mean_cost(run: Sequence[Episode]) -> float:
    """CNY."""
    return sum(e.cost_cny for e in run) / len(run)


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


def actions_of(sim: Simulator, policy: Acting, starts: Tensor) -> Tensor:
    """`[T, B, A]` what a policy does in the episodes from `starts` `[B]`."""
    policy.reset(sim)
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
    told: Callable[[int, Tensor], None],
    seed: int = 0,
) -> Tensor:
    """The best actions `[T, B, A]` that Adam met in each episode on its way from `actions`.

    Bids move behind a `tanh`, so that no action meets a clip. In the first half noise that fades blurs kinks and helps
    bids out of places where a decision is settled and its gradient gone.

    Args:
        sim: the simulator.
        step: its step, which gradients flow through.
        starts: `[B]` indices into `sim.bank.starts`.
        actions: `[T, B, A]` where to begin.
        updates: gradient steps.
        rate: of Adam at the start; it falls along half a cosine.
        told: called with the number of each update and the lowest bills `[B]` so far, CNY.
        seed: of the noise.
    """
    bids = torch.atanh(actions.clamp(-MOST, MOST)).requires_grad_()
    optimiser = torch.optim.Adam([bids], rate, betas=BETAS)
    generator = Generator().manual_seed(seed)
    best, most = actions.clone(), torch.full_like(actions[0, :, 0], -torch.inf)
    begin = sim.begin(starts)
    for number in range(updates):
        optimiser.param_groups[0]["lr"] = cosine(rate, FINAL_RATE * rate, number / updates)
        sigma = NOISE * max(0.0, 1.0 - 2.0 * number / updates)
        now = torch.tanh(bids + sigma * torch.randn(bids.shape, generator=generator))
        value = returns(step, begin, now)
        better = value.detach() > most
        best = torch.where(better[None, :, None], now.detach(), best)
        most = torch.maximum(most, value.detach())
        optimiser.zero_grad()
        torch.autograd.backward(-value.sum())
        optimiser.step()
        told(number + 1, -most * sim.params.cost_scale_cny)
    return best


def points_left(run: list[Episode], reference_cny: float, bounds: list[EpisodeBound]) -> dict[str, float]:
    """Points of score that each cost term lies above the optimal plan's; they add up to what is missing to 100.

    Args:
        run: the episodes.
        reference_cny: mean bill of price following in them.
        bounds: their certified bounds, in the same order.
    """
    best = sum(b.bound_cny for b in bounds) / len(bounds)
    scale = 100.0 / (reference_cny - best) / len(bounds)
    return {
        term: scale * sum(e.totals[f"{term}_cny"] - b.totals[f"{term}_cny"] for e, b in zip(run, bounds, strict=True))
        for term in COST_TERMS
    }
