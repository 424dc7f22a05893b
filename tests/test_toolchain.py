"""Compilers that are missing, fail, hang, write rubbish or have arguments: a line and slow steps, or a clear error."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from greenhop.compiler import toolchain as module
from greenhop.compiler.toolchain import build_folder, compiler, trouble
from greenhop.engines.compiled import say_slow
from greenhop.errors import CompilerError, ConfigError
from greenhop.files import ENDING, LEFT_BEHIND_S
from greenhop.gym.env import HubEnv
from tests.marks import needs_compiler
from tests.sims import day_sim

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the compilers of these tests are shell scripts")
REAL = shutil.which("g++") or shutil.which("clang++")

Named = Callable[[str], str]


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Named:
    """Makes a shell script the compiler, in an empty cache with little patience; the name of the script."""
    day_sim("pair2")  # its world is read before the cache is empty
    caplog.clear()
    monkeypatch.setenv("GREENHOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GREENHOP_COMPILE_TIMEOUT_S", "1")
    say_slow.cache_clear()

    def name(script: str) -> str:
        path = tmp_path / "my compiler"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("CXX", str(path))
        return str(path)

    return name


BROKEN = {
    "exits with an error": ("echo no licence >&2; exit 1", "failed: no licence"),
    "exits with an error and no word": ("exit 3", "failed: exit code 3"),
    "writes nothing": ("exit 0", "wrote nothing"),
    "writes rubbish": ('for last; do :; done; echo rubbish > "$last"', "invalid ELF header|file too short"),
    "hangs": ("sleep 600", "did not end within 1 s .GREENHOP_COMPILE_TIMEOUT_S."),
    "hangs in a child": ("sleep 600 & wait", "did not end within 1 s"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_compiler_is_said_once_and_steps_are_slow(
    named: Named, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    script, reason = BROKEN[case]
    named(script)
    began = time.perf_counter()
    for _ in range(2):
        env = HubEnv(sim=replace(day_sim("pair2")))
        env.reset(seed=0)
        env.step(np.zeros(env.sim.action_size))
    assert time.perf_counter() - began < 30.0
    assert len(caplog.messages) == 1
    assert "my compiler" in caplog.text
    assert "slower" in caplog.text
    assert [r for r in caplog.records if r.levelname == "WARNING"]
    with pytest.raises(CompilerError, match=reason):
        HubEnv(sim=replace(day_sim("pair2")), compile=True)


def test_a_compiler_that_fails_later_is_said_once_too(
    named: Named, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    named("echo no memory; exit 1")
    monkeypatch.setattr("greenhop.engines.compiled.trouble", lambda: None)
    for _ in range(2):
        HubEnv(sim=replace(day_sim("pair2")))
    (line,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert "no memory: environments step in torch, without machine code" in line


def test_an_error_of_the_compiler_is_one_line_for_the_user(named: Named) -> None:
    path = named("printf 'one\\ntwo\\n'; exit 1")
    with pytest.raises(ConfigError) as caught:
        HubEnv(sim=replace(day_sim("pair2")), compile=True)
    assert str(caught.value) == f"'{path}' failed: one two"


@pytest.mark.parametrize("mode", [0o644, None], ids=["not executable", "absent"])
def test_a_compiler_that_cannot_be_run_is_none(
    named: Named, mode: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    path = Path(named("exit 0"))
    if mode is None:
        path.unlink()
    else:
        path.chmod(mode)
    HubEnv(sim=replace(day_sim("pair2")))
    (line,) = caplog.messages
    assert "no C++ compiler was found" in line
    assert str(path) in line
    with pytest.raises(CompilerError, match=r"compile=True needs a C\+\+ compiler.*my compiler.*compile=False"):
        HubEnv(sim=replace(day_sim("pair2")), compile=True)


@needs_compiler
def test_the_compiler_of_a_package_serves_where_none_is_installed(
    named: Named, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f'test "$1 $2" = "c++ -nostdlib++" || exit 9; shift 2; exec {REAL} "$@"'
    package = tmp_path / "ziglang"
    package.mkdir()
    (package / "__init__.py").touch()
    Path(named(script)).rename(package / "zig")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("GREENHOP_COMPILE_TIMEOUT_S", "120")
    monkeypatch.setattr(module, "COMPILERS", ())
    assert compiler() == (str(package / "zig"), "c++", "-nostdlib++")
    assert trouble() is None
    assert list((tmp_path / "cache" / "machine_code").glob("*.so"))


@pytest.mark.skipif(find_spec("ziglang") is None, reason="ziglang is not installed (greenhop[fast])")
def test_zig_makes_machine_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sim = replace(day_sim("pair2"))
    slow = HubEnv(sim=sim, compile=False)
    monkeypatch.setenv("GREENHOP_CACHE", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(module, "COMPILERS", ())
    fast = HubEnv(sim=replace(sim), compile=True)
    for env in (slow, fast):
        env.reset(seed=3)
    action = np.full(sim.action_size, 0.3, dtype=np.float32)
    assert np.isclose(slow.step(action)[1], fast.step(action)[1], rtol=1e-5)


def test_where_nothing_is_installed_the_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(module, "COMPILERS", ("no such compiler",))
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert compiler() is None
    assert str(trouble()).endswith("ziglang; install g++, or greenhop[fast] by pip)")


def test_a_file_that_is_no_program_is_refused(named: Named) -> None:
    path = Path(named(""))
    path.write_bytes(b"\x7fELF rubbish")
    assert "cannot be started" in str(trouble())


@needs_compiler
@pytest.mark.parametrize("arguments", ["{} -O0", "env {}", "env LANG=C {} -DNAME='a b'"])
def test_a_command_may_have_arguments(named: Named, monkeypatch: pytest.MonkeyPatch, arguments: str) -> None:
    named("")
    monkeypatch.setenv("CXX", arguments.format(REAL))
    monkeypatch.delenv("GREENHOP_COMPILE_TIMEOUT_S")
    command = compiler()
    assert command is not None
    assert len(command) == len(arguments.format("x").replace("'a b'", "ab").split())
    assert trouble() is None


@needs_compiler
def test_a_compiler_that_worked_once_is_not_tried_again(named: Named, monkeypatch: pytest.MonkeyPatch) -> None:
    named(f'exec {REAL} "$@"')
    monkeypatch.delenv("GREENHOP_COMPILE_TIMEOUT_S")
    assert trouble() is None
    module._trial.cache_clear()
    monkeypatch.setattr(module, "library", lambda *_: pytest.fail("tried again"))
    assert trouble() is None


OTHER = """
import torch
from greenhop.compiler.program import Program
x = torch.ones(1, 1)
print(float(Program(lambda _, x: x + 1.0, x, (x,), ["first"], ["first"]).batch_first(x, [x])[0]))
"""


@needs_compiler
def test_a_compiler_that_hangs_holds_up_no_process_with_a_good_one(
    named: Named, monkeypatch: pytest.MonkeyPatch
) -> None:
    named("sleep 600")
    monkeypatch.setenv("GREENHOP_COMPILE_TIMEOUT_S", "600")
    hanging = subprocess.Popen([sys.executable, "-c", OTHER], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        folder = Path(os.environ["GREENHOP_CACHE"]) / "machine_code"
        for _ in range(600):
            if list(folder.glob(".lock*")):
                break
            time.sleep(0.1)
        assert hanging.poll() is None
        monkeypatch.setenv("CXX", str(REAL))
        done = subprocess.run([sys.executable, "-c", OTHER], capture_output=True, text=True, timeout=300)
        assert done.stdout == "2.0\n", done.stderr
        assert hanging.poll() is None
    finally:
        hanging.terminate()
        hanging.communicate()


def test_a_limit_that_is_no_time_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for given in ("soon", "0", "-1", "nan", "inf"):
        monkeypatch.setenv("GREENHOP_COMPILE_TIMEOUT_S", given)
        with pytest.raises(ConfigError, match="GREENHOP_COMPILE_TIMEOUT_S"):
            module.limit_s()


def test_build_folders_vanish_and_those_of_killed_processes_are_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / f".build.left{ENDING}"
    left.mkdir()
    long_ago = time.time() - LEFT_BEHIND_S - 1.0
    os.utime(left, (long_ago, long_ago))
    with build_folder() as folder:
        assert list(tmp_path.iterdir()) == [folder]
    assert not list(tmp_path.iterdir())


def test_a_temporary_folder_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(CompilerError, match=r"nothing can be compiled in .*nowhere: No such file"), build_folder():
        pass
