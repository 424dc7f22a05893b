"""Machine code kept on disk: made once, read afterwards, made again where it cannot be read or does not fit."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor

from greenhop.compiler import cpu as module
from greenhop.compiler.program import Program
from greenhop.errors import ConfigError
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


def test_machine_code_is_made_once_and_made_again_where_the_file_is_broken(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.testing.assert_close(result(2.0), INPUT * 2.0 + 1.0)
    (file,) = folder.glob("*.so")
    good, made, library = file.read_bytes(), [], module._library

    def make(*args: Any) -> Path:
        made.append("again")
        return library(*args)

    monkeypatch.setattr(module, "_library", make)
    torch.testing.assert_close(result(2.0), INPUT * 2.0 + 1.0)
    assert not made
    for i, broken in enumerate((b"", b"no library", good[:200])):
        monkeypatch.setenv("GREENHOP_CACHE", str(tmp_path / str(i)))  # a path that this process has not loaded yet
        other = tmp_path / str(i) / "machine_code" / file.name
        other.parent.mkdir(parents=True)
        other.write_bytes(broken)
        torch.testing.assert_close(result(2.0), INPUT * 2.0 + 1.0)
        assert made.pop() == "again"
        assert len(other.read_bytes()) == len(good)


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
    monkeypatch.setattr(module, "FLAGS", (*module.FLAGS, "-O0"))
    result(2.0)
    assert files() == 4
    monkeypatch.setattr(module, "_processor", lambda: ("another",))
    result(2.0)
    assert files() == 5


def test_without_a_compiler_one_line_says_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match=r"compile=True needs a C\+\+ compiler.*no-such-compiler.*compile=False"):
        result(2.0)


def test_a_compiler_that_fails_is_named_in_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FLAGS", ("--no-such-option",))
    with pytest.raises(ConfigError, match=r"failed: .*no-such-option"):
        result(2.0)
    assert not list(folder.rglob("*.so"))


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
            assert one[2:4] == two[2:4] == (False, t == 3)
            assert one[4] == pytest.approx(two[4], rel=1e-4, abs=0.1)
    batches = [gym.make_vec("greenhop:Pair2-v1", num_envs=3, **given, compile=c) for c in (False, True)]
    for batch in batches:
        batch.reset(seed=0)
    both = [batch.step(np.zeros(batch.action_space.shape))[:2] for batch in batches]
    for a, b in zip(*both, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_processes_that_want_the_same_code_wait_for_the_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, library = [], module._library

    def make(*args: Any) -> Path:
        made.append(library(*args))
        return made[-1]

    monkeypatch.setattr(module, "_library", make)
    with ThreadPoolExecutor(2) as pool:
        for x in pool.map(result, [2.0, 2.0]):
            torch.testing.assert_close(x, INPUT * 2.0 + 1.0)
    assert len(made) == 1


def test_what_takes_long_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "greenhop")
    result(2.0)
    assert not caplog.messages
    monkeypatch.setattr(module, "LONG", 1)
    result(3.0)
    assert caplog.messages[0].startswith("compiling ")
