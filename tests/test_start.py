"""What a process that makes an environment need not do again: gates without a clock."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from greenhop.compiler.written import Written
from greenhop.engines.compiled import programs_of
from greenhop.engines.seen import name_of_step
from greenhop.episode.decoders.full import FullDecoder
from greenhop.episode.simulator import build_simulator
from tests.marks import needs_compiler
from tests.sims import day_sim

MADE_BY_ID = """
import json, sys
import gymnasium
env = gymnasium.make("greenhop:Pair2-v1", split="test", year_ids=[0])
env.reset(seed=0)
env.step(env.action_space.sample())
from greenhop.compiler.program import Program
heavy = [name for name in ("torch._dynamo", "sympy", "scipy.signal", "scipy.stats", "pandas") if name in sys.modules]
print(json.dumps({"compiled": Program.compiled, "followed": Program.followed, "heavy": heavy}))
"""


class OwnDecoder(FullDecoder):
    """A user's."""


def made_by_id() -> dict[str, Any]:
    ended = subprocess.run([sys.executable, "-c", MADE_BY_ID], capture_output=True, text=True, check=True)
    told: dict[str, Any] = json.loads(ended.stdout)
    return told


@pytest.mark.slow
@needs_compiler
def test_a_warm_process_follows_no_step_and_loads_nothing_that_only_making_needs() -> None:
    made_by_id()
    assert made_by_id() == {"compiled": 2, "followed": 0, "heavy": []}


def test_what_was_followed_is_the_same_read_from_the_cache() -> None:
    examples = (torch.ones(1, 3),)
    scale = torch.arange(3.0)

    def function(table: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x * scale + 1.0, (x > 0.0).all(1)

    made = Written.follow(function, torch.zeros(2, 3), examples, ["first"], "first", lambda _: 2, True)
    found = Written.unpacked(made.packed(), torch.device("cpu"))
    assert (found.code, found.numbers, found.results) == (made.code, made.numbers, made.results)
    assert [x.dtype for x in found.constants] == [x.dtype for x in made.constants]


def test_a_step_is_named_by_all_that_it_sees_and_not_by_its_world() -> None:
    sim = day_sim("pair2")
    name = name_of_step(sim)
    assert name == name_of_step(build_simulator("pair2", "val", overrides=["episode.length_h=24"], year_ids=[0]))
    dearer = replace(sim.params, diesel_cost_cny_per_mwh=sim.params.diesel_cost_cny_per_mwh + 1.0)
    shifted = replace(sim.params, slack=sim.params.slack + 1)
    others = [
        replace(sim, params=dearer),
        replace(sim, params=shifted),
        replace(sim, decoder=FullDecoder(sim.params)),
        replace(sim, observer=replace(sim.observer, leads=sim.observer.leads - 1)),
        day_sim("pair2", dtype=torch.float64),
        day_sim("tri3"),
    ]
    assert len({name, *map(name_of_step, others)}) == 1 + len(others)
    assert None not in map(name_of_step, others)


def test_a_decoder_of_a_users_own_is_followed_every_time() -> None:
    sim = day_sim("pair2")
    assert name_of_step(replace(sim, decoder=OwnDecoder(sim.params))) is None


@needs_compiler
def test_a_simulator_whose_numbers_were_changed_steps_by_them() -> None:
    sim = day_sim("pair2")
    assert programs_of(sim).step.numbers > 0
    free = replace(sim, params=replace(sim.params, cost_scale_cny=2.0 * sim.params.cost_scale_cny))
    texts = [str(programs_of(s).step.code) for s in (sim, free)]
    assert texts[0] != texts[1]


def test_backlogs_of_starts_read_from_the_cache_are_those_that_were_made() -> None:
    one, two = (build_simulator("pair2", "test", year_ids=[0, 1]) for _ in range(2))
    np.testing.assert_array_equal(one.bank.warm_mwh.numpy(), two.bank.warm_mwh.numpy())
    assert one.bank.warm_mwh.shape[0] == one.bank.n_starts
