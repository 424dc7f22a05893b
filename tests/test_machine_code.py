"""Compiled graphs kept on disk: made once, read afterwards, made again where they cannot be read or do not fit."""

from __future__ import annotations

import os
from pathlib import Path
from shutil import copyfile
from typing import Any
from zipfile import ZipFile

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from greenhop import compiled
from greenhop import machine_code as module
from greenhop.errors import ConfigError

INPUT = torch.arange(3.0)


def graph_of(scale: float) -> GraphModule:
    weight = torch.full((3,), scale)
    return make_fx(lambda x: [x * weight + 1.0])(INPUT)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GREENHOP_CACHE", str(tmp_path))
    return tmp_path / "machine_code"


@pytest.mark.slow
def test_machine_code_is_made_once_and_made_again_where_the_file_is_broken(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, expected = graph_of(2.0), INPUT * 2.0 + 1.0
    torch.testing.assert_close(module.machine_code(graph, [INPUT], {})(INPUT)[0], expected)
    (file,) = folder.glob("*")
    good = tmp_path / "good.pt2"
    copyfile(file, good)
    made: list[str] = []

    def make(*_: Any) -> Path:
        made.append("again")
        return good

    monkeypatch.setattr(module, "_package", make)
    torch.testing.assert_close(module.machine_code(graph, [INPUT], {})(INPUT)[0], expected)
    assert not made
    for broken in (b"", b"no package", good.read_bytes()[:-1000]):
        file.unlink()  # the library in use stays as it is
        file.write_bytes(broken)
        torch.testing.assert_close(module.machine_code(graph, [INPUT], {})(INPUT)[0], expected)
        assert made.pop() == "again"
        assert file.read_bytes() == good.read_bytes()


@pytest.mark.slow
def test_intermediate_results_live_on_the_stack(folder: Path) -> None:
    """What is asked of the heap is asked in every call; `torch` keeps the limit under a name that is no option."""
    many = torch.arange(200_000.0)

    def normal(x: torch.Tensor) -> list[torch.Tensor]:
        y = torch.exp(-x)
        return [y / y.sum()]

    (ours,) = module.machine_code(make_fx(normal)(many), [many], compiled.OPTIONS)(many)
    torch.testing.assert_close(ours, normal(many)[0])
    (file,) = folder.glob("*.pt2")
    with ZipFile(file) as package:
        (name,) = (name for name in package.namelist() if name.endswith(".wrapper.cpp"))
        source = package.read(name).decode()
    assert "_storage[200000]" in source


def test_another_graph_constant_shape_option_torch_or_processor_is_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [
        module._key(graph_of(2.0), [INPUT], {}),
        module._key(graph_of(3.0), [INPUT], {}),
        module._key(make_fx(lambda x: [x + 1.0])(INPUT), [INPUT], {}),
        module._key(graph_of(2.0), [INPUT.double()], {}),
        module._key(graph_of(2.0), [INPUT], {"realize_reads_threshold": 2}),
    ]
    assert module._key(graph_of(2.0), [INPUT], {}) == keys[0]
    with monkeypatch.context() as other:
        other.setattr(torch, "__version__", "0.0")
        keys.append(module._key(graph_of(2.0), [INPUT], {}))
    monkeypatch.setattr(module, "_processor", lambda: ("another",))
    keys.append(module._key(graph_of(2.0), [INPUT], {}))
    assert len(set(keys)) == len(keys)


def test_without_a_compiler_one_line_says_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import cpp_builder, exc

    def nothing() -> str:
        raise exc.InvalidCxxCompiler

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", nothing)
    with pytest.raises(ConfigError, match=r"compile=True needs a C\+\+ compiler.*compile=False"):
        module.machine_code(graph_of(2.0), [INPUT], {})


def test_compiled_gymnasium_environments_give_the_eager_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph stands in for the machine code made from it, which takes a minute; that is tested above."""
    monkeypatch.setattr(compiled, "machine_code", lambda graph, inputs, options: graph)
    given: dict[str, Any] = {"split": "test", "overrides": ["episode.length_h=4"], "year_ids": [0]}
    eager, ours = (gym.make("greenhop:Pair2-v0", **given, compile=c) for c in (False, True))
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
    batches = [gym.make_vec("greenhop:Pair2-v0", num_envs=3, **given, compile=c) for c in (False, True)]
    for batch in batches:
        batch.reset(seed=0)
    both = [batch.step(np.zeros(batch.action_space.shape))[:2] for batch in batches]
    for a, b in zip(*both, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_a_folder_that_cannot_be_written_only_costs_the_time_to_compile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("GREENHOP_CACHE", os.fspath(blocked))
    monkeypatch.setattr(module, "_package", lambda *_: blocked)
    monkeypatch.setattr(module, "_load", lambda path: lambda *_: [INPUT] if path == blocked else [])
    assert module.machine_code(graph_of(2.0), [INPUT], {})(INPUT) == [INPUT]
