"""Processes killed while they make what the disk cache keeps: what is there is whole, what was finished is there.

`test_cache.py` kills writers of prepared arrays, which hits the disk; here the whole making is hit: worlds, bounds,
plans and machine code as users make them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from greenhop.cache import Entry
from tests.killing import kill_often
from tests.marks import needs_compiler

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="forks")]

NUMBERED = """
def place(number):  # the harness counts from a new thousand after every kill
    return number // 1000 * 16 + number % 1000
"""
WORLDS = """
from greenhop.scenario.find import load_scenario
from greenhop.scenario.join import build_params
from greenhop.world.bank import build_bank

scenario = load_scenario("pair2")

def write(number):
    other = scenario.model_copy(update={"seed": place(number)})
    build_bank(other, build_params(other), "test", [0])
"""
OPTIMA = """
from greenhop.episode.simulator import build_simulator
from greenhop_agents.scoring.bounds import episode_bounds, episode_plans

sim = build_simulator("pair2", "test", overrides=["episode.length_h=24"])

def write(number):
    {work}(sim, [place(number)])
"""
CODE = """
import torch
from greenhop.compiler.program import Program

x = torch.ones(8, 3)

def write(number):
    scaled = Program(lambda _, x: x * float(place(number)), x, (x[:1],), ["first"], ["first"])
    assert scaled.batch_first(x, [x])[0][0, 0] == place(number)
"""
MAKERS = {  # by kind: the script and the ending of its entries
    "worlds": (WORLDS, ".npz"),
    "bounds": (OPTIMA.format(work="episode_bounds"), ".npz"),
    "plans": (OPTIMA.format(work="episode_plans"), ".npz"),
    "machine_code": (CODE, ".so"),
}


@pytest.mark.parametrize("kind", ["worlds", "bounds", "plans", pytest.param("machine_code", marks=needs_compiler)])
def test_makers_killed_at_any_moment_leave_whole_entries(
    kind: str, kills: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GREENHOP_CACHE", str(tmp_path))
    script, suffix = MAKERS[kind]
    places: dict[str, Any] = {}
    exec(NUMBERED, places)
    finished: set[int] = set()
    for done in kill_often(NUMBERED + script, kills, measured=True):
        finished |= {places["place"](number) for number in done}
        kept = list((tmp_path / kind).rglob(f"*{suffix}"))
        assert len(kept) >= len(finished)
        for path in kept:
            entry = Entry(str(path.parent.relative_to(tmp_path)), path.stem.split("-")[0], suffix)
            assert entry.find()
    assert finished
    assert not caplog.messages
