"""Five jobs whose timetable and bill were worked out on paper.

Two hubs of 10 MW without own power, one class due two hours after the hour in which it joins, 10 GB a MWh at 1 CNY a
GB, a tenth more work after a move. Power costs 100, 100, 50, 50 CNY/MWh at the first hub and 20 at the second.

    job  work  rate  hub  submitted
    0    4     4     0    0.0
    1    6     3     0    0.0
    2    5     5     0    0.0
    3    2     2     1    1.0
    4    3     1.5   0    1.5       must not be interrupted

Hour 0: the plan runs 4 MWh and moves 5: job 0 runs, job 2 moves (job 1 has 6 MWh) and stands for 5.5. 4·100 + 50 CNY.
Hour 1: job 1 needs two more hours and has two: it runs although the plan says 2. So does job 2; the plan runs job 3.
        3·100 + 7·20.
Hour 2: jobs 1 and 2 end, the latter after a tenth of an hour. The plan grants job 4 1 MWh of 1.5: carried over.
        3·50 + 0.5·20.
Hour 3: half a MWh more: job 4 begins and has 1.5 MWh left at the end, at 40 CNY. 1.5·50 + 1.5·40.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from greenhop.jobs.dispatcher import Dispatcher, Limits
from greenhop.jobs.table import JobTable
from greenhop.physics.state import Plan, Row
from greenhop.physics.step import step
from tests.lp.windows import tiny_case, tiny_params

A, B, STEPS = 0, 1, 4
A_TO_B = 0  # link


def five_jobs() -> JobTable:
    return JobTable(
        submit_h=np.array([0.0, 0.0, 0.0, 1.0, 1.5]),
        work_mwh=np.array([4.0, 6.0, 5.0, 2.0, 3.0]),
        width=np.array([4, 3, 5, 2, 1]),
        rate_mw=np.array([4.0, 3.0, 5.0, 2.0, 1.5]),
        kind=np.zeros(5, dtype=np.int64),
        origin=np.array([A, A, A, B, A]),
        due_step=np.array([2, 2, 2, 3, 4]),
        deadline_h=np.full(5, np.inf),
        checkpoint_gb=np.zeros(5),
        preemptible=np.array([True, True, True, True, False]),
        after=np.full(5, -1),
        name=np.arange(5),
    )


def test_starts_moves_ends_and_bill_are_those_on_paper() -> None:
    params = tiny_params(regions=2, steps=STEPS, work_terminal_cny_per_mwh=torch.tensor([40.0], dtype=torch.float64))
    arrivals = torch.zeros(STEPS, 2, 1, dtype=torch.float64)
    arrivals[0, B], arrivals[1, A] = 2.0, 3.0
    price = [[100.0, 20.0], [100.0, 20.0], [50.0, 20.0], [50.0, 20.0]]
    case = tiny_case(params, price, [[0.0, 0.0, 15.0], [0.0, 0.0, 0.0]], next_arrivals_mwh=arrivals.tolist())
    d = Dispatcher(params, five_jobs())
    serve, move = np.zeros((STEPS, 2, 1, 3)), np.zeros((STEPS, 2, 1, 3))
    serve[0, A, 0, 2], move[0, A_TO_B, 0, 2] = 4.0, 5.0
    serve[1, A, 0, 1], serve[1, B, 0, 2] = 2.0, 2.0
    serve[2, A, 0, 2], serve[3, A, 0, 1] = 1.0, 0.5
    state, bill, zero = case.state, [], torch.zeros(1, 2, 1, dtype=torch.float64)
    none = torch.zeros(1, 0, dtype=torch.float64)
    for t in range(STEPS):
        room, link_gb, all_of_it = np.full((2, 1), 10.0), np.full(2, 450.0), np.full((2, 1), np.inf)
        carried = d.carry_out(serve[t], move[t], Limits(t % params.period, room, link_gb, all_of_it))
        moved, served = (torch.from_numpy(x).unsqueeze(0) for x in (carried.migrate_mwh, carried.serve_mwh))
        plan = Plan(zero, zero, moved, served, none, none, none, zero)
        state, flows = step(params, state, plan, Row(*(x[t : t + 1] for x in case.rows)))
        bill.append(float(flows.cost_cny.sum()) + carried.extra_cny)
        backlog = d.backlog_mwh((t + 1) % params.period)
        np.testing.assert_allclose(backlog, state.backlog_mwh[0].numpy(), atol=1e-12)
    assert bill == pytest.approx([450.0, 440.0, 160.0, 75.0 + 60.0], abs=1e-9)
    np.testing.assert_allclose(d.started_h, [0.0, 1.0, 1.0, 1.0, 3.0])
    np.testing.assert_allclose(d.finished_h, [1.0, 3.0, 2.1, 2.0, np.nan])
    assert d.hub.tolist() == [A, A, B, B, A]
    assert d.moves.tolist() == [0, 0, 1, 0, 0]
    assert d.moved_gb.tolist() == [0.0, 0.0, 50.0, 0.0, 0.0]
    np.testing.assert_allclose(d.overhead_mwh, [0.0, 0.0, 0.5, 0.0, 0.0])
    np.testing.assert_allclose(d.remaining_mwh, [0.0, 0.0, 0.0, 0.0, 1.5])
