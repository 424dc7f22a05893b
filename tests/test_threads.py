"""Threads of machine code: they share out a batch, and nobody can tell from the results how many there were."""

from __future__ import annotations

import multiprocessing
import os
import threading

import pytest
import torch
from torch import Tensor

from greenhop.compiler.threads import LEAST, STEP, side_by_side, spans, threads_for
from greenhop.engines.compiled import CompiledSteps
from greenhop.engines.differentiable import CompiledOutcome
from greenhop.errors import ConfigError
from greenhop.gym.vector_env import HubVectorEnv
from tests.marks import needs_compiler
from tests.sims import day_sim

BATCH = 5 * LEAST + 3  # the last block of lanes overlaps the one before


@pytest.mark.parametrize("num_envs", [1, LEAST - 1, LEAST, 2 * LEAST, BATCH, 100 * LEAST + 1])
@pytest.mark.parametrize("threads", [1, 2, 3, 64])
def test_every_environment_has_one_thread_and_every_thread_enough_of_them(num_envs: int, threads: int) -> None:
    cut = spans(num_envs, threads)
    assert [e for first, last in cut for e in range(first, last)] == list(range(num_envs))
    assert len(cut) <= threads
    assert all(first % STEP == 0 for first, _ in cut)
    assert len(cut) == 1 or min(last - first for first, last in cut) > LEAST - STEP


def stepped(threads: int, steps: int = 3) -> list[Tensor]:
    """What a batch of a day of `pair2` comes to."""
    sim = day_sim("pair2")
    engine = CompiledSteps(sim, BATCH, threads=threads)
    engine.begin(torch.arange(BATCH) % len(sim.bank.starts))
    random = torch.Generator().manual_seed(0)
    seen = [engine.step(torch.rand(BATCH, sim.action_size, generator=random) * 2 - 1) for _ in range(steps)]
    return [*seen[-1], *engine.state]


def pulled(threads: int) -> list[Tensor]:
    """A gradient through a step of `pair2`."""
    sim = day_sim("pair2")
    random = torch.Generator().manual_seed(0)
    action = (torch.rand(BATCH, sim.action_size, generator=random) - 0.5).requires_grad_()
    carry, seen = CompiledOutcome(sim, threads)(sim.begin(torch.arange(BATCH) % len(sim.bank.starts)), action)
    total = seen.reward.sum() + seen.obs.square().sum() + carry.state.backlog_mwh.square().sum()
    return [*torch.autograd.grad(total, action), seen.reward]


@needs_compiler
@pytest.mark.parametrize("work", [stepped, pulled])
def test_any_number_of_threads_gives_the_same_bits(work: object) -> None:
    assert callable(work)
    alone = work(1)
    for threads in (2, 5):
        assert all(torch.equal(a, b) for a, b in zip(alone, work(threads), strict=True))


@needs_compiler
def test_an_environment_steps_with_as_many_threads_as_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []

    def count(calls: list[object]) -> None:
        used.append(len(calls))
        side_by_side(calls)  # type: ignore[arg-type]

    monkeypatch.setattr("greenhop.compiler.cpu.side_by_side", count)
    env = HubVectorEnv(2 * LEAST, sim=day_sim("pair2"), compile=True, threads=2)
    env.reset(seed=0)
    env.step(env.action_space.sample() * 0)
    assert used
    assert set(used) == {2}


def test_calls_run_side_by_side_in_threads_that_stay() -> None:
    met, seen = threading.Barrier(2, timeout=60), set()

    def call() -> None:
        met.wait()
        seen.add(threading.get_ident())

    for _ in range(3):
        side_by_side([call, call])
    assert len(seen) == 2


def test_what_a_thread_raises_is_raised() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        side_by_side([lambda: None, fail])


def test_threads_are_the_cores_of_the_process_unless_somebody_asks_for_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    for said, threads in (("", 4), ("2", 2), ("3,1", 3), ("16", 4), ("0", 4), ("many", 4)):
        monkeypatch.setenv("OMP_NUM_THREADS", said)
        assert threads_for(None) == threads
    assert threads_for(7) == 7
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: object())
    assert threads_for(None) == 1


@pytest.mark.parametrize("threads", [0, -1, True, 1.5])
def test_a_number_of_threads_that_cannot_be_is_refused(threads: int) -> None:
    with pytest.raises(ConfigError, match="threads"):
        threads_for(threads)
