"""Jobs of a trace in the hubs of a scenario."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from greenhop.arrays import Array
from greenhop.errors import DataError
from greenhop.importers.jobs import Jobs
from greenhop.jobs.trace import TraceOptions, trace_jobs
from greenhop.scenario.find import load_scenario
from greenhop.scenario.join import build_params

PARAMS = build_params(load_scenario("pair2-jobs"), torch.float64)
AS_THEY_ARE = TraceOptions(loading=None, card_kw=1.0)


def trace(length_h: list[float], size: list[float]) -> Jobs:
    n = len(length_h)
    hours: Array = np.arange(n, dtype=np.float64)
    return Jobs(Path("t.csv"), np.arange(2, n + 2), 3600.0 * hours, np.array(length_h), np.array(size), Counter())


def test_work_is_cards_times_hours_and_the_line_of_the_trace_is_the_name() -> None:
    jobs = trace_jobs(trace([1.0, 2.0], [4.0, 2.0]), PARAMS, AS_THEY_ARE).jobs
    np.testing.assert_allclose(jobs.work_mwh, [4e-3, 2e-3])
    assert jobs.width.tolist() == [4, 1]
    assert jobs.name.tolist() == [2, 3]
    assert jobs.submit_h.tolist() == [0.0, 1.0]


def test_a_job_that_is_too_long_runs_in_parts_that_wait_for_each_other() -> None:
    traced = trace_jobs(trace([500.0], [1000.0]), PARAMS, AS_THEY_ARE)
    assert traced.long_share == 1.0
    assert traced.jobs.after.tolist() == [-1, *range(len(traced.jobs) - 1)]
    assert traced.jobs.work_mwh.sum() == pytest.approx(1.0)
    assert set(traced.jobs.name.tolist()) == {2}


def test_rows_without_run_time_are_left_out_unless_their_size_is_timed() -> None:
    tokens = trace([0.0, 1.0], [100.0, 1.0])
    assert trace_jobs(tokens, PARAMS, AS_THEY_ARE).left_out == 1
    timed = trace_jobs(tokens, PARAMS, TraceOptions(loading=None, card_kw=1.0, size_s=36.0))
    assert timed.left_out == 0
    np.testing.assert_allclose(timed.jobs.work_mwh, 1e-3)
    assert timed.jobs.width.tolist() == [1, 1]


def test_a_trace_without_run_times_names_what_would_help() -> None:
    with pytest.raises(DataError, match=r"no job with run time and width is left; give as_jobs\.size_s"):
        trace_jobs(trace([0.0], [9.0]), PARAMS, AS_THEY_ARE)


def test_jobs_stand_for_as_many_as_load_the_pools() -> None:
    traced = trace_jobs(trace([1.0] * 48, [8.0] * 48), PARAMS, TraceOptions(loading=0.25))
    assert traced.jobs.work_mwh.sum() == pytest.approx(traced.stands_for * 48 * 8 * 1.456e-3)
    wide = trace_jobs(trace([1.0] * 48, [8.0] * 48), PARAMS, TraceOptions(loading=0.5))
    assert wide.stands_for == pytest.approx(2.0 * traced.stands_for)
