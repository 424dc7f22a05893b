"""Machine code kept on disk: made once, read afterwards, made again where it cannot be read or does not fit."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor

from greenhop import saying
from greenhop.cache import Entry
from greenhop.compiler import cpu as module
from greenhop.compiler import toolchain
from greenhop.compiler.program import Program
from greenhop.compiler.toolchain import TRIAL, compiler
from tests.marks import needs_compiler

pytestmark = needs_compiler

INPUT = torch.arange(6.0).reshape(2, 3)
TABLE = torch.arange(4.0).reshape(2, 2)


def program_of(scale: float) -> Program:
    return Program(lambda _, x: x * scale + 1.0, TABLE, (INPUT[:1],), ["first"], ["first"])


def result(scale: float) -> Tensor:
    return program_of(scale).batch_first(TABLE, [INPUT])[0]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GREENHOP_CACHE", str(tmp_path))
    return tmp_path / "machine_code"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A word for every library that is compiled."""
    libraries: list[str] = []
    library = toolchain.library

    def make(*args: Any) -> Path:
        libraries.append("made")
        return library(*args)

    monkeypatch.setattr(toolchain, "library", make)
    return libraries


def test_machine_code_is_made_once(folder: Path, made: list[str]) -> None:
    for _ in range(2):
        torch.testing.assert_close(result(2.0), INPUT * 2.0 + 1.0)
    assert made == ["made"]


def one_byte_changed(good: bytes) -> bytes:
    middle = len(good) // 2
    return good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :]


@pytest.mark.parametrize(
    "broken",
    [
        one_byte_changed,
        lambda good: good[: len(good) // 2],
        lambda good: good[:-4096],
        lambda good: good + b"more",
        lambda _: b"",
        lambda _: b"no library",
    ],
    ids=["one byte", "half", "a page less", "longer", "empty", "rubbish"],
)
def test_damaged_machine_code_is_not_loaded_but_made_again_with_one_line(
    folder: Path, made: list[str], caplog: pytest.LogCaptureFixture, broken: Callable[[bytes], bytes]
) -> None:
    result(2.0)
    (file,) = folder.glob("*.so")
    good = file.read_bytes()
    file.unlink()
    file.write_bytes(broken(good))
    file.chmod(0o600)
    torch.testing.assert_close(result(2.0), INPUT * 2.0 + 1.0)
    assert made == ["made", "made"]
    (line,) = caplog.messages
    assert line.endswith("is refused (it is damaged) and made again")
    assert file.name in line
    assert [len(p.read_bytes()) for p in folder.glob("*.so")] == [len(good)]


def test_a_library_without_the_function_is_made_again(
    folder: Path, made: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result(2.0)
    (file,) = folder.glob("*.so")
    other = tmp_path / "other"
    other.mkdir()
    stranger = toolchain.library([TRIAL], compiler() or (), other, 60.0)
    made.clear()
    Entry("machine_code", file.stem.split("-")[0], ".so").keep(stranger.read_bytes())
    torch.testing.assert_close(result(2.0), INPUT * 2.0 + 1.0)
    assert made == ["made"]
    assert len(caplog.messages) == 1


def test_another_program_processor_compiler_option_or_width_is_another_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def files() -> int:
        return len(list(folder.glob("*.so")))

    result(2.0)
    result(3.0)
    assert files() == 2
    program_of(2.0).batch_first(TABLE, [torch.cat([INPUT] * 16)])  # fills vector registers
    assert files() == 3
    monkeypatch.setattr(toolchain, "FLAGS", (*toolchain.FLAGS, "-O0"))
    result(2.0)
    assert files() == 4
    monkeypatch.setattr(module, "_processor", lambda: ("another",))
    result(2.0)
    assert files() == 5


def test_a_folder_that_cannot_be_written_only_costs_the_time_to_compile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("GREENHOP_CACHE", os.fspath(blocked))
    torch.testing.assert_close(result(2.0), INPUT * 2.0 + 1.0)


def test_compiled_gymnasium_environments_give_the_eager_numbers() -> None:
    given: dict[str, Any] = {"split": "test", "overrides": ["episode.length_h=4"], "year_ids": [0]}
    eager, ours = (gym.make("greenhop:Pair2-v1", **given, compile=c) for c in (False, True))
    assert isinstance(eager.action_space, gym.spaces.Box)
    for seed in (1, 2):
        np.testing.assert_allclose(ours.reset(seed=seed)[0], eager.reset(seed=seed)[0], rtol=1e-5, atol=1e-5)
        for t in range(4):
            action = np.sin(t + np.arange(eager.action_space.shape[0]))
            one, two = ours.step(action), eager.step(action)
            np.testing.assert_allclose(one[0], two[0], rtol=1e-4, atol=1e-4)
            assert one[1] == pytest.approx(two[1], rel=1e-4)
            assert one[2:4] == two[2:4] == (t == 3, False)
            assert one[4] == pytest.approx(two[4], rel=1e-4, abs=0.1)
    batches = [gym.make_vec("greenhop:Pair2-v1", num_envs=3, **given, compile=c) for c in (False, True)]
    for batch in batches:
        batch.reset(seed=0)
    both = [batch.step(np.zeros(batch.action_space.shape))[:2] for batch in batches]
    for a, b in zip(*both, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_processes_that_want_the_same_code_wait_for_the_first(folder: Path, made: list[str]) -> None:
    with ThreadPoolExecutor(2) as pool:
        for x in pool.map(result, [2.0, 2.0]):
            torch.testing.assert_close(x, INPUT * 2.0 + 1.0)
    assert made == ["made"]


def test_what_takes_long_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "greenhop")
    result(2.0)
    assert not caplog.messages
    monkeypatch.setattr(saying, "_last_s", float("-inf"))
    monkeypatch.setattr("greenhop.compiler.program.machine_code.PART_SIZE", 1)
    result(3.0)
    assert caplog.messages[0].startswith("compiling machine code: 0 of ")
    assert len(caplog.messages) < 4
