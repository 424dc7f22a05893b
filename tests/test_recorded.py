"""Small batches in NumPy: the recorded program gives torch's numbers, and what cannot be recorded is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from greenhop.compiler.recorded import RecordError, record
from greenhop.engines.compiled import tick
from greenhop.engines.numpy_steps import NumpySteps
from greenhop.episode.simulator import build_simulator
from greenhop.gym.env import HubEnv
from greenhop.gym.tensor_env import TensorVectorEnv
from tests.sims import SCENARIOS, day_sim

SHORT = 4
MOST_LINES = 790  # of the program of a step of pair2


@pytest.mark.parametrize("name", [*SCENARIOS, "full"])
def test_a_recorded_day_is_that_of_torch(name: str) -> None:
    full = ["decoder.name=full", "episode.length_h=24"]
    sim = build_simulator("pair2", "test", overrides=full, year_ids=[0]) if name == "full" else day_sim(name)
    ours, theirs = TensorVectorEnv(sim, 2, lean=True), TensorVectorEnv(sim, 2)
    assert isinstance(ours.engine, NumpySteps)
    random = torch.Generator().manual_seed(0)
    torch.testing.assert_close(ours.reset(5), theirs.reset(5))
    for _ in range(24):
        action = torch.rand(2, sim.action_size, generator=random) * 2.4 - 1.2
        with torch.no_grad(), np.errstate(all="raise", under="ignore"):
            one, two = ours.step(action), theirs.step(action)
        for a, b in ((one[0], two[0]), (one[1], two[1]), (one[3], two[3])):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-5 * max(float(b.abs().max()), 1.0))
        for a, b in zip(tree_leaves(ours.carry), tree_leaves(theirs.carry), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-3)


def test_some_environments_begin_anew_and_the_others_go_on() -> None:
    sim = build_simulator("pair2", "test", overrides=[f"episode.length_h={SHORT}"], year_ids=[0])
    ours, theirs = TensorVectorEnv(sim, 3, lean=True), TensorVectorEnv(sim, 3)
    action = torch.zeros(3, sim.action_size)
    for env in (ours, theirs):
        env.step(action)
    torch.testing.assert_close(*(env.restart(np.array([False, True, False])) for env in (ours, theirs)))
    torch.testing.assert_close(*(env.step(action)[0] for env in (ours, theirs)), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(*(env.restart(np.ones(3, dtype=bool)) for env in (ours, theirs)))


def test_what_does_not_depend_on_the_inputs_is_not_computed_again() -> None:
    weight = torch.arange(3.0)
    program = record(
        lambda x: ((x * weight).sum(-1) + (weight * 2.0).sum(), (x * weight).sum(-1) * 1.0), torch.ones(2, 3)
    )
    names = set(program.__code__.co_names)
    assert names >= {"vecdot", "add"}
    assert not names & {"total", "multiply"}
    for ours, theirs in zip(program(np.full((2, 3), 2.0)), ([12.0, 12.0], [6.0, 6.0]), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_has_no_numpy_rule_is_left_to_torch() -> None:
    program = record(lambda x: x.flip(1) + x.new_ones(2).cummax(0).values, torch.ones(1, 2))
    np.testing.assert_array_equal(program(np.array([[1.0, 2.0]]))[0], [[3.0, 2.0]])


def _written(x: Tensor) -> Tensor:
    y = x * 2.0
    y[0] = 1.0
    return y


@pytest.mark.parametrize(
    "function",
    [_written, lambda x: x + torch.rand(2), lambda x: x if x.sum() > 0 else -x],
    ids=["writes", "draws", "asks"],
)
def test_what_may_differ_from_call_to_call_is_refused(function: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(RecordError):
        record(function, torch.ones(2))


def test_the_gymnasium_environment_takes_numpy_where_there_is_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    sim = day_sim("pair2")
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert isinstance(HubEnv(sim=sim).tensors.engine, NumpySteps)
    assert HubEnv(sim=sim, render_mode="ansi").tensors.engine is None


def test_the_program_of_a_step_stays_as_short_as_recorded() -> None:
    sim = day_sim("pair2")
    carry = sim.begin(torch.tensor([3]))
    program = record(lambda c, a: tick(sim, c, a), carry, torch.zeros(1, sim.action_size))
    assert len({line for *_, line in program.__code__.co_lines()}) <= MOST_LINES
