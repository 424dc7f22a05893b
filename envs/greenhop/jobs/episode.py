"""An episode in which plans are carried out with whole jobs: the same step, the same bill, the same bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from greenhop.arrays import Array
from greenhop.jobs.dispatcher import Dispatcher, Limits
from greenhop.jobs.rules import Rule, earliest_deadline
from greenhop.jobs.table import JobTable
from greenhop.physics.ops import fit, per_class, per_pool
from greenhop.physics.state import Flows, Plan
from greenhop.physics.step import compute, phase_of

if TYPE_CHECKING:
    from greenhop.episode.carry import Carry
    from greenhop.episode.simulator import Simulator


class JobEpisode:
    """One running episode of single jobs; `carry` is that of a flow environment, so every policy can decide in it.

    Args:
        sim: a simulator in float64, so that sums of jobs and of flows agree.
        start: index into `sim.bank.starts`; the jobs' work must be the episode's (`episode_jobs`).
        jobs: the table.
        rule: which job goes first.
    """

    def __init__(self, sim: Simulator, start: int, jobs: JobTable, rule: Rule = earliest_deadline) -> None:
        if sim.params.dtype != torch.float64:
            raise TypeError(f"single jobs need a simulator in float64, given {sim.params.dtype}")
        self.sim = sim
        self.dispatcher = Dispatcher(sim.params, jobs, rule)
        self.carry = sim.begin(torch.tensor([start], device=sim.params.device))
        self.extra_cny = 0.0  # of the last step: own data of jobs beyond what their class is billed
        self.energy_mwh, self.carbon_kg = np.zeros(len(jobs)), np.zeros(len(jobs))  # [N] of the site, for each job

    def advance(self, plan: Plan) -> Flows:
        """Carry out a plan `[1, …]` with whole jobs; what the step then did, its bill without `extra_cny`."""
        sim, carry = self.sim, self.carry
        clipped, limits = self._within_limits(plan)
        serve, moves = (x[0].cpu().numpy() for x in (clipped.serve_mwh, clipped.migrate_mwh))
        carried = self.dispatcher.carry_out(serve, moves, limits)
        self.extra_cny = carried.extra_cny
        served = _tensor(carried.serve_mwh, clipped.serve_mwh)
        whole = clipped._replace(
            serve_mwh=served,
            migrate_mwh=_tensor(carried.migrate_mwh, clipped.migrate_mwh),
            alternative_mwh=self._elsewhere(clipped.alternative_mwh, served, limits.room_mwh),
        )
        after, flows = sim.advance(carry, whole)
        self.carry = self._exact(after)
        self._account(flows)
        return flows

    def _account(self, flows: Flows) -> None:
        """Energy and carbon of the step by job: its share of its hub's, by the work that ran there."""
        runs = self.dispatcher.last_runs
        it, facility, carbon = (x[0].cpu().numpy() for x in (flows.it_mwh, flows.facility_mwh, flows.carbon_kg))
        per_work = 1.0 / np.maximum(it[runs.hub], 1e-9)
        self.energy_mwh[runs.jobs] += runs.work_mwh * facility[runs.hub] * per_work
        self.carbon_kg[runs.jobs] += runs.work_mwh * carbon[runs.hub] * per_work

    def _within_limits(self, plan: Plan) -> tuple[Plan, Limits]:
        """The plan as the step would clip it, and what it leaves for deferrable work; power follows merit order."""
        p, state = self.sim.params, self.carry.state
        c = compute(p, state, plan, self.sim.unpack(self.carry)[0])
        clipped = plan._replace(
            route_mwh=c.routed,
            serve_online_mwh=c.online,
            serve_mwh=c.served,
            migrate_mwh=c.moved,
            alternative_mwh=c.away,
            dispatch=None,
        )
        left, free_gb, readable = (x[0].cpu().numpy() for x in (c.left, c.free_gb, c.readable))
        return clipped, Limits(int(phase_of(p, state)[0]), left, free_gb, readable)

    def _elsewhere(self, wanted: torch.Tensor, served: torch.Tensor, room_mwh: Array) -> torch.Tensor:
        """`[1, R, K]` of what jobs do on alternative pools: as planned, where those have room beside their own jobs."""
        p, total = self.sim.params, served.sum(-1)
        spare = (torch.from_numpy(room_mwh).to(total) - per_pool(total, p.deferrable_pool)).clamp_min(0.0)
        away = torch.minimum(wanted, total)
        return away * per_class(fit(per_pool(away * p.alternative_room, p.alternative_pool), spare), p.alternative_pool)

    def _exact(self, after: Carry) -> Carry:
        """The state with the jobs' own sums for its backlog: both agree but for rounding, which must not add up."""
        backlog = self.dispatcher.backlog_mwh(int(phase_of(self.sim.params, after.state)[0]))
        return after._replace(state=after.state._replace(backlog_mwh=_tensor(backlog, after.state.backlog_mwh)))


def _tensor(values: Array, like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(like).unsqueeze(0)
