"""Job traces become hourly arrivals by class with the stated mean loading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenhop.errors import ConfigError, DataError
from tests.importers.writers import REAL, START, read, table, write

CLASSES = {"batch_inference": {"max_length_h": 1.0}, "ai_training": {"min_length_h": 1.0}}
BOTH = {"mean_loading": 0.3, "classes": CLASSES}
ONE = {"mean_loading": 0.3, "classes": {"ai_training": {}}}
AT_ONCE = {**BOTH, "arrive": "submit"}
BATCH, TRAINING = (f"arrivals_{name}_mwh_per_mw" for name in CLASSES)
ZERO = {"start": "2023-01-02T08:00+08:00"}


def trace(layout: str, path: Path, jobs: dict[str, Any], **options: Any) -> Any:
    return read(layout, path, "arrivals", jobs=jobs, options=options)


def gaia(path: Path, *rows: tuple[float, float, int]) -> Path:
    return table(path, "arrival_time,length,cpus", *zip(*rows, strict=True))


def test_work_arrives_while_the_job_runs_by_class_and_keeps_proportions(tmp_path: Path) -> None:
    path = gaia(tmp_path / "j.csv", (0.1, 0.5, 2), (0.75, 2.5, 2), (3.5, 1.5, 4))
    made = trace("jobs_pai", path, BOTH, **ZERO)
    assert made.first_hour == int(START.timestamp()) // 3600
    batch, training = made.values[BATCH], made.values[TRAINING]
    assert (batch + training).mean() == pytest.approx(0.3)
    scale = 0.3 * 5 / (1 + 5 + 6)
    assert (batch / scale).tolist() == pytest.approx([1, 0, 0, 0, 0])
    assert (training / scale).tolist() == pytest.approx([0.5, 2, 2, 0.5 + 2, 4])
    assert "spread over their runs" in made.notes[-1]


def test_an_hour_is_never_asked_for_more_than_what_ran_in_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    begin, length, cpus = rng.uniform(0, 300, 400), rng.exponential(20, 400), rng.integers(1, 9, 400)
    path = gaia(tmp_path / "j.csv", *zip(begin, length, cpus, strict=True))
    made = trace("jobs_pai", path, ONE, **ZERO)
    first = made.first_hour - int(START.timestamp()) // 3600
    edges = first + np.arange(made.hours + 1)
    done = np.clip((edges[:, None] - begin) / length, 0.0, 1.0) @ (length * cpus)  # by every full hour, job by job
    assert made.values[TRAINING] == pytest.approx(np.diff(done) * 0.3 * made.hours / (length * cpus).sum(), abs=1e-9)


def test_work_may_arrive_at_once_in_the_hour_of_submission(tmp_path: Path) -> None:
    path = gaia(tmp_path / "j.csv", (0.1, 0.5, 2), (0.9, 2.0, 1), (3.5, 1.0, 3))
    made = trace("jobs_pai", path, AT_ONCE, **ZERO)
    assert made.first_hour == int(START.timestamp()) // 3600
    batch, training = made.values[BATCH], made.values[TRAINING]
    assert (batch + training).mean() == pytest.approx(0.3)
    assert batch.tolist() == pytest.approx([0.2, 0, 0, 0])
    assert training.tolist() == pytest.approx([0.4, 0, 0, 0.6])


def test_jobs_outside_all_classes_are_dropped_and_counted(tmp_path: Path) -> None:
    path = gaia(tmp_path / "j.csv", (0.1, 0.5, 2), (0.9, 2.0, 1), (3.5, 1.0, 3))
    made = trace("jobs_pai", path, {"mean_loading": 0.3, "classes": {"ai_training": {"min_length_h": 1.0}}}, **ZERO)
    assert made.repairs == {"jobs_outside_all_classes_dropped": 1}
    overlap = {"mean_loading": 0.3, "classes": {"a": {"max_length_h": 2}, "b": {"min_length_h": 1}}}
    with pytest.raises(ConfigError, match="classes 'a' and 'b' overlap"):
        trace("jobs_pai", path, overlap, **ZERO)


def test_the_raw_task_table_of_pai_has_no_header(tmp_path: Path) -> None:
    rows = "j1,t,2,Terminated,3600,10800,600,29,50,V100\nj2,t,1,Failed,7200,,600,29,100,T4\n"
    rows += "j3,t,1,Terminated,0,3600,100,1,,\n"
    made = trace("jobs_pai", write(tmp_path / "pai_task_table.csv", rows), ONE, **ZERO)
    assert made.repairs == {"jobs_without_start_or_end_dropped": 1}
    assert made.values[TRAINING].tolist() == pytest.approx([0.3, 0.3, 0.3])  # 1 h × 1 CPU, then 2 h × 2 × half a GPU


def test_tokens_are_work(tmp_path: Path) -> None:
    times = ["2023-01-02 00:00:00.1234567", "2023-01-02 01:30:00.0000000"]
    path = table(tmp_path / "llm.csv", "TIMESTAMP,ContextTokens,GeneratedTokens", times, [1000, 0], [100, 400])
    jobs = {"mean_loading": 0.3, "classes": {"online_inference": {}}}
    made = trace("jobs_azure", path, jobs)
    assert made.values["arrivals_online_inference_mwh_per_mw"].tolist() == pytest.approx([0.2, 0.4])


def test_function_calls_are_counted_from_their_start(tmp_path: Path) -> None:
    path = table(tmp_path / "f.csv", "app,func,end_timestamp,duration", "ab", "cd", [60, 7230], [60, 30])
    assert trace("jobs_azure", path, ONE, **ZERO).values[TRAINING].tolist() == pytest.approx([0.6, 0, 0.3])
    with pytest.raises(ConfigError, match="state it"):
        trace("jobs_azure", path, ONE)


def swf(path: Path, *jobs: str) -> Path:
    return write(path, "\n".join(["; UnixStartTime: 1672617600", *jobs]) + "\n")


def job(number: int, submit: int, run: int, procs: int, status: int = 1, wait: int = 0) -> str:
    return " ".join(map(str, [number, submit, wait, run, procs, *[-1] * 5, status, *[-1] * 7]))


def test_partial_executions_are_parts_of_the_job_they_belong_to(tmp_path: Path) -> None:
    whole = [job(1, 0, 1800, 4), job(2, 0, 14400, 1)]
    parts = [job(2, 0, 7200, 1, status=2), job(2, 0, 7200, 1, status=3)]
    made = trace("jobs_swf", swf(tmp_path / "t.swf", *whole, *parts), BOTH)
    control = trace("jobs_swf", swf(tmp_path / "c.swf", *whole), BOTH)
    assert made.repairs == {"partial_executions_dropped": 2}
    for name, values in control.values.items():
        np.testing.assert_array_equal(made.values[name], values)
    alone = trace("jobs_swf", swf(tmp_path / "a.swf", *parts), ONE)  # their sum is nowhere: they are the job
    assert alone.values[TRAINING].tolist() == pytest.approx([0.3, 0.3])


def test_swf_jobs_run_after_they_waited(tmp_path: Path) -> None:
    path = swf(tmp_path / "t.swf", job(1, 0, 3600, 1), job(2, 0, 3600, 1, wait=7200))
    assert trace("jobs_swf", path, ONE).values[TRAINING].tolist() == pytest.approx([0.45, 0, 0.45])
    assert trace("jobs_swf", path, {**ONE, "arrive": "submit"}).values[TRAINING].tolist() == pytest.approx([0.3])


def test_lengths_follow_from_windows_and_what_is_longer_is_reported(tmp_path: Path) -> None:
    path = gaia(tmp_path / "j.csv", (0.0, 11.0, 1), (0.0, 20.0, 1), (0.0, 40.0, 1))
    made = trace("jobs_pai", path, {"mean_loading": 0.3, "classes": {"ai_training": {}, "batch_inference": {}}}, **ZERO)
    share = made.values[BATCH].sum() / sum(v.sum() for v in made.values.values())
    assert share == pytest.approx(11 / 71)  # the shipped windows are 12 and 24 h
    said = "ai_training: 84.5 % of the work; 66.7 % of that in jobs longer than its window of 24 h"
    assert said in made.notes
    windows = {"ai_training": {"window_h": 48}, "scientific_hpc": {"window_h": 30}}
    made = trace("jobs_pai", path, {"mean_loading": 0.3, "classes": windows}, **ZERO)
    assert made.notes[1].startswith("ai_training: 56.3 % of the work; 0 % of that")
    with pytest.raises(ConfigError, match=r"a window_h each, all different; given: ai_training 24\.0 h, mine None h"):
        trace("jobs_pai", path, {"mean_loading": 0.3, "classes": {"ai_training": {}, "mine": {}}}, **ZERO)


def test_a_short_trace_can_be_repeated_as_a_profile(tmp_path: Path) -> None:
    rows = [(float(h), 0.5, 1 + h % 24) for h in range(36)]
    made = read("jobs_pai", gaia(tmp_path / "j.csv", *rows), "arrivals", jobs=ONE, options=ZERO, repeat="day")
    work = made.values[TRAINING]
    assert len(work) == 54 * 168
    assert work.mean() == pytest.approx(0.3)
    np.testing.assert_allclose(work[:24] / work[0], 1 + np.arange(24))
    np.testing.assert_array_equal(work[24:], work[:-24])
    assert "36 h as a profile of 24 h, repeated: every split has the same" in made.notes
    with pytest.raises(DataError, match="holds 36 h; a profile of 168 h needs one period at least"):
        read("jobs_pai", tmp_path / "j.csv", "arrivals", jobs=ONE, options=ZERO, repeat="week")


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real data: {REAL} is absent")
def test_a_real_trace_asks_for_no_more_than_its_cluster_ran() -> None:
    path = REAL / "jobs_pai_100k.csv.gz"
    training = {"mean_loading": 0.2, "classes": {"ai_training": {}}}
    spread = trace("jobs_pai", path, training, **ZERO).values[TRAINING]
    at_once = trace("jobs_pai", path, {**training, "arrive": "submit"}, **ZERO).values[TRAINING]
    assert spread.max() < 1.0 < 7.0 < at_once.max()
    assert np.corrcoef(spread[1:], spread[:-1])[0, 1] > 0.8
    assert np.corrcoef(at_once[1:], at_once[:-1])[0, 1] < 0.1


def test_swf_drops_jobs_that_never_ran(tmp_path: Path) -> None:
    path = swf(tmp_path / "t.swf", job(1, 0, 3600, 4), job(2, 3600, -1, 4), job(3, 7200, 7200, 1))
    made = trace("jobs_swf", path, ONE)
    assert made.repairs == {"jobs_that_never_ran_dropped": 1}
    assert made.first_hour == 1672617600 // 3600
    assert made.values[TRAINING].tolist() == pytest.approx([0.8, 0, 0.2, 0.2])
    with pytest.raises(DataError, match="row 2: 3 fields"):
        trace("jobs_swf", write(path, "; UnixStartTime: 0\n1 2 3\n"), ONE)
    with pytest.raises(ConfigError, match="no UnixStartTime"):
        trace("jobs_swf", write(path, job(1, 0, 1, 1)), ONE)


@pytest.mark.parametrize("row", [(0.5, -1.0, 2), (0.5, float("nan"), 2), (1e7, 1.0, 2)])
def test_impossible_jobs_name_their_row(tmp_path: Path, row: tuple[float, float, int]) -> None:
    path = gaia(tmp_path / "j.csv", (0.1, 1.5, 2), row)
    with pytest.raises(DataError, match=r"j\.csv, row 3"):
        trace("jobs_pai", path, ONE, **ZERO)


def test_a_trace_needs_its_start_and_its_loading(tmp_path: Path) -> None:
    path = gaia(tmp_path / "j.csv", (0.1, 1.5, 2))
    with pytest.raises(ConfigError, match=r"start.*Field required"):
        trace("jobs_pai", path, ONE)
    with pytest.raises(ConfigError, match="needs an offset"):
        trace("jobs_pai", path, ONE, start="2023-01-02T00:00")
    with pytest.raises(ConfigError, match="needs jobs"):
        read("jobs_pai", path, "arrivals", options=ZERO)
    assert np.isfinite(trace("jobs_pai", path, ONE, **ZERO).values[TRAINING]).all()
