"""How dear noise is in each block of the action: what exploration of a given spread costs a policy.

Actions are those of the policy plus independent normal noise on one block, held inside the box; then on all blocks.
A block much dearer than the others makes every learner that explores all of them alike look for the wrong thing first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Generator, Tensor

from greenhop.episode.simulator import Simulator
from greenhop.scenario.config import Count, Model, Positive
from greenhop_agents.policies.policy import Acting, ActionPolicy
from greenhop_agents.scoring.episodes import drive
from greenhop_agents.scoring.evaluate import score

ALL = "all blocks"


class ConditioningConfig(Model):
    """`configs/conditioning.yaml`: the noise."""

    sigma: Positive
    """Standard deviation of the noise on bids."""
    repeats: Count = 4
    """How often each episode is played."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the noise."""


@dataclass(frozen=True)
class Conditioning:
    """What noise of one spread does to a policy's score."""

    sigma: float
    clean: float
    noisy: Mapping[str, float]  # by block, and on ALL
    uniform: float  # of actions drawn evenly from the whole box, whatever the policy says

    @property
    def lost(self) -> dict[str, float]:
        """Points that noise on each block, and on all, costs."""
        return {name: self.clean - value for name, value in self.noisy.items()}

    def as_row(self) -> dict[str, Any]:
        """A flat record for JSON."""
        return {"sigma": self.sigma, "score": self.clean, "uniform": self.uniform, "lost": self.lost}


def condition(
    sim: Simulator,
    policy: Acting,
    starts: Sequence[int],
    bounds_cny: Sequence[float],
    config: ConditioningConfig,
) -> Conditioning:
    """Play the episodes from `starts` with noise on each block, on all, and on none.

    Args:
        sim: the simulator.
        policy: what the noise is added to.
        starts: `[E]` indices into `sim.bank.starts`.
        bounds_cny: `[E]` their certified bounds.
        config: the noise.
    """
    sigma, seed = config.sigma, config.seed
    blocks = {name: torch.Size(shape).numel() for name, shape in sim.decoder.parts.items()}
    again = torch.as_tensor(list(starts) * config.repeats)
    bound = sum(bounds_cny) / len(bounds_cny)
    zero = ActionPolicy("zero", lambda obs: obs.new_zeros(len(obs), sim.action_size))
    reference = mean_bill(sim, zero, again)

    def scored(acting: Acting) -> float:
        return score(reference, mean_bill(sim, acting, again), bound)

    def spread(noisy: str) -> Tensor:
        return torch.cat([torch.full((n,), sigma * (noisy in (ALL, name))) for name, n in blocks.items()])

    return Conditioning(
        sigma=sigma,
        clean=scored(policy),
        noisy={name: scored(with_noise(policy, spread(name), seed)) for name in (*blocks, ALL)},
        uniform=scored(uniform(sim.action_size, seed)),
    )


def mean_bill(sim: Simulator, policy: Acting, starts: Tensor) -> float:
    """CNY, the mean over the episodes from `starts` `[B]`."""
    earned = sum(float(step.reward.double().mean()) for step in drive(sim, policy, starts))
    return -earned * sim.params.cost_scale_cny


def with_noise(policy: Acting, sigma: Tensor, seed: int) -> ActionPolicy:
    """The policy with normal noise of spreads `sigma` `[A]` on its actions, held inside the box."""
    generator = Generator().manual_seed(seed)

    def act(obs: Tensor) -> Tensor:
        noise = sigma * torch.randn(len(obs), len(sigma), generator=generator)
        return (policy.act(obs) + noise).clamp(-1.0, 1.0)

    return ActionPolicy(f"{policy.name} with noise", act)


def uniform(size: int, seed: int) -> ActionPolicy:
    """Actions drawn evenly from the whole box."""
    generator = Generator().manual_seed(seed)
    return ActionPolicy("uniform", lambda obs: 2.0 * torch.rand(len(obs), size, generator=generator) - 1.0)
