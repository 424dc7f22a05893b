"""Policies under whole jobs: what they cost, and what happened to the jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from greenhop.arrays import Array
from greenhop.episode.carry import Carry
from greenhop.episode.simulator import Simulator
from greenhop.jobs.dispatcher import Runs
from greenhop.jobs.episode import JobEpisode
from greenhop.jobs.metrics import job_metrics
from greenhop.jobs.rules import Rule, earliest_deadline
from greenhop.jobs.table import JobTable
from greenhop.physics.rewards import REPORTED, report
from greenhop.physics.state import COST_TERMS, Plan
from greenhop_agents.policies.policy import ActionPolicy, Policy
from greenhop_agents.scoring.episodes import walk

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class JobRun:
    """An episode of single jobs under a policy."""

    policy: str
    totals: dict[str, float]  # cost terms and quantities of the step, summed over the episode
    extra_cny: float  # data of jobs' own beyond what their class is billed
    metrics: dict[str, float]
    episode: JobEpisode
    runs: list[Runs]  # what ran in each step
    backlog_mwh: Array  # [T, R, K] before each step
    moved_mwh: Array  # [L] over the episode

    @property
    def cost_cny(self) -> float:
        """The whole bill."""
        return sum(self.totals[f"{term}_cny"] for term in COST_TERMS) + self.extra_cny


def run_jobs(
    sim: Simulator,
    policy: Policy,
    start: int,
    jobs: JobTable,
    rule: Rule = earliest_deadline,
    progress: Progress | None = None,
) -> JobRun:
    """Run an episode of single jobs under any policy.

    Args:
        sim: in float64.
        policy: decides as it would in the flow environment.
        start: index into `sim.bank.starts`.
        jobs: their work must be that of the episode.
        rule: which job goes first.
        progress: called with (steps done, steps in all).
    """
    decider = InDouble(policy)
    decider.reset(sim)
    episode = JobEpisode(sim, start, jobs, rule)
    totals = torch.zeros(len(REPORTED), dtype=torch.float64)
    runs, backlog, extra, moved = [], [], 0.0, torch.zeros(len(sim.params.links), dtype=torch.float64)
    with torch.no_grad():
        for t in range(sim.params.steps):
            backlog.append(episode.carry.state.backlog_mwh[0].sum(-1).numpy())
            flows = episode.advance(decider.decide(sim, episode.carry))
            totals += report(sim.params, flows)[0].double()
            moved += flows.migrate_mwh[0].sum((1, 2)) + flows.route_mwh[0].sum(1)
            extra += episode.extra_cny
            runs.append(episode.dispatcher.last_runs)
            if progress:
                progress(t + 1, sim.params.steps)
    named = dict(zip(REPORTED, totals.tolist(), strict=True))
    return JobRun(
        policy.name, named, extra, job_metrics(episode), episode, runs, np.stack(backlog), moved.numpy().copy()
    )


def flow_cost_cny(sim: Simulator, policy: Policy, start: int) -> float:
    """What the same policy pays for the same work as flows that split at will."""
    steps = walk(sim, InDouble(policy), torch.tensor([start], device=sim.params.device))
    return sum(float(step.flows.cost_cny.sum()) for step in steps)


@dataclass
class InDouble:
    """A policy in a simulator of float64: networks see and answer in float32."""

    policy: Policy

    @property
    def name(self) -> str:
        """Of the policy."""
        return self.policy.name

    def reset(self, sim: Simulator) -> None:
        """Before the first step."""
        self.policy.reset(sim)

    def decide(self, sim: Simulator, carry: Carry) -> Plan:
        """The plan for the present step."""
        if isinstance(self.policy, ActionPolicy):
            return sim.decode(carry, self.policy.act(sim.observe(carry).float()).double())
        return self.policy.decide(sim, carry)
