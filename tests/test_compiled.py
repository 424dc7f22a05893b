"""The compiled environments: the eager numbers, one program, compiled once, nothing asked of the device."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from greenhop.compiler import cpu as machine_code
from greenhop.compiler import written
from greenhop.compiler.program import Program
from greenhop.compiler.unroll import UnrollError
from greenhop.engines.compiled import CompiledSteps, programs_of, say_slow
from greenhop.engines.cuda_graph import GraphedSteps
from greenhop.engines.differentiable import CompiledOutcome
from greenhop.engines.engine import Engine
from greenhop.engines.find import build_engine
from greenhop.engines.torch_steps import TorchSteps
from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.errors import ActionError, ConfigError
from greenhop.gym.env import HubEnv
from greenhop.gym.tensor_env import TensorVectorEnv
from greenhop.physics.state import Plan, Row, State
from greenhop.world.layout import Seen
from greenhop_agents.learners.rollout import ticker
from greenhop_agents.studies.speed_ways import traffic
from tests.marks import needs_compiler
from tests.sims import day_sim

pytestmark = needs_compiler

SHORT = 4
MOST_OPS, MOST_KB = 1_130, 68.0  # of an eager step of pair2
MOST_NUMBERS = 5_200  # that the straight-line program of the same step reads and computes


@cache
def steps_of(num_envs: int) -> CompiledSteps:
    """Short episodes; `begin` starts them anew."""
    sim = build_simulator("pair2", "test", overrides=[f"episode.length_h={SHORT}"], year_ids=[0])
    return CompiledSteps(sim, num_envs)


def pair(compiled: CompiledSteps) -> list[TensorVectorEnv]:
    """The same episodes in torch and compiled."""
    eager, ours = (TensorVectorEnv(compiled.sim, compiled.num_envs, seed=1) for _ in range(2))
    ours.engine = compiled
    return [eager, ours]


def actions(sim: Simulator, num_envs: int, steps: int) -> Tensor:
    random = np.random.default_rng(0).uniform(-1, 1, (steps, num_envs, sim.action_size))
    return torch.from_numpy(random.astype(np.float32))


def assert_same_run(envs: list[TensorVectorEnv], steps: int) -> None:
    """Observations, rewards, reports and restarts of a batch whose episodes end at different times."""
    sim, n = envs[0].sim, envs[0].num_envs
    first = [env.reset(seed=3) for env in envs]
    torch.testing.assert_close(*first)
    for t, action in enumerate(actions(sim, n, steps)):
        with torch.no_grad():
            ours, theirs = (env.step(action) for env in reversed(envs))
        assert ours[2].tolist() == theirs[2].tolist()
        for a, b in ((ours[0], theirs[0]), (ours[1], theirs[1]), (ours[3], theirs[3])):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-5 * max(float(b.abs().max()), 1.0))
        assert envs[1].engine.obs.shape == envs[0].engine.obs.shape
        ended = ours[2] | (np.arange(n) == t)
        torch.testing.assert_close(*(env.restart(ended) for env in envs), rtol=1e-4, atol=1e-4)
        for a, b in zip(tree_leaves(envs[1].carry), tree_leaves(envs[0].carry), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-3)


def test_episodes_that_end_and_begin_equal_the_eager_batch() -> None:
    assert_same_run(pair(steps_of(11)), steps=3 * SHORT)


@pytest.mark.parametrize("num_envs", [1, 2, 3, 19])
def test_few_environments_and_batches_that_fill_no_register_are_stepped_alike(num_envs: int) -> None:
    assert_same_run(pair(steps_of(num_envs)), steps=SHORT)


@pytest.mark.slow
def test_a_step_of_ten_hubs_equals_the_step() -> None:
    sim, n = day_sim("hub10"), 11
    ours, theirs = TensorVectorEnv(sim, n, compile=True), TensorVectorEnv(sim, n)
    starts = torch.arange(n) * 30
    torch.testing.assert_close(ours.reset(starts=starts), theirs.reset(starts=starts))
    for action in actions(sim, n, 3):
        with torch.no_grad():
            one, two = ours.step(action), theirs.step(action)
        for a, b in ((one[0], two[0]), (one[1], two[1]), (one[3], two[3])):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-5 * max(float(b.abs().max()), 1.0))


def test_nothing_is_compiled_after_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    env = pair(steps_of(11))[1]
    env.reset(seed=0)
    env.step(torch.zeros(11, env.sim.action_size))
    monkeypatch.setattr(machine_code, "machine_code", None)
    monkeypatch.setattr(written, "unroll", None)
    before = Program.compiled
    for action in actions(env.sim, 11, 2 * SHORT):
        with torch.no_grad():
            ended = env.step(action)[2] | (np.arange(11) == 5)
            env.restart(ended)
    assert Program.compiled == before > 0


def test_a_step_asks_nothing_of_the_device() -> None:
    sim = day_sim("pair2")
    eager, action = TensorVectorEnv(sim, 11), torch.zeros(11, sim.action_size)
    compiled = pair(steps_of(11))[1]
    compiled.reset(seed=0)
    for env in (eager, compiled):
        assert traffic(partial(env.step, action)).syncs == 0
    assert traffic(lambda: action.sum().item()).syncs == 1


@pytest.mark.parametrize("compile", [False, True])
def test_an_episode_that_ended_is_not_stepped_on(compile: bool) -> None:
    env = pair(steps_of(11))[int(compile)]
    env.reset(seed=0)
    for _ in range(SHORT + 1):
        env.step(torch.zeros(11, env.sim.action_size))
    with pytest.raises(ActionError, match="environment 0 has ended"):
        env.step(torch.zeros(11, env.sim.action_size))


def test_without_a_compiler_that_works_torch_steps_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sim = steps_of(11).sim  # made while there is a compiler and a world
    monkeypatch.setenv("GREENHOP_CACHE", str(tmp_path))  # no machine code from before
    monkeypatch.setenv("CXX", "no-such-compiler")
    say_slow.cache_clear()
    caplog.clear()
    assert all(isinstance(build_engine(replace(sim), 1, None), TorchSteps) for _ in range(2))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "no-such-compiler" in caplog.text
    with pytest.raises(ConfigError, match="no-such-compiler"):
        build_engine(replace(sim), 1, True)


def test_engines_of_one_simulator_follow_its_step_once() -> None:
    assert CompiledSteps(steps_of(9).sim, 2).programs is programs_of(steps_of(9).sim)


@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["copy", "pickle"])
def test_a_copy_of_an_engine_goes_on_bitwise_and_alone(compile: bool, copied: Callable[[Engine], Engine]) -> None:
    sim = steps_of(9).sim
    one = build_engine(sim, 9, compile)
    one.begin(torch.arange(9) * 30)
    first, *rest = actions(sim, 9, SHORT)
    with torch.no_grad():
        one.step(first)
        other = copied(one)
        kept = one.keep()
        for action in rest:
            for a, b in zip(one.step(action), other.step(action), strict=True):
                assert torch.equal(a, b)
        assert torch.equal(kept().t, torch.ones(9, dtype=torch.int64))
        again = copied(other)
        again.begin(torch.zeros(9, dtype=torch.int64))
        assert torch.equal(other.state.t, torch.full((9,), SHORT))


def test_another_world_with_the_same_physics_shares_the_program() -> None:
    steps = steps_of(9)
    other = build_simulator("pair2", "test", overrides=[f"episode.length_h={SHORT}"], year_ids=[1])
    ours, theirs = CompiledSteps(other, 9, steps.programs), TensorVectorEnv(other, 9)
    starts, action = torch.arange(9) * 30, actions(other, 9, 1)[0]
    torch.testing.assert_close(ours.begin(starts), theirs.reset(starts=starts))
    with torch.no_grad():
        torch.testing.assert_close(ours.step(action).obs, theirs.step(action)[0], rtol=1e-4, atol=1e-4)


class Trembling:
    """A decoder with random bids."""

    def __init__(self, sim: Simulator) -> None:
        self.parts, self._decoder = sim.decoder.parts, sim.decoder

    def __call__(self, action: Tensor, state: State, row: Row, seen: Seen) -> Plan:
        return self._decoder(torch.rand_like(action), state, row, seen)


def test_a_decoder_that_cannot_be_followed_is_left_to_torch_and_said_once_unless_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    plain = day_sim("pair2")
    sim = replace(plain, decoder=Trembling(plain))
    say_slow.cache_clear()
    env = HubEnv(sim=sim)
    HubEnv(sim=sim)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "step in torch" in caplog.text
    assert "draws numbers" in caplog.text
    assert isinstance(env.tensors.engine, TorchSteps)
    env.reset(seed=0)
    env.step(np.zeros(sim.action_size))
    with pytest.raises(UnrollError, match="draws numbers"):
        HubEnv(sim=sim, compile=True)
    with pytest.raises(UnrollError, match="draws numbers"):
        ticker(sim, True, derivative=False)
    assert not isinstance(ticker(sim, None, derivative=False), CompiledOutcome)
    assert isinstance(ticker(plain, None, derivative=False), CompiledOutcome)


def test_operations_and_bytes_of_a_step_stay_below_what_was_recorded() -> None:
    """Ceilings, a few per cent above what `scripts/speed.py` showed when they were written down."""
    sim, n = day_sim("pair2"), 64
    env = TensorVectorEnv(sim, n)
    action = torch.zeros(n, sim.action_size)
    with torch.no_grad():
        counted = traffic(lambda: env.step(action))
    assert counted.ops <= MOST_OPS
    assert counted.moved / n <= MOST_KB * 1e3
    assert steps_of(11).programs.step.numbers <= MOST_NUMBERS


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_graph_of_steps_equals_the_eager_batch_and_draws_anew() -> None:
    sim = build_simulator("pair2", "test", overrides=["episode.length_h=24"], year_ids=[0], device="cuda")
    random = torch.Generator("cuda").manual_seed(0)
    drawn: list[Tensor] = []

    def policy(obs: Tensor) -> Tensor:
        drawn.append(torch.rand(8, sim.action_size, generator=random, device="cuda") * 2.0 - 1.0)
        return drawn[-1]

    graphed = GraphedSteps(sim, 8, 4, policy, (random,))
    starts = torch.arange(8, device="cuda")
    env = TensorVectorEnv(sim, 8)
    env.reset(starts=starts)
    graphed.begin(starts)
    before = None
    for _ in range(3):
        done = graphed.replay()
        now = torch.stack(drawn[-4:]).clone()
        assert before is None or not torch.equal(before, now)
        before = now
        for t in range(4):
            _, reward, _, _ = env.step(now[t])
            torch.testing.assert_close(done.reward[t], reward, rtol=1e-4, atol=1e-4)


def test_a_cuda_graph_needs_cuda() -> None:
    with pytest.raises(ConfigError, match="cuda"):
        GraphedSteps(day_sim("pair2"), 8, 4)
