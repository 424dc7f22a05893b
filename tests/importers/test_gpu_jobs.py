"""Jobs of GPU clusters: Philly's attempts, and the Slurm tables of Helios and Acme."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from greenhop.errors import DataError
from greenhop.importers.jobs import Jobs
from greenhop.importers.registry import JOBS
from tests.importers.writers import table, write

HELIOS = "job_id,user,vc,gpu_num,cpu_num,node_num,state,submit_time,start_time,end_time,duration,queue"
ACME = "job_id,user,node_num,gpu_num,cpu_num,type,state,submit_time,start_time,end_time,duration,queue"


def load(layout: str, path: Path, **options: Any) -> Jobs:
    return JOBS[layout].run(path, options)


def attempt(begin: str | None, end: str | None, *gpus: int) -> dict[str, Any]:
    detail = [{"ip": f"m{i}", "gpus": [f"gpu{j}" for j in range(n)]} for i, n in enumerate(gpus)]
    return {"start_time": begin, "end_time": end, "detail": detail}


def philly(path: Path, *jobs: tuple[str, list[dict[str, Any]]]) -> Path:
    entries = [
        {"status": "Pass", "vc": "v", "jobid": f"a{i}", "user": "u", "submitted_time": at, "attempts": attempts}
        for i, (at, attempts) in enumerate(jobs)
    ]
    return write(path, json.dumps(entries))


def utc(*when: int) -> float:
    return datetime(*when, tzinfo=UTC).timestamp()  # type: ignore[misc, arg-type]


def test_a_job_of_philly_is_the_sum_of_its_attempts_on_pacific_clocks(tmp_path: Path) -> None:
    two = [
        attempt("2017-10-07 01:30:00", "2017-10-07 02:30:00", 8),
        attempt("2017-10-07 03:00:00", "2017-10-07 05:00:00", 8, 8),
    ]
    path = philly(
        tmp_path / "cluster_job_log",
        ("2017-10-07 01:00:00", two),
        ("2017-10-07 02:00:00", []),
        ("2017-10-07 03:00:00", [attempt("2017-10-07 03:00:00", None, 1), attempt(None, "2017-10-07 04:00:00", 1)]),
    )
    jobs = load("jobs_philly", path)
    assert jobs.lines.tolist() == [1]
    assert jobs.arrival_s.tolist() == [utc(2017, 10, 7, 8)]  # PDT is seven hours behind
    assert (jobs.length_h.tolist(), jobs.size.tolist()) == ([3.0], [8.0 + 32.0])
    assert jobs.wait_h is not None
    assert jobs.wait_h.tolist() == [0.5]
    assert jobs.repairs == {"attempts_without_begin_or_end_left_out": 2, "jobs_that_never_ran_dropped": 2}


def test_attempts_that_end_before_they_begin_and_files_that_are_no_log_are_refused(tmp_path: Path) -> None:
    back = [attempt("2017-10-07 02:00:00", "2017-10-07 01:00:00", 1)]
    with pytest.raises(DataError, match=r"row 1: an attempt ends .* before it begins"):
        load("jobs_philly", philly(tmp_path / "a", ("2017-10-07 01:00:00", back)))
    with pytest.raises(DataError, match="row 1: expected a job with attempts, jobid, submitted_time"):
        load("jobs_philly", write(tmp_path / "b", '[{"jobid": 1}]'))
    with pytest.raises(DataError, match="not JSON"):
        load("jobs_philly", write(tmp_path / "c", "[{"))
    with pytest.raises(DataError, match="'yesterday' is not a time"):
        load("jobs_philly", philly(tmp_path / "d", ("yesterday", back)))


def test_helios_has_local_times_and_acme_offsets(tmp_path: Path) -> None:
    when = ("2020-06-09 18:41:01", "2020-06-09 19:41:01", "2020-06-09 21:41:01")
    helios = table(
        tmp_path / "h.csv", HELIOS, [1], ["u"], ["v"], [4], [16], [1], ["FAILED"], *[[t] for t in when], [7200], [3600]
    )
    zoned = [[f"{t}+08:00"] for t in when]
    acme = table(tmp_path / "a.csv", ACME, [1], ["u"], [1], [4], [16], ["Pretrain"], ["FAILED"], *zoned, [7200], [3600])
    for jobs in (load("jobs_slurm", helios), load("jobs_slurm", acme, timezone="UTC")):
        assert jobs.arrival_s.tolist() == [utc(2020, 6, 9, 10, 41, 1)]
        assert (jobs.length_h.tolist(), jobs.size.tolist()) == ([2.0], [8.0])
        assert jobs.wait_h is not None
        assert jobs.wait_h.tolist() == [1.0]


def slurm(path: Path, *rows: tuple[int, str, str, str]) -> Path:
    lines = [f"{i},u,v,{gpus},2,1,COMPLETED,{a},{b},{c},0,0" for i, (gpus, a, b, c) in enumerate(rows)]
    return write(path, "\n".join([HELIOS, *lines]) + "\n")


def test_jobs_that_never_ran_and_jobs_without_gpus_are_counted(tmp_path: Path) -> None:
    ten, eleven = "2020-06-09 10:00:00", "2020-06-09 11:00:00"
    path = slurm(
        tmp_path / "h.csv", (1, ten, ten, eleven), (1, ten, "", ""), (0, ten, ten, eleven), (2, eleven, ten, eleven)
    )
    jobs = load("jobs_slurm", path)
    assert jobs.size.tolist() == [1.0, 2.0]
    assert jobs.repairs == {
        "jobs_that_never_ran_dropped": 1,
        "jobs_without_gpus_dropped": 1,
        "starts_before_submission_taken_for_no_wait": 1,
    }
    assert load("jobs_slurm", path, cpu_jobs=True).size.tolist() == [1.0, 2.0, 2.0]
    with pytest.raises(DataError, match="row 2: end_time is before start_time"):
        load("jobs_slurm", slurm(tmp_path / "b.csv", (1, ten, eleven, ten)))
    with pytest.raises(DataError, match="row 2: a job without submit_time"):
        load("jobs_slurm", slurm(tmp_path / "c.csv", (1, "", ten, eleven)))
