"""Running policies on fixed episodes, and scoring them against the reference and the certified bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from greenhop.episode.simulator import Simulator
from greenhop.physics.rewards import REPORTED, SITE_QUANTITIES, report, report_sites
from greenhop.physics.state import COST_TERMS
from greenhop_agents.policies.policy import Policy
from greenhop_agents.scoring.direct_green import DirectGreen, direct_green

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Episode:
    """What one policy did in one episode: sums over its steps."""

    policy: str
    episode: int
    start: int
    totals: dict[str, float]
    decision_s: float
    sites: dict[str, dict[str, float]] = field(default_factory=dict)  # energies by site, see SITE_QUANTITIES
    direct: dict[str, DirectGreen] = field(default_factory=dict)  # sites supplied directly: how they keep the rules

    @property
    def cost_cny(self) -> float:
        """The whole bill."""
        return sum(self.totals[f"{term}_cny"] for term in COST_TERMS)

    @property
    def green_share(self) -> float:
        """Green energy used per facility energy."""
        return self.totals["green_used_mwh"] / max(self.totals["facility_mwh"], 1e-9)

    @property
    def missed_share(self) -> float:
        """Missed work per work that was due."""
        return self.totals["missed_mwh"] / max(self.totals["served_mwh"] + self.totals["missed_mwh"], 1e-9)

    def as_row(self) -> dict[str, Any]:
        """A flat record for JSON and CSV."""
        return {
            "policy": self.policy,
            "episode": self.episode,
            "cost_cny": self.cost_cny,
            "green_share": self.green_share,
            "missed_share": self.missed_share,
            **self.totals,
            **{f"{site}_{key}": value for site, d in self.direct.items() for key, value in d.as_row().items()},
            "decision_s": self.decision_s,
        }


def evaluate(
    sim: Simulator, policy: Policy, starts: NDArray[np.int64] | Sequence[int], progress: Progress | None = None
) -> list[Episode]:
    """Run one episode from each of `starts` (indices into `sim.bank.starts`), all in one batch.

    `progress(done, total)` is called after every step. `decision_s` is the mean wall time of one decision for one
    environment (the batch shares it).
    """
    index = torch.as_tensor(np.asarray(starts), device=sim.params.device)
    policy.reset(sim)
    with torch.no_grad():
        carry = sim.begin(index)
        totals = torch.zeros(len(index), len(REPORTED), dtype=torch.float64, device=sim.params.device)
        by_site = totals.new_zeros(len(index), len(sim.params.regions), len(SITE_QUANTITIES))
        deciding = 0.0
        for t in range(sim.params.steps):
            began = perf_counter()
            plan = policy.decide(sim, carry)
            deciding += perf_counter() - began
            carry, flows = sim.advance(carry, plan)
            totals += report(sim.params, flows)
            by_site += report_sites(flows)
            if progress:
                progress(t + 1, sim.params.steps)
    per_decision = deciding / (sim.params.steps * len(index))
    out = []
    for i, (start, row, energies) in enumerate(zip(starts, totals.cpu().tolist(), by_site.cpu().tolist(), strict=True)):
        named = (dict(zip(SITE_QUANTITIES, e, strict=True)) for e in energies)
        sites = dict(zip(sim.params.regions, named, strict=True))
        sums = dict(zip(REPORTED, row, strict=True))
        out.append(Episode(policy.name, i, int(start), sums, per_decision, sites, direct_green(sim.scenario, sites)))
    return out


def score(reference_cny: float, cost_cny: float, bound_cny: float) -> float:
    """Share of the achievable saving captured, %: 100·(reference − cost)/(reference − bound).

    100 is the clairvoyant optimum, 0 the reference (price_follow), negative is worse than the reference.
    """
    return 100.0 * (reference_cny - cost_cny) / (reference_cny - bound_cny)
