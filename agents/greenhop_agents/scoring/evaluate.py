"""Running policies on fixed episodes, and scoring them against the reference and the certified bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from greenhop.episode.carry import Carry
from greenhop.episode.simulator import Simulator
from greenhop.physics.rewards import REPORTED, SITE_QUANTITIES, report, report_sites
from greenhop.physics.state import COST_TERMS, Plan
from greenhop_agents.policies.policy import Acting, Policy
from greenhop_agents.scoring.direct_green import DirectGreen, direct_green, has_direct_supply
from greenhop_agents.scoring.episodes import drive, environments, walk

Progress = Callable[[int, int], None]

ROUNDING = 1e-6  # relative error of costs that are summed in float32


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

    A policy that acts on observations is run by machine code, where the machine has a compiler; energies by site are
    known only of the others, and of all policies in scenarios with direct supply, whose rules are judged by site.

    Args:
        sim: the simulator.
        policy: what decides.
        starts: `[B]` indices into `sim.bank.starts`.
        progress: called with (done, total) after every step.

    Returns:
        An `Episode` for each start. Its `decision_s` is the mean wall time of one decision for one environment (the
        batch shares it); by machine code observing, decoding and stepping are one, and all of it counts.
    """
    index = torch.as_tensor(np.asarray(starts), device=sim.params.device)
    if isinstance(policy, Acting) and not has_direct_supply(sim.scenario):
        return _driven(sim, policy, index, progress)
    return _walked(sim, policy, index, progress)


def _driven(sim: Simulator, policy: Acting, starts: Tensor, progress: Progress | None) -> list[Episode]:
    """Episodes by machine code."""
    totals = torch.zeros(len(starts), len(REPORTED), dtype=torch.float64, device=sim.params.device)
    environments(sim, len(starts))  # made before the clock runs
    began = perf_counter()
    for t, stepped in enumerate(drive(sim, policy, starts), 1):
        totals += stepped.reported
        if progress:
            progress(t, sim.params.steps)
    per_decision = (perf_counter() - began) / (sim.params.steps * len(starts))
    return [
        Episode(policy.name, i, start, dict(zip(REPORTED, row, strict=True)), per_decision)
        for i, (start, row) in enumerate(zip(starts.tolist(), totals.tolist(), strict=True))
    ]


def _walked(sim: Simulator, policy: Policy, starts: Tensor, progress: Progress | None) -> list[Episode]:
    """Episodes by the step as it is written."""
    timed = _Timed(policy)
    totals = torch.zeros(len(starts), len(REPORTED), dtype=torch.float64, device=sim.params.device)
    by_site = totals.new_zeros(len(starts), len(sim.params.regions), len(SITE_QUANTITIES))
    for t, (_, _, flows) in enumerate(walk(sim, timed, starts), 1):
        totals += report(sim.params, flows)
        by_site += report_sites(flows)
        if progress:
            progress(t, sim.params.steps)
    per_decision = timed.seconds / (sim.params.steps * len(starts))
    out = []
    for i, (start, row, energies) in enumerate(zip(starts.tolist(), totals.tolist(), by_site.tolist(), strict=True)):
        named = (dict(zip(SITE_QUANTITIES, e, strict=True)) for e in energies)
        sites = dict(zip(sim.params.regions, named, strict=True))
        sums = dict(zip(REPORTED, row, strict=True))
        out.append(Episode(policy.name, i, start, sums, per_decision, sites, direct_green(sim.scenario, sites)))
    return out


class _Timed:
    """A policy whose decisions are timed."""

    def __init__(self, policy: Policy) -> None:
        self.name, self.reset, self._decide, self.seconds = policy.name, policy.reset, policy.decide, 0.0

    def decide(self, sim: Simulator, carry: Carry) -> Plan:
        """The policy's plan."""
        began = perf_counter()
        plan = self._decide(sim, carry)
        self.seconds += perf_counter() - began
        return plan


def mean_cost(
    sim: Simulator, policy: Policy, starts: NDArray[np.int64] | Sequence[int], compiled: bool = True
) -> float:
    """Mean bill of a policy over episodes from `starts`, CNY.

    By machine code wherever that is possible; not `compiled`, where a simulator is used only once.
    """
    index = torch.as_tensor(np.asarray(starts), device=sim.params.device)
    if compiled and isinstance(policy, Acting):
        reward = sum(stepped.reward.double().mean() for stepped in drive(sim, policy, index))
        return -float(reward) * sim.params.cost_scale_cny
    return float(sum(flows.cost_cny.double().sum(-1).mean() for _, _, flows in walk(sim, policy, index)))


def score(reference_cny: float, cost_cny: float, bound_cny: float) -> float:
    """Share of the achievable saving captured, %: 100·(reference − cost)/(reference − bound).

    100 is the clairvoyant optimum, 0 the reference (price_follow), negative is worse than the reference.

    Args:
        reference_cny: cost of the reference, CNY.
        cost_cny: cost of the policy in the same episodes, CNY.
        bound_cny: certified lower bound of their cost, CNY.

    Returns:
        NaN where nothing can be saved that is more than rounding.
    """
    saving = reference_cny - bound_cny
    if saving <= ROUNDING * abs(reference_cny):
        return float("nan")
    return 100.0 * (reference_cny - cost_cny) / saving
