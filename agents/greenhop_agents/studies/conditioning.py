"""How dear noise is in each block of the action: what exploration of a given spread costs a policy.

Actions are those of the policy plus independent normal noise on one block, held inside the box; then on all blocks.
A block much dearer than the others makes every learner that explores all of them alike look for the wrong thing first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from greenhop.engines.compiled import CompiledSteps
from greenhop.episode.simulator import Simulator
from greenhop_agents.policies.policy import ActionPolicy

ALL = "all"
NONE = "none"


@dataclass(frozen=True)
class Conditioning:
    """Scores of one policy, with noise of one spread on one block after the other."""

    sigma: float
    scores: Mapping[str, float]  # by block; NONE: without noise, ALL: on every block

    @property
    def lost(self) -> dict[str, float]:
        """Points that noise on each block, and on all, costs."""
        clean = self.scores[NONE]
        return {name: clean - value for name, value in self.scores.items() if name != NONE}


def bills(sim: Simulator, policy: ActionPolicy, starts: Sequence[int], sigma: Tensor, seed: int) -> Tensor:
    """`[E]` CNY of the episodes from `starts` under the policy's actions plus noise of spread `sigma` `[A]`."""
    runs = CompiledSteps(sim, len(starts))
    generator = Generator().manual_seed(seed)
    with torch.no_grad():
        obs = runs.begin(torch.as_tensor(starts))
        earned = torch.zeros(len(starts), dtype=torch.float64)
        for _ in range(sim.params.steps):
            noise = sigma * torch.randn(len(starts), sim.action_size, generator=generator)
            tick = runs.step((policy.act(obs) + noise).clamp(-1.0, 1.0))
            obs = tick.obs
            earned += tick.reward
    return -earned * sim.params.cost_scale_cny


def condition(
    sim: Simulator,
    policy: ActionPolicy,
    starts: Sequence[int],
    bounds_cny: Sequence[float],
    sigma: float,
    repeats: int,
    seed: int,
) -> Conditioning:
    """Play the episodes from `starts` `repeats` times over with noise on each block, on all and on none."""
    sizes = {name: torch.Size(shape).numel() for name, shape in sim.decoder.parts.items()}
    again = list(starts) * repeats
    still = ActionPolicy("price_follow", lambda obs: obs.new_zeros(len(obs), sim.action_size))
    quiet = torch.zeros(sim.action_size)
    reference = float(bills(sim, still, starts, quiet, seed).mean())
    bound = sum(bounds_cny) / len(bounds_cny)

    def score_of(noise: Tensor, of: Sequence[int]) -> float:
        return 100.0 * (reference - float(bills(sim, policy, of, noise, seed).mean())) / (reference - bound)

    scores = {NONE: score_of(quiet, starts)}
    for block in sizes:
        parts = [torch.full((size,), sigma if name == block else 0.0) for name, size in sizes.items()]
        scores[block] = score_of(torch.cat(parts), again)
    scores[ALL] = score_of(quiet + sigma, again)
    return Conditioning(sigma, scores)
