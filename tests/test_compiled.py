"""The compiled environments: the eager numbers, one graph, no recompilation, nothing asked of the device."""

from __future__ import annotations

from functools import cache
from math import prod

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters
from torch.fx import Node
from torch.utils._pytree import tree_leaves

from greenhop.batch_last import batch_last, to_first, to_last
from greenhop.batch_last_rules import LayoutError
from greenhop.compiled import OPTIONS, CompiledSteps, chunk_sizes, tick
from greenhop.cuda_graph import GraphedSteps
from greenhop.env import HubEnv
from greenhop.errors import ConfigError
from greenhop.simulator import Simulator, build_simulator
from greenhop.state import Plan
from greenhop.vector_env import TensorVectorEnv
from scripts.speed_ways import traffic
from tests.sims import day_sim

SHORT = 4
CPU = torch.device("cpu")


CHUNK = 8
MOST_OPS, MOST_KB = 860, 55.0  # of an eager step of pair2
MOST_ELEMENTS = 4_100  # results of one environment's pointwise operations in the compiled graph
COPY = torch.ops.aten.clone.default  # where the batch is turned


@cache
def steps_of(num_envs: int) -> CompiledSteps:
    """Chunks of short episodes, compiled without code generation, which is slow; `begin` starts them anew."""
    sim = build_simulator("pair2", "test", overrides=[f"episode.length_h={SHORT}"], year_ids=[0])
    return CompiledSteps(sim, num_envs, CHUNK, backend="eager")


def pair(compiled: CompiledSteps) -> list[TensorVectorEnv]:
    """The same episodes eager and compiled."""
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
        ended = ours[2] | (np.arange(n) == t)
        torch.testing.assert_close(*(env.restart(ended) for env in envs), rtol=1e-4, atol=1e-4)
        for a, b in zip(tree_leaves(envs[1].carry), tree_leaves(envs[0].carry), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-3)


def test_chunks_of_episodes_that_end_and_begin_equal_the_eager_batch() -> None:
    assert_same_run(pair(steps_of(11)), steps=3 * SHORT)


def test_a_step_with_the_batch_last_equals_the_step() -> None:
    sim, n = day_sim("hub10"), 5
    carry, action = sim.begin(torch.arange(n) * 70), actions(sim, n, 1)[0]
    program = batch_last(lambda _, c, a: tick(sim, c, a), state=carry, given=action)
    with torch.no_grad():
        ours = program(*(to_last(x) for x in tree_leaves(carry)), action)
        after, seen = tick(sim, carry, action)
    inside = len(tree_leaves(after))
    ours = [*map(to_first, ours[:inside]), *ours[inside:]]
    for a, b in zip(ours, tree_leaves((after, seen)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-5 * max(float(b.abs().max()), 1.0))


@pytest.mark.slow
def test_what_inductor_makes_of_it_equals_the_step() -> None:
    """Compiles the step alone: the decoder doubles the time, and its graph is checked above."""
    sim, n = day_sim("pair2"), 8
    carry = sim.begin(torch.arange(n) * 40)
    plan = sim.decode(carry, actions(sim, n, 1)[0])
    given = plan[:-1]  # no dispatch
    program = batch_last(lambda _, both, __: (sim.advance(both[0], Plan(*both[1])), ()), state=(carry, given))
    body = torch.compile(program.body, fullgraph=True, dynamic=False, options=OPTIONS)
    with torch.no_grad():
        ours, theirs = body(*program.inputs), tree_leaves(sim.advance(carry, plan))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(to_first(a), b, rtol=1e-4, atol=2e-5 * max(float(b.abs().max()), 1.0))


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


def test_a_step_asks_nothing_of_the_device() -> None:
    compiled = steps_of(11)
    eager = TensorVectorEnv(compiled.sim, 11)
    action = torch.zeros(11, compiled.sim.action_size)
    assert traffic(lambda: eager.step(action)).syncs == 0
    assert traffic(lambda: compiled.program(*compiled.program.inputs)).syncs == 0  # what is compiled, uncompiled
    assert traffic(lambda: action.sum().item()).syncs == 1


def test_chunks_cover_the_batch_and_nearly_nothing_else() -> None:
    for num_envs in (1, 5, 8, 255, 256, 257, 1009, 16_384):
        chunks, size = chunk_sizes(num_envs, CPU, 256)
        assert num_envs <= chunks * size <= num_envs + 8 * chunks
        assert size <= 256
    assert chunk_sizes(65_536, torch.device("cuda"), 256) == (1, 65_536)


def test_what_mixes_environments_is_refused() -> None:
    with pytest.raises(LayoutError, match="mixes environments"):
        batch_last(lambda _, x, __: (x - x.mean(0), ()), state=torch.ones(3, 2))
    with pytest.raises(LayoutError, match="rule"):
        batch_last(lambda _, x, __: (x.roll(1, 1), ()), state=torch.ones(3, 2))


def test_look_ups_with_one_index_become_one() -> None:
    table, other, index = torch.arange(12.0).reshape(4, 3), torch.arange(4.0).reshape(4, 1), torch.tensor([3, 0])

    def both(i: Tensor) -> Tensor:
        return table.index_select(0, i) * other.index_select(0, i) + table.index_select(0, i)

    program = batch_last(lambda _, __, i: ((), both(i)), given=index)
    look_ups = [node for node in program.body.graph.nodes if node.target is torch.ops.aten.index_select.default]
    assert [node.meta["val"].shape for node in look_ups] == [(2, 4)]
    torch.testing.assert_close(program(index)[0], both(index))


def test_a_shared_table_may_be_another_one_later() -> None:
    index = torch.tensor([3, 0])
    table, other = torch.arange(12.0).reshape(4, 3), torch.arange(12.0).reshape(4, 3) + 50.0
    program = batch_last(lambda t, _, i: ((), t.index_select(0, i)), shared=table, given=index)
    torch.testing.assert_close(program(other, index)[0], other[index])


def test_a_compiled_env_has_no_pictures() -> None:
    with pytest.raises(ConfigError, match="compile"):
        HubEnv("pair2", "test", year_ids=[0], compile=True, render_mode="ansi")


def test_operations_and_bytes_of_a_step_stay_below_what_was_recorded() -> None:
    """Ceilings, a few per cent above what `scripts/speed.py` showed when they were written down."""
    sim, n = day_sim("pair2"), 64
    env = TensorVectorEnv(sim, n)
    action = torch.zeros(n, sim.action_size)
    with torch.no_grad():
        counted = traffic(lambda: env.step(action))
    assert counted.ops <= MOST_OPS
    assert counted.moved / n <= MOST_KB * 1e3
    graph = steps_of(11).program.body.graph
    arithmetic = [node for node in graph.nodes if torch.Tag.pointwise in tags(node) and node.target is not COPY]
    elements = [prod(node.meta["val"].shape) for node in arithmetic]
    assert sum(elements) / CHUNK <= MOST_ELEMENTS


def tags(node: Node) -> tuple[torch.Tag, ...]:
    return tuple(getattr(node.target, "tags", ()))


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
