"""Certified bounds of many episodes, in parallel processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import torch

from greenhop.lp.bound import Bound, bound
from greenhop.lp.replay import plan_at
from greenhop.lp.solve import Options
from greenhop.params import Params, build_params
from greenhop.rewards import REPORTED, report
from greenhop.simulator import Simulator
from greenhop.state import Plan, Row, State
from greenhop.step import step
from greenhop_agents.evaluate import Episode


@dataclass(frozen=True)
class EpisodeBound:
    """The certified optimum of one episode."""

    episode: int
    start: int
    bound_cny: float  # proven lower bound
    replay_cny: float  # cost of the optimal plan in the simulator
    relative_gap: float
    seconds: float
    totals: dict[str, float]  # cost terms and quantities of the optimal plan, summed over the episode

    def as_episode(self) -> Episode:
        """The optimal plan as one more row of an evaluation table."""
        return Episode("bound", self.episode, self.start, self.totals, float("nan"))

    def as_row(self) -> dict[str, Any]:
        """A flat record for JSON."""
        return {
            "episode": self.episode,
            "bound_cny": self.bound_cny,
            "replay_cny": self.replay_cny,
            "relative_gap": self.relative_gap,
            "seconds": self.seconds,
        }


def episode_window(sim: Simulator, start: int) -> tuple[Params, State, Row]:
    """Float64 parameters, initial state (a batch of one) and rows `[T, …]` of the episode that begins at `start`."""
    params = build_params(sim.scenario, torch.float64)
    carry = sim.begin(torch.tensor([start], device=sim.params.device))
    first = int(carry.state.world_row[0])
    rows, _ = sim.bank.layout.unpack(sim.bank.table[first : first + params.steps].cpu().double())
    state = State(*(x.cpu().double() if x.is_floating_point() else x.cpu() for x in carry.state))
    exact = state._replace(soc_mwh=params.soc_start_mwh.expand(1, -1), peak_mw=params.peak_start_mw.expand(1, -1))
    return params, exact, rows


def episode_bounds(
    sim: Simulator,
    starts: Sequence[int],
    options: Options = Options(),  # noqa: B008 (frozen)
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[EpisodeBound]:
    """Bound one episode from each of `starts` (indices into `sim.bank.starts`), in order.

    Raises:
        SolverError: for the first episode that is not solved and certified.
    """
    out: list[EpisodeBound | None] = [None] * len(starts)
    for done, (i, (b, totals)) in enumerate(solve_all(sim, starts, options, workers)):
        out[i] = EpisodeBound(i, int(starts[i]), b.lower_bound, b.replay_cost, b.relative_gap, b.seconds, totals)
        if progress:
            progress(done + 1, len(starts))
    return [b for b in out if b is not None]


Solved = tuple[Bound, dict[str, float]]


def _solve_one(params: Params, state: State, rows: Row, options: Options) -> Solved:
    result = bound(params, state, rows, options)
    return result, plan_totals(params, state, rows, result.plan)


def plan_totals(params: Params, state: State, rows: Row, plan: Plan) -> dict[str, float]:
    """Cost terms and quantities of a plan `[T, …]`, summed over its steps."""
    total = torch.zeros(len(REPORTED), dtype=params.dtype)
    for t in range(rows.green_mwh.shape[0]):
        state, flows = step(params, state, plan_at(plan, t), Row(*(x[t : t + 1] for x in rows)))
        total += report(params, flows)[0]
    return dict(zip(REPORTED, total.tolist(), strict=True))


def solve_all(sim: Simulator, starts: Sequence[int], options: Options, workers: int) -> Iterator[tuple[int, Solved]]:
    """(position, solution) of every start, in the order in which they finish."""
    windows = (episode_window(sim, int(start)) for start in starts)
    if workers <= 1 or len(starts) == 1:
        for i, window in enumerate(windows):
            yield i, _solve_one(*window, options)
        return
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        jobs = {pool.submit(_solve_one, *window, options): i for i, window in enumerate(windows)}
        try:
            for job in as_completed(jobs):
                yield jobs[job], job.result()
        finally:
            pool.shutdown(cancel_futures=True)
