"""A plan for flows of work, carried out with whole jobs.

In every step the plan says how much of each (hub, class, deadline slot) runs and how much leaves over each link. Jobs
are taken in the order of a rule while they fit into that; what is left over is carried to the next step. A job that
would miss its deadline if it waited, and one that may not be interrupted and has begun, run before all others, whatever
the plan says, as far as the pool has room. The sums of what ran and moved are a plan again: the same step bills them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from greenhop.arrays import Array, Bools, Ints
from greenhop.jobs.choose import fitting
from greenhop.jobs.rules import Rule, Waiting, earliest_deadline
from greenhop.jobs.table import JobTable
from greenhop.physics.params import Params

ROUNDING = 1e-9  # of a step's work, by which a job may exceed it and still end in it


class Limits(NamedTuple):
    """What a step leaves for deferrable work, of one environment."""

    phase: int
    room_mwh: Array  # [R, P] after online work
    link_gb: Array  # [L] after synchronisation and online work
    readable_mwh: Array  # [L, K] of a cohort that can leave its site


class Runs(NamedTuple):
    """What ran in a step, `[n]` each."""

    jobs: Ints  # index into the table
    hub: Ints
    work_mwh: Array


NOTHING = Runs(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0))


class Carried(NamedTuple):
    """What jobs made of a plan in one step."""

    serve_mwh: Array  # [R, K, S]
    migrate_mwh: Array  # [L, K, S]
    extra_cny: float  # for data of jobs' own beyond what their class is billed


@dataclass(frozen=True)
class Clock:
    """Numbers of a scenario that the dispatcher needs again and again, as NumPy."""

    slack: Ints  # [period, K] of slot 0
    quantum: Ints  # [K]
    rate_limit: Array  # [period, K, S]
    closes: Bools  # [period, K]
    pool: Ints  # [K]
    restart: Array  # [K]
    source: Ints  # [L]
    target: Ints  # [L]
    allowed: Bools  # [L, K]
    gb_per_mwh: Array  # [L, K]
    price_cny_per_gb: Array  # [L]


def clock_of(p: Params) -> Clock:
    """The numbers of `p`, on the host."""
    slack = p.slack.cpu().numpy().round().astype(np.int64)
    several = slack.shape[2] > 1
    return Clock(
        slack=slack[..., 0],
        quantum=(slack[0, :, 1] - slack[0, :, 0]) if several else slack[..., 0].max(0) + 1,
        rate_limit=p.rate_limit.cpu().double().numpy(),
        closes=p.closes.cpu().numpy() > 0,
        pool=p.deferrable_pool.argmax(-1).cpu().numpy(),
        restart=p.restart_overhead.cpu().double().numpy(),
        source=p.link_source.cpu().numpy(),
        target=p.link_target.cpu().numpy(),
        allowed=p.migrate_allowed.cpu().numpy() > 0,
        gb_per_mwh=p.migrate_gb_per_mwh.cpu().double().numpy(),
        price_cny_per_gb=p.link_price_cny_per_gb.cpu().double().numpy(),
    )


def _last_steps(jobs: JobTable, deadline_h: Array, dt_h: float) -> Ints:
    """`[N]` step in which a job must end for itself and for those that wait for it."""
    last = np.minimum(jobs.due_step, np.ceil(deadline_h / dt_h - ROUNDING).astype(np.int64) - 1)
    steps = np.ceil(jobs.work_mwh / (jobs.rate_mw * dt_h) - ROUNDING).astype(np.int64)
    waits = np.flatnonzero(jobs.after >= 0)
    for _ in range(len(waits)):  # one round for each part of the longest chain
        sooner = last.copy()
        np.minimum.at(sooner, jobs.after[waits], last[waits] - steps[waits])
        if (sooner == last).all():
            break
        last = sooner
    return last


class Dispatcher:
    """The jobs of one episode on their way.

    Everything about single jobs is an array over the table: `remaining_mwh`, `hub`, `started_h` and `finished_h` (NaN
    before), `done_mwh`, `missed_mwh`, `moves`, `suspensions`, `moved_gb`, `overhead_mwh`; `last_runs` is the last step.

    Args:
        params: the scenario.
        jobs: sorted by submission, see `JobTable.check`.
        rule: which job goes first.
    """

    def __init__(self, params: Params, jobs: JobTable, rule: Rule = earliest_deadline) -> None:
        self.jobs = jobs.check(len(params.regions), len(params.deferrable))
        self.params, self.rule, self.clock, self.t = params, rule, clock_of(params), 0
        n = len(jobs)
        self.remaining_mwh = jobs.work_mwh.copy()
        self.hub = jobs.origin.copy()
        self.started_h, self.finished_h = np.full(n, np.nan), np.full(n, np.nan)
        self.missed_mwh, self.moved_gb, self.overhead_mwh = np.zeros(n), np.zeros(n), np.zeros(n)
        self.done_mwh = np.zeros(n)
        self.last_runs = NOTHING
        self.moves, self.suspensions = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
        self.running = np.zeros(n, dtype=bool)
        self._ready, self._next = jobs.ready_step(params.dt_h), 0
        self._active = np.zeros(0, dtype=np.int64)
        self._deadline_h = np.minimum(jobs.deadline_h, (jobs.due_step + 1) * params.dt_h)
        self._last = _last_steps(jobs, self._deadline_h, params.dt_h)
        slots = (params.n_regions, len(params.deferrable), params.n_slots)
        self._owed = np.zeros(slots)  # MWh promised to a cohort by earlier plans and not yet run
        self._owed_moves = np.zeros((len(params.links), *slots[1:]))
        self._admit()

    def backlog_mwh(self, phase: int) -> Array:
        """`[R, K, S]` work of the jobs that wait or run: what the step's state must hold."""
        a = self._active
        return self._cohort_sums(a, self._slot(a, phase), self.remaining_mwh[a])

    def carry_out(self, serve_mwh: Array, migrate_mwh: Array, limits: Limits) -> Carried:
        """Run and move whole jobs as far as the plan says, end the step, and admit what was submitted meanwhile.

        Args:
            serve_mwh: `[R, K, S]` work the plan runs.
            migrate_mwh: `[L, K, S]` work the plan moves.
            limits: what the step leaves for it.
        """
        a = self._active
        slot = self._slot(a, limits.phase)
        run = self._choose_runs(a, slot, serve_mwh, limits)
        done = np.where(run, self._step_work(a), 0.0)
        served = self._cohort_sums(a, slot, done)
        self._book_runs(a, run, done)
        self._owed = self._owed + serve_mwh - served
        moved, extra = self._move(a, slot, run, migrate_mwh, limits)
        self._close(a, slot, limits.phase)
        return Carried(served, moved, extra)

    def _step_work(self, a: Ints) -> Array:
        """`[n]` MWh that active jobs do in a step if they run: all that is left in their last one."""
        left, most = self.remaining_mwh[a], self.jobs.rate_mw[a] * self.params.dt_h
        return np.where(left <= most * (1.0 + ROUNDING), left, most)

    def _admit(self) -> None:
        """Jobs whose first step has come are active; finished ones are not."""
        upto = int(np.searchsorted(self._ready, self.t, side="right"))
        fresh = np.arange(self._next, upto)
        self._active = np.concatenate((self._active[self.remaining_mwh[self._active] > 0.0], fresh))
        self._next = upto

    def _slot(self, a: Ints, phase: int) -> Ints:
        """`[n]` deadline slot of active jobs."""
        kind = self.jobs.kind[a]
        return np.asarray((self.jobs.due_step[a] - self.t - self.clock.slack[phase, kind]) // self.clock.quantum[kind])

    def _cohort(self, a: Ints, slot: Ints) -> Ints:
        """`[n]` flat index into `[R, K, S]`."""
        _, k, s = self._owed.shape
        return (self.hub[a] * k + self.jobs.kind[a]) * s + slot

    def _cohort_sums(self, a: Ints, slot: Ints, values: Array) -> Array:
        """`[R, K, S]` sums of a value of active jobs."""
        sums = np.bincount(self._cohort(a, slot), values, minlength=self._owed.size)
        return np.asarray(sums.reshape(self._owed.shape), dtype=np.float64)

    def _order(self, a: Ints, bound: Bools, must: Bools) -> Ints:
        """Positions in `a`: what may not be interrupted, what would be late, what ran before, then by the rule."""
        j = self.jobs
        seen = Waiting(
            j.submit_h[a], self._deadline_h[a], self.remaining_mwh[a], j.rate_mw[a], self.moves[a], self.running[a]
        )
        return np.lexsort((self.rule(seen), ~self.running[a], ~must, ~bound))

    def _choose_runs(self, a: Ints, slot: Ints, serve_mwh: Array, limits: Limits) -> Bools:
        """`[n]` which active jobs run in this step."""
        if not len(a):
            return np.zeros(0, dtype=bool)
        j, dt = self.jobs, self.params.dt_h
        need = self._step_work(a)
        steps_left = np.ceil(self.remaining_mwh[a] / (j.rate_mw[a] * dt) - 1e-9)
        bound = self.running[a] & ~j.preemptible[a]
        must = bound | (steps_left >= self._last[a] - self.t + 1)
        cohort = self._cohort(a, slot)
        backlog = np.bincount(cohort, self.remaining_mwh[a], minlength=self._owed.size)
        cap = backlog * np.broadcast_to(self.clock.rate_limit[limits.phase], self._owed.shape).reshape(-1)
        order = self._order(a, bound, must)
        n, c, forced = need[order], cohort[order], must[order]
        free = self._free(a)[order]
        within_cap = fitting(n, c, cap, forced & free)
        spent = np.bincount(c[within_cap], n[within_cap], minlength=len(cap))
        promised = np.minimum((serve_mwh + self._owed).reshape(-1), cap) - spent
        wanted = within_cap | fitting(n, c, promised, ~forced & free)
        pool = self.hub[a][order] * limits.room_mwh.shape[1] + self.clock.pool[j.kind[a]][order]
        run = np.zeros(len(a), dtype=bool)
        run[order] = fitting(n, pool, limits.room_mwh.reshape(-1), wanted)
        return run

    def _free(self, a: Ints) -> Bools:
        """`[n]` active jobs that wait for no other one to be over."""
        after = self.jobs.after[a]
        return (after < 0) | (self.remaining_mwh[after] <= 0.0)

    def _book_runs(self, a: Ints, run: Bools, done: Array) -> None:
        now, dt = self.t * self.params.dt_h, self.params.dt_h
        ran = a[run]
        self.suspensions[a[self.running[a] & ~run]] += 1
        self.running[a] = run
        self.started_h[ran] = np.where(np.isnan(self.started_h[ran]), now, self.started_h[ran])
        self.remaining_mwh[a] -= done
        self.done_mwh[a] += done
        self.last_runs = Runs(ran, self.hub[ran], done[run])
        ends = run & (self.remaining_mwh[a] <= 0.0)
        over = a[ends]
        self.running[over] = False
        self.finished_h[over] = now + np.minimum(done[ends] / self.jobs.rate_mw[over], dt)

    def _move(self, a: Ints, slot: Ints, run: Bools, migrate_mwh: Array, limits: Limits) -> tuple[Array, float]:
        """`[L, K, S]` work that left over each link, and what jobs' own data cost beyond their class's."""
        moved, extra = np.zeros_like(self._owed_moves), 0.0
        promised = self._owed_moves + migrate_mwh
        free = ~run & (self.remaining_mwh[a] > 0.0) & (self.jobs.due_step[a] > self.t)
        free &= self.jobs.preemptible[a] | np.isnan(self.started_h[a])
        gone = np.zeros(len(a), dtype=bool)
        here = self.hub[a]  # a job that has just arrived stays where it is
        for link in np.flatnonzero(promised.sum((1, 2)) > 0.0):
            allowed = self.clock.allowed[link, self.jobs.kind[a]]
            at = np.flatnonzero(free & ~gone & (here == self.clock.source[link]) & allowed)
            most = np.minimum(promised[link], limits.readable_mwh[link][:, None])
            went, gb, cny = self._over_link(int(link), a[at], slot[at], most, float(limits.link_gb[link]))
            if not went.any():
                continue
            at = at[went]
            gone[at] = True
            np.add.at(moved[link], (self.jobs.kind[a[at]], slot[at]), self.remaining_mwh[a[at]])
            self._arrive(a[at], int(self.clock.target[link]), gb[went])
            extra += cny
        self._owed_moves = promised - moved
        return moved, extra

    def _over_link(
        self, link: int, jobs: Ints, slot: Ints, promised: Array, link_gb: float
    ) -> tuple[Bools, Array, float]:
        """Which of the jobs at its source leave over a link: those not begun first, then those with most time left."""
        if not len(jobs):
            return np.zeros(0, dtype=bool), np.zeros(0), 0.0
        kind, work = self.jobs.kind[jobs], self.remaining_mwh[jobs]
        of_class = work * self.clock.gb_per_mwh[link, kind]
        gb = np.maximum(of_class, self.jobs.checkpoint_gb[jobs])
        order = np.lexsort((-self._deadline_h[jobs], ~np.isnan(self.started_h[jobs])))
        cohort = kind * promised.shape[1] + slot
        went = np.zeros(len(jobs), dtype=bool)
        went[order] = fitting(work[order], cohort[order], promised.reshape(-1))
        went[order] = fitting(gb[order], np.zeros(len(jobs), dtype=np.int64), np.array([link_gb]), went[order])
        price = float(self.clock.price_cny_per_gb[link])
        return went, gb, price * float((gb - of_class)[went].sum())

    def _arrive(self, jobs: Ints, hub: int, gb: Array) -> None:
        """Jobs stand at another hub, with the work that restarting them costs; a running one was stopped for it."""
        overhead = self.remaining_mwh[jobs] * self.clock.restart[self.jobs.kind[jobs]]
        self.remaining_mwh[jobs] += overhead
        self.overhead_mwh[jobs] += overhead
        self.hub[jobs] = hub
        self.moves[jobs] += 1
        self.moved_gb[jobs] += gb

    def _close(self, a: Ints, slot: Ints, phase: int) -> None:
        """Slots that close: their jobs are missed and gone; what was owed moves one slot nearer with its cohort."""
        late = a[(slot == 0) & self.clock.closes[phase, self.jobs.kind[a]] & (self.remaining_mwh[a] > 0.0)]
        self.missed_mwh[late] = self.remaining_mwh[late]
        self.remaining_mwh[late] = 0.0
        self.running[late] = False
        for k in np.flatnonzero(self.clock.closes[phase]):
            for owed in (self._owed[:, k], self._owed_moves[:, k]):
                owed[..., :-1] = owed[..., 1:]
                owed[..., -1] = 0.0
        self.t += 1
        self._admit()
        next_phase = (phase + 1) % self.params.period
        left = self.backlog_mwh(next_phase)
        self._owed = np.clip(self._owed, -left, left)  # no cohort can be owed more than it has
        self._owed_moves = np.minimum(self._owed_moves, left[self.clock.source])
