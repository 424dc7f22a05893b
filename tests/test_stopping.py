"""Commands that are stopped: quietly, with the right code, and no process of theirs lives on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from greenhop_agents.base.stopping import Terminated, quiet_end, stops_held
from greenhop_agents.base.workers import worker_processes
from tests.sleeping import Sleeper, sleep_long

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")


def hear_signals() -> None:
    """A test run in the background ignores Ctrl-C, and its children would too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


@contextmanager
def running(folder: Path, *command: str) -> Iterator[subprocess.Popen[str]]:
    """A command in a process group of its own, of which nothing is left afterwards."""
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=hear_signals,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def members(group: int) -> list[int]:
    """Living processes of a process group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(pgrp) == group and state != "Z":
            found.append(int(stat.parent.name))
    return found


def wait_for(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Until `true()` is."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


WORKING = f"""
import sys
sys.path.insert(0, {str(SCRIPTS.parent)!r})
from greenhop_agents.base.stopping import quiet_end
from greenhop_agents.base.workers import finished, worker_processes
from tests.sleeping import sleep_long

if __name__ == "__main__":
    with quiet_end(), worker_processes(2) as submit:
        jobs = [submit(sleep_long, 600.0) for _ in range(4)]
        print("working", flush=True)
        for job in finished(jobs):
            job.result()
"""


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGTERM, 143, "terminated\n"), (signal.SIGINT, 130, "interrupted\n")]
)
@pytest.mark.parametrize("pause_s", [0.0, 3.0], ids=["while workers start", "while workers work"])
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to see processes")
def test_a_stop_ends_the_workers_too_and_says_one_word(
    tmp_path: Path, number: signal.Signals, code: int, word: str, pause_s: float
) -> None:
    (tmp_path / "work.py").write_text(WORKING)
    with running(tmp_path, "work.py") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        time.sleep(pause_s)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            process.send_signal(number)
        _, said = process.communicate(timeout=60)
        assert (process.returncode, said) == (code, word)
        wait_for(lambda: not members(process.pid))


BENCHMARK = (
    "benchmark=smoke", "output=out", "benchmark.agents=[stay,greenest]",
    "benchmark.one_by_one=[stay,greenest,price_follow]", "benchmark.episodes=30", "benchmark.bound=false",
    "benchmark.weeks=[]", "workers=2",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to see processes")
def test_a_benchmark_stopped_by_sigterm_keeps_what_is_done_and_goes_on_from_there(tmp_path: Path) -> None:
    def done() -> dict[str, float]:
        return {path.name: path.stat().st_mtime for path in (tmp_path / "out" / "jobs").glob("*.json")}

    command = (str(SCRIPTS / "benchmark.py"), *BENCHMARK)
    with running(tmp_path, *command) as process:
        wait_for(lambda: len(done()) >= 3 or process.poll() is not None, 120.0)
        process.send_signal(signal.SIGTERM)
        printed, said = process.communicate(timeout=60)
        assert (process.returncode, printed) == (143, "")
        assert "Traceback" not in said
        assert said.splitlines()[-1] == "terminated"
        wait_for(lambda: not members(process.pid))
    kept = done()
    assert 3 <= len(kept) < 90
    with running(tmp_path, *command) as process:
        printed, said = process.communicate(timeout=240)
    assert process.returncode == 0, said
    assert "report.html" in printed
    assert len(done()) == 90
    assert kept.items() <= done().items()  # none of them was run again


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to see processes")
def test_workers_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(WORKING)
    with running(tmp_path, "work.py") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        wait_for(lambda: len(members(process.pid)) >= 3)
        process.kill()
        process.communicate(timeout=60)
        wait_for(lambda: not members(process.pid))


def fail_while_they_work() -> None:
    with worker_processes(1) as submit:
        submit(sleep_long, 600.0)
        raise RuntimeError("enough")


def test_workers_end_where_the_block_fails() -> None:
    began = time.monotonic()
    with pytest.raises(RuntimeError, match="enough"):
        fail_while_they_work()
    assert time.monotonic() - began < 60.0


def test_workers_return_what_they_made() -> None:
    with worker_processes(1) as submit:
        assert submit(Sleeper(0.0).rest).result() == 0.0


def terminated() -> None:
    with quiet_end(), pytest.raises(KeyboardInterrupt) as caught:
        signal.raise_signal(signal.SIGTERM)
    raise caught.value


def test_sigterm_is_a_kind_of_interrupt_inside() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated):
        terminated()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_held_stops_are_heard_on_leaving(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    finished = []
    with quiet_or_raised(number) as heard, stops_held():
        signal.raise_signal(number)
        finished.append("what was begun")
    assert finished == ["what was begun"]
    assert heard == [True]
    assert signal.getsignal(number) is before


@contextmanager
def quiet_or_raised(number: signal.Signals) -> Iterator[list[bool]]:
    """Says whether the block ended by the stop of this signal."""
    heard: list[bool] = []
    try:
        with quiet_end():
            yield heard
        heard.append(False)
    except SystemExit as end:
        heard.append(end.code == 128 + number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_that_a_library_turns_into_an_error_is_still_a_stop(number: signal.Signals) -> None:
    with quiet_or_raised(number) as heard:
        try:
            signal.raise_signal(number)
        except BaseException:  # as libraries do, and then trip over what is half made
            raise AttributeError("'NoneType' object has no attribute '_cache'") from None
    assert heard == [True]


def test_an_error_without_a_stop_stays_an_error() -> None:
    with pytest.raises(AttributeError, match="mine"), quiet_end():
        raise AttributeError("mine")


@pytest.mark.parametrize("command", [["train", "--help"], ["evaluate", "-h"]])
def test_a_reader_that_goes_away_makes_no_noise(tmp_path: Path, command: list[str]) -> None:
    with running(tmp_path, str(SCRIPTS / f"{command[0]}.py"), *command[1:]) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert process.returncode == 141


def test_a_reader_of_the_list_that_goes_away_makes_no_noise(tmp_path: Path) -> None:
    """Rich, which prints it, has an end of its own for closed pipes."""
    with running(tmp_path, "-c", CONSOLE, "list") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    assert process.returncode == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("command", ["list", "train --help"])
def test_a_full_disk_behind_stdout_is_one_line(tmp_path: Path, command: str) -> None:
    line = f"{sys.executable} -c '{CONSOLE}' {command} > /dev/full"
    ended = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert ended.stderr.splitlines()[-1] == "error: No space left on device: standard output"
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 2


def test_the_console_command_guards_its_imports(tmp_path: Path) -> None:
    """Before Ctrl-C is heard, nothing is imported that takes a tenth of a second."""
    code = "import sys, greenhop_agents.commands.main; print({'gymnasium', 'numpy', 'greenhop'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"


@pytest.mark.parametrize("after_s", [0.3, 0.6, 1.0, 1.5, 2.5])
def test_an_interrupt_while_modules_are_imported_is_quiet(tmp_path: Path, after_s: float) -> None:
    command = [str(SCRIPTS / "bound.py"), "scenario=pair2", "scenario.episode.length_h=24", "episodes=64"]
    with running(tmp_path, "-c", IMPORTING, *command) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        time.sleep(after_s)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert said.endswith("interrupted\n")


CONSOLE = "from greenhop_agents.commands.main import main; main()"
IMPORTING = """
import runpy, sys
from greenhop_agents.commands import main  # what comes before cannot be guarded
print("begun", flush=True)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
