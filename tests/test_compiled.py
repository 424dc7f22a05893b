"""The compiled environments: the eager numbers, one graph, no recompilation, nothing asked of the device."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters
from torch.utils._pytree import tree_leaves

from greenhop.batch_last import LayoutError, batch_last, to_first, to_last
from greenhop.compiled import CompiledSteps, chunk_sizes, tick
from greenhop.env import HubEnv
from greenhop.errors import ConfigError
from greenhop.simulator import Simulator, build_simulator
from greenhop.vector_env import TensorVectorEnv
from tests.sims import day_sim

SHORT = 4
CPU = torch.device("cpu")


SYNCS = {"aten::_local_scalar_dense", "aten::item", "aten::nonzero", "aten::is_nonzero"}
CHUNK = 8


@cache
def steps_of(num_envs: int) -> CompiledSteps:
    """Chunks of short episodes, compiled without code generation, which is slow; `begin` starts them anew."""
    sim = build_simulator("pair2", "test", overrides=[f"episode.length_h={SHORT}"], year_ids=[0])
    return CompiledSteps(sim, num_envs, CHUNK, backend="eager")


def pair(compiled: CompiledSteps) -> list[TensorVectorEnv]:
    """The same episodes eager and compiled."""
    eager, ours = (TensorVectorEnv(compiled.sim, compiled.num_envs, seed=1) for _ in range(2))
    ours.compiled = compiled
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
        for a, b in ((ours[i], theirs[i]) for i in (0, 1, 3)):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-5 * max(float(b.abs().max()), 1.0))
        ended = ours[2] | (np.arange(n) == t)
        torch.testing.assert_close(*(env.restart(ended) for env in envs), rtol=1e-4, atol=1e-4)
        for a, b in zip(tree_leaves(envs[1].carry), tree_leaves(envs[0].carry), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-3)


def test_chunks_of_episodes_that_end_and_begin_equal_the_eager_batch() -> None:
    assert_same_run(pair(steps_of(11)), steps=3 * SHORT)


def test_a_step_with_the_batch_last_equals_the_step() -> None:
    sim, n = day_sim("hub10"), 5
    carry, action = sim.begin(torch.arange(n) * 70), actions(sim, n, 1)[0]
    program = batch_last(lambda c, a: tick(sim, c, a), carry, action)
    with torch.no_grad():
        ours = program(*(to_last(x) for x in tree_leaves((carry, action))))
        theirs = tick(sim, carry, action)
    for a, b in zip(tree_leaves(ours), tree_leaves(theirs), strict=True):
        torch.testing.assert_close(to_first(a), b, rtol=1e-4, atol=2e-5 * max(float(b.abs().max()), 1.0))


@pytest.mark.slow
def test_what_inductor_makes_equals_the_eager_batch() -> None:
    assert_same_run(pair(CompiledSteps(day_sim("pair2"), 16, CHUNK)), steps=6)


def test_stepping_is_one_graph_and_never_compiled_again() -> None:
    torch._dynamo.reset()
    counters.clear()
    env = pair(steps_of(11))[1]
    env.reset(seed=0)
    for action in actions(env.sim, 11, 2 * SHORT):
        with torch.no_grad():
            ended = env.step(action)[2] | (np.arange(11) == 5)
            env.restart(ended)
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]
    assert not counters["recompiles"]


@pytest.mark.parametrize("index", [0, 1], ids=["eager", "compiled"])
def test_a_step_asks_nothing_of_the_device(index: int) -> None:
    env = pair(steps_of(11))[index]
    env.reset(seed=0)
    action = torch.zeros(11, env.sim.action_size)
    env.step(action)
    with torch.profiler.profile() as profile:
        env.step(action)
    called = {event.key for event in profile.key_averages()}
    assert "aten::index_select" in called
    assert not SYNCS & called


def test_chunks_cover_the_batch_and_nearly_nothing_else() -> None:
    for num_envs in (1, 5, 8, 255, 256, 257, 1009, 16_384):
        chunks, size = chunk_sizes(num_envs, CPU, 256)
        assert num_envs <= chunks * size <= num_envs + 8 * chunks
        assert size <= 256
    assert chunk_sizes(65_536, torch.device("cuda")) == (1, 65_536)


def test_what_mixes_environments_is_refused() -> None:
    with pytest.raises(LayoutError, match="mixes environments"):
        batch_last(lambda x: x - x.mean(0), torch.ones(3, 2))
    with pytest.raises(LayoutError, match="rule"):
        batch_last(lambda x: x.flip(1), torch.ones(3, 2))


def test_look_ups_with_one_index_become_one() -> None:
    table, other, index = torch.arange(12.0).reshape(4, 3), torch.arange(4.0).reshape(4, 1), torch.tensor([3, 0])

    def both(i: Tensor) -> Tensor:
        return table.index_select(0, i) * other.index_select(0, i) + table.index_select(0, i)

    program = batch_last(both, index)
    assert [row.shape for row in program.rows([index])] == [(4, 2)]
    torch.testing.assert_close(to_first(program(to_last(index))), both(index))


def test_a_compiled_env_has_no_pictures() -> None:
    with pytest.raises(ConfigError, match="compile"):
        HubEnv("pair2", "test", year_ids=[0], compile=True, render_mode="ansi")
