"""Certified bounds of many episodes: in parallel processes, kept on disk one by one, so that a run can be resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from typing import Any, NamedTuple, NoReturn, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import tree_leaves

from greenhop.cache import cached, key_of, source_key
from greenhop.episode.simulator import Simulator
from greenhop.lp.bound import Bound, bound
from greenhop.lp.replay import replayed
from greenhop.lp.solve import Options
from greenhop.physics.params import Params
from greenhop.physics.rewards import REPORTED, report
from greenhop.physics.state import Dispatch, Plan, Row, State
from greenhop.scenario.join import build_params
from greenhop_agents.base.workers import finished, worker_processes
from greenhop_agents.scoring.evaluate import Episode

T = TypeVar("T")
J = TypeVar("J")
MADE_BY = ("lp", "physics")  # the code a bound depends on, beside the numbers it is given
FACTS = ("lower_bound", "replay_cost", "seconds")


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


class Task(NamedTuple):
    """One window to bound."""

    params: Params
    state: State
    rows: Row
    options: Options

    @property
    def key(self) -> str:
        """Content key: parameters, state, rows, the solver's options, and the code that computes it."""
        facts = tree_leaves([getattr(self.params, f.name) for f in fields(self.params)])
        tensors = [x for x in facts if isinstance(x, Tensor)]
        rest = [x for x in facts if not isinstance(x, Tensor)]
        options = asdict(replace(self.options, log=False))
        arrays = [x.numpy() for x in (*tensors, *self.state, *self.rows)]
        return key_of(rest, options, *arrays, source_key(*MADE_BY))


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
    use_cache: bool = True,
) -> list[EpisodeBound]:
    """Bound one episode from each of `starts` (indices into `sim.bank.starts`), in order.

    Args:
        sim: the simulator.
        starts: `[B]` indices into `sim.bank.starts`.
        options: of the solver.
        workers: parallel processes.
        progress: called with (done, total) after every episode.
        use_cache: keep every bound on disk when it is found, and read what is kept.

    Raises:
        SolverError: for the first episode that is not solved and certified.
    """
    work = partial(_stored, "bounds", _facts) if use_cache else _facts
    known = partial(_known, "bounds") if use_cache else None
    facts = _of_every_episode(sim, starts, options, work, known, workers, progress)
    return [_episode_bound(i, int(start), found) for i, (start, found) in enumerate(zip(starts, facts, strict=True))]


def episode_plans(
    sim: Simulator,
    starts: Sequence[int],
    options: Options = Options(),  # noqa: B008 (frozen)
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[Plan]:
    """The clairvoyant plan of the episode from each of `starts`, with the snapshot axis T where a step has its batch.

    Float32; every plan is stored when it is found.

    Raises:
        SolverError: for the first episode that is not solved and certified.
    """
    work, known = partial(_stored, "plans", _plan_arrays), partial(_known, "plans")
    return [_as_plan(found) for found in _of_every_episode(sim, starts, options, work, known, workers, progress)]


Facts = dict[str, NDArray[Any]]


def _of_every_episode(
    sim: Simulator,
    starts: Sequence[int],
    options: Options,
    work: Callable[[Task], Facts],
    known: Callable[[Task], Facts | None] | None,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> list[Facts]:
    """`work` of the episode from each of `starts`, in order."""
    tasks = (Task(*episode_window(sim, int(start)), options) for start in starts)
    out: dict[int, Facts] = {}
    for i, found in in_parallel(work, tasks, min(workers, len(starts)), known):
        out[i] = found
        if progress:
            progress(len(out), len(starts))
    return [out[i] for i in range(len(starts))]


def _facts(task: Task) -> Facts:
    """What is worth keeping of a bound."""
    b = bound(*task)
    totals = plan_totals(task.params, task.state, task.rows, b.plan)
    facts = {name: np.array(getattr(b, name)) for name in FACTS}
    return facts | {"totals": np.array([totals[name] for name in REPORTED])}


def _plan_arrays(task: Task) -> Facts:
    """The optimal plan as float32 arrays by name."""
    plan = bound(*task).plan
    assert plan.dispatch is not None
    parts = {name: x for name, x in plan._asdict().items() if name != "dispatch"} | plan.dispatch._asdict()
    return {name: x.numpy().astype(np.float32) for name, x in parts.items()}


def _as_plan(arrays: Facts) -> Plan:
    """The inverse of `_plan_arrays`."""
    parts = {name: torch.from_numpy(x) for name, x in arrays.items()}
    dispatch = Dispatch(**{name: parts.pop(name) for name in Dispatch._fields})
    return Plan(**parts, dispatch=dispatch)


def _stored(kind: str, work: Callable[[Task], Facts], task: Task) -> Facts:
    return cached(f"{kind}/{task.params.name}", task.key, partial(work, task))


def _known(kind: str, task: Task) -> Facts | None:
    """What is stored of a task, if anything."""
    return known(f"{kind}/{task.params.name}", task.key)


def known(kind: str, key: str) -> Facts | None:
    """The cache entry, if there is one."""
    try:
        return cached(kind, key, _nothing)
    except LookupError:
        return None


def _nothing() -> NoReturn:
    raise LookupError


def _episode_bound(episode: int, start: int, facts: Mapping[str, NDArray[Any]]) -> EpisodeBound:
    lower, replayed, seconds = (float(facts[name]) for name in FACTS)
    gap = (replayed - lower) / max(abs(lower), 1.0)
    totals = dict(zip(REPORTED, facts["totals"].tolist(), strict=True))
    return EpisodeBound(episode, start, lower, replayed, gap, seconds, totals)


Solved = tuple[Bound, dict[str, float]]


def plan_totals(params: Params, state: State, rows: Row, plan: Plan) -> dict[str, float]:
    """Cost terms and quantities of a plan `[T, …]`, summed over its steps."""
    total = torch.zeros(len(REPORTED), dtype=params.dtype)
    for stepped in replayed(params, state, rows, plan):
        total += report(params, stepped.flows)[0]
    return dict(zip(REPORTED, total.tolist(), strict=True))


def _solve_one(task: Task) -> Solved:
    result = bound(*task)
    return result, plan_totals(task.params, task.state, task.rows, result.plan)


def solve_all(sim: Simulator, starts: Sequence[int], options: Options, workers: int) -> Iterator[tuple[int, Solved]]:
    """(position, whole solution) of every start, in the order in which they finish; nothing is stored."""
    tasks = (Task(*episode_window(sim, int(start)), options) for start in starts)
    yield from in_parallel(_solve_one, tasks, min(workers, len(starts)))


def in_parallel(
    work: Callable[[J], T], tasks: Iterator[J], workers: int, known: Callable[[J], T | None] | None = None
) -> Iterator[tuple[int, T]]:
    """(position, result) of every task as they finish; those already `known` come first and start no process."""
    open_tasks: list[tuple[int, J]] = []
    for i, task in enumerate(tasks):
        found = None if known is None else known(task)
        if found is not None:
            yield i, found
        elif workers <= 1:
            yield i, work(task)
        else:
            open_tasks.append((i, task))
    if not open_tasks:
        return
    with worker_processes(workers) as submit:
        jobs: dict[Future[T], int] = {submit(work, task): i for i, task in open_tasks}
        for job in finished(jobs):
            yield jobs[job], job.result()
