"""Job traces become hourly arrivals by class with the stated mean loading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenhop.errors import ConfigError, DataError
from tests.importers.writers import START, read, table, write

CLASSES = {"batch_inference": {"max_length_h": 1.0}, "ai_training": {"min_length_h": 1.0}}
BOTH = {"mean_loading": 0.3, "classes": CLASSES}
ONE = {"mean_loading": 0.3, "classes": {"ai_training": {}}}
BATCH, TRAINING = (f"arrivals_{name}_mwh_per_mw" for name in CLASSES)
ZERO = {"start": "2023-01-02T08:00+08:00"}


def trace(layout: str, path: Path, jobs: dict[str, Any], **options: Any) -> Any:
    return read(layout, path, "arrivals", jobs=jobs, options=options)


def gaia(path: Path, *rows: tuple[float, float, int]) -> Path:
    return table(path, "arrival_time,length,cpus", *zip(*rows, strict=True))


def test_work_arrives_in_its_hour_by_class_and_keeps_proportions(tmp_path: Path) -> None:
    path = gaia(tmp_path / "j.csv", (0.1, 0.5, 2), (0.9, 2.0, 1), (3.5, 1.0, 3))
    made = trace("jobs_pai", path, BOTH, **ZERO)
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
    assert made.values[TRAINING].tolist() == pytest.approx([0.2, 0.4])  # 1 h × 1 CPU, then 2 h × 2 × half a GPU


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


def test_swf_drops_jobs_that_never_ran(tmp_path: Path) -> None:
    def job(number: int, submit: int, run: int, procs: int) -> str:
        return " ".join(map(str, [number, submit, 0, run, procs, *[-1] * 13]))

    jobs = [job(1, 0, 3600, 4), job(2, 3600, -1, 4), job(3, 7200, 7200, 1)]
    path = write(tmp_path / "t.swf", "\n".join(["; UnixStartTime: 1672617600", *jobs]))
    made = trace("jobs_swf", path, ONE)
    assert made.repairs == {"jobs_that_never_ran_dropped": 1}
    assert made.first_hour == 1672617600 // 3600
    assert made.values[TRAINING].tolist() == pytest.approx([0.6, 0, 0.3])
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
