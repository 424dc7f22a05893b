"""How good a policy is on held-out `val` episodes while it still trains, and which one was the best so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from greenhop.episode.simulator import Simulator
from greenhop_agents.learners.weights import save_policy
from greenhop_agents.policies.policy import Policy
from greenhop_agents.policies.rules import PriceFollow
from greenhop_agents.scoring.bounds import episode_bounds
from greenhop_agents.scoring.evaluate import mean_cost, score


@dataclass
class Validation:
    """Fixed episodes, what price following and (if asked for) the bound cost there, and the best policy so far."""

    sim: Simulator
    starts: NDArray[np.int64]
    reference_cny: float
    bound_cny: float | None
    folder: Path
    best_cny: float = float("inf")
    last: dict[str, float] = field(default_factory=dict)

    def measure(self, policy: Policy, weights: Callable[[], dict[str, Tensor]]) -> dict[str, float]:
        """Evaluate, and keep the policy's weights if none was cheaper; scalars under `eval/*`."""
        cost = mean_cost(self.sim, policy, self.starts)
        if cost < self.best_cny:
            self.best_cny = cost
            save_policy(self.folder, weights())
        self.last = {"eval/cost_cny": cost, "eval/saving": 100.0 * (self.reference_cny - cost) / self.reference_cny}
        if self.bound_cny is not None:
            self.last["eval/score"] = score(self.reference_cny, cost, self.bound_cny)
        return self.last

    def note(self) -> str:
        """The last result in two words."""
        for name in ("score", "saving"):
            if f"eval/{name}" in self.last:
                return f"{name} {self.last[f'eval/{name}']:.1f} %"
        return ""


def build_validation(sim: Simulator, episodes: int, bound: bool, folder: Path) -> Validation:
    """Validation on `episodes` episodes of the split that `sim` holds."""
    starts = sim.bank.spread(episodes)
    reference = mean_cost(sim, PriceFollow(), starts)
    solved: list[Any] = episode_bounds(sim, starts.tolist()) if bound else []
    best = float(np.mean([b.bound_cny for b in solved])) if solved else None
    return Validation(sim, starts, reference, best, folder)
