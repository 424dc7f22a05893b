"""How many environment steps a second, by scenario, batch and way of running, and how near the memory's limit.

Every way takes its turn in every repetition, so that ratios within a run mean something on a busy machine.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from omegaconf import DictConfig

from greenhop.errors import ConfigError
from greenhop_agents.cli import own_hydra, pick_device, run, write_json

sys.path.append(str(Path(__file__).resolve().parents[1]))  # the NumPy and Numba steps live with the tests

if TYPE_CHECKING:
    import torch
    from rich.table import Table
    from torch import Tensor

    from greenhop.config import ScenarioConfig
    from greenhop.simulator import Simulator

MODES = ("twin", "numba", "eager_step", "eager", "compiled", "graph")
WIDTH = 124  # of the table
COPY_BYTES = 2**27  # of the copy that shows the memory's speed: larger than any cache
SYNCS = ("aten::_local_scalar_dense", "aten::item", "aten::nonzero", "aten::is_nonzero")


@dataclass
class Way:
    """One way to run a batch of one scenario."""

    scenario: str
    batch: int
    mode: str
    device: str
    step: Callable[[], Any]
    env_steps: int  # of one call
    bytes_per_env_step: float  # read and written
    floor_bytes: float  # of them, what any implementation must: state, world row, action, results
    ops: int = 0  # operations launched by one call; not counted where they are compiled into one
    syncs: int = 0  # times one call waits for the device
    recompiles: int = 0  # after the warm-up
    seconds: list[float] = field(default_factory=list)  # per call, one number per repetition

    @property
    def env_steps_per_s(self) -> float:
        """Median over repetitions."""
        return self.env_steps / median(self.seconds)


def main(config: DictConfig) -> None:
    """Prepare, measure in turns, print; JSON last."""
    import torch
    from rich.console import Console

    from greenhop.scenarios import load_scenario

    unknown = sorted(set(config.modes) - set(MODES))
    if unknown:
        raise ConfigError(f"modes holds {', '.join(unknown)}; allowed: {', '.join(MODES)}")
    torch.set_num_threads(1)
    device = torch.device(pick_device(config.device))
    with own_hydra():
        scenarios = [load_scenario(name) for name in config.scenarios]
    found: list[Way] = []
    with torch.no_grad():
        bandwidth = copy_bandwidth(device)
        for scenario in scenarios:
            for batch in config.batches:
                ways = ways_of(config, scenario, batch, device)
                measure(ways, device, config.repetitions, config.seconds)
                found += ways
                Console(stderr=True).print(f"{scenario.name}: batch {batch} done", highlight=False)
    Console(width=WIDTH).print(as_table(found, bandwidth, f"{hardware_of(device)}, one thread"))
    write_json(config.json, [as_row(way, bandwidth) for way in found])


def hardware_of(device: torch.device) -> str:
    """The name of what runs the steps."""
    import torch

    from greenhop_agents.hardware import hardware

    return torch.cuda.get_device_name(device) if device.type == "cuda" else hardware()


def clock(device: torch.device) -> Callable[[Callable[[], Any], int], float]:
    """A function that times `n` calls: CPU seconds of this process, or the device's own seconds between two events."""
    import torch

    def on_cpu(call: Callable[[], Any], n: int) -> float:
        began = time.process_time()
        for _ in range(n):
            call()
        return time.process_time() - began

    def on_cuda(call: Callable[[], Any], n: int) -> float:
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        first.record()
        for _ in range(n):
            call()
        last.record()
        torch.cuda.synchronize(device)
        return float(first.elapsed_time(last)) / 1e3

    return on_cuda if device.type == "cuda" else on_cpu


def copy_bandwidth(device: torch.device) -> float:
    """Bytes read and written per second by a large copy."""
    import torch

    source = torch.ones(COPY_BYTES // 4, device=device)
    target, timed = torch.empty_like(source), clock(device)
    timed(lambda: target.copy_(source), 2)
    return 2 * COPY_BYTES / min(timed(lambda: target.copy_(source), 1) for _ in range(5))


def measure(ways: list[Way], device: torch.device, repetitions: int, seconds: float) -> None:
    """Time every way in turns; the first call, which compiles, does not count."""
    from torch._dynamo.utils import counters

    timed = clock(device)
    calls = []
    for way in ways:
        once = timed(way.step, 2) / 2
        calls.append(max(1, round(seconds / max(once, 1e-6))))
    for _ in range(repetitions):
        for way, n in zip(ways, calls, strict=True):
            before = counters["stats"]["unique_graphs"]
            way.seconds.append(timed(way.step, n) / n)
            way.recompiles += counters["stats"]["unique_graphs"] - before


def ways_of(config: DictConfig, scenario: ScenarioConfig, batch: int, device: torch.device) -> list[Way]:
    """The ways asked for that this batch and device allow, warmed up."""
    from greenhop.simulator import build_simulator

    sim = build_simulator(scenario, config.split, year_ids=[0], device=device)
    return [prepare(config, sim, batch, mode) for mode in config.modes if possible(config, mode, batch, device)]


def possible(config: DictConfig, mode: str, batch: int, device: torch.device) -> bool:
    """Whether a mode makes sense for this batch on this device."""
    on_cpu = device.type == "cpu"
    if mode == "graph":
        return not on_cpu
    if mode in ("twin", "numba"):
        return on_cpu and (mode == "numba" or batch == 1)
    return mode == "compiled" or batch <= config.largest_eager


def prepare(config: DictConfig, sim: Simulator, batch: int, mode: str) -> Way:
    """Build one way and run it once or twice."""
    import torch

    starts = torch.arange(batch, device=sim.params.device) * 37 % sim.bank.n_starts
    random = torch.Generator().manual_seed(0)
    action = (torch.rand(batch, sim.action_size, generator=random) * 2.0 - 1.0).to(sim.params.device)
    step, per_call = BUILD[mode](config, sim, starts, action)
    step()
    whole = mode in ("eager", "compiled", "graph")
    floor = floor_bytes(sim, starts, action, whole)
    way = Way(sim.params.name, batch, mode, sim.params.device.type, step, batch * per_call, floor, floor)
    if mode in ("eager_step", "eager"):
        counted = traffic(step)
        way.ops, way.syncs, way.bytes_per_env_step = counted.ops, counted.syncs, counted.moved / way.env_steps
    if mode in ("compiled", "graph"):
        # beyond the floor, rows and observations are transposed; what happens in between stays in the cache
        way.bytes_per_env_step = floor + 2 * row_bytes(sim, whole=True)
    return way


Built = tuple[Callable[[], Any], int]


def build_eager(config: DictConfig, sim: Simulator, starts: Tensor, action: Tensor) -> Built:
    """The whole step of `TensorVectorEnv`."""
    from greenhop.vector_env import TensorVectorEnv

    env = TensorVectorEnv(sim, len(starts))
    env.reset(starts=starts)
    return endless(sim, env.step, lambda: env.reset(starts=starts), action), 1


def build_compiled(config: DictConfig, sim: Simulator, starts: Tensor, action: Tensor) -> Built:
    """The whole step, compiled in chunks."""
    from greenhop.compiled import CompiledSteps

    engine = CompiledSteps(sim, len(starts), config.chunk)
    engine.begin(starts)
    if traffic(lambda: engine.program(*engine.program.inputs)).syncs:
        raise AssertionError("what is compiled waits for the device")
    return endless(sim, engine.step, lambda: engine.begin(starts), action), 1


def endless(
    sim: Simulator, step: Callable[[Tensor], Any], begin: Callable[[], Any], action: Tensor
) -> Callable[[], Any]:
    """Steps, beginning anew at the end of the episode."""
    t = 0

    def call() -> None:
        nonlocal t
        step(action)
        t += 1
        if t == sim.params.steps:
            begin()
            t = 0

    return call


def build_graph(config: DictConfig, sim: Simulator, starts: Tensor, action: Tensor) -> Built:
    """Several compiled steps in one CUDA graph."""
    from greenhop.cuda_graph import GraphedSteps

    graphed = GraphedSteps(sim, len(starts), config.graph_steps)
    graphed.begin(starts)
    graphed.action.copy_(action.expand_as(graphed.action))
    return graphed.replay, config.graph_steps


def build_step(config: DictConfig, sim: Simulator, starts: Tensor, action: Tensor) -> Built:
    """The step alone, from one state with one plan."""
    carry = sim.begin(starts)
    plan = sim.decode(carry, action)
    return (lambda: sim.advance(carry, plan)), 1


def build_numba(config: DictConfig, sim: Simulator, starts: Tensor, action: Tensor) -> Built:
    """The same by the Numba twin."""
    from tests.reference.numba_twin import numba_step, plain, plain_params

    carry = sim.begin(starts)
    given = (plain(carry.state), plain(sim.decode(carry, action)), plain(sim.unpack(carry)[0]))
    params = plain_params(sim.params)
    return (lambda: numba_step(params, *given)), 1


def build_twin(config: DictConfig, sim: Simulator, starts: Tensor, action: Tensor) -> Built:
    """The same by the NumPy twin, which knows one environment."""
    from tests.reference.twin import from_params, twin_step, unbatch

    carry = sim.begin(starts)
    given = (unbatch(carry.state), unbatch(sim.decode(carry, action)), unbatch(sim.unpack(carry)[0]))
    params = from_params(sim.params)
    return (lambda: twin_step(params, *given)), 1


BUILD: dict[str, Callable[[DictConfig, Simulator, Tensor, Tensor], Built]] = {
    "twin": build_twin,
    "numba": build_numba,
    "eager_step": build_step,
    "eager": build_eager,
    "compiled": build_compiled,
    "graph": build_graph,
}


def sizes(value: Any) -> int:
    """Bytes of all tensors in a nested value."""
    import torch
    from torch.utils._pytree import tree_leaves

    return sum(x.numel() * x.element_size() for x in tree_leaves(value) if isinstance(x, torch.Tensor))


def row_bytes(sim: Simulator, whole: bool) -> int:
    """Of one environment: the world row and, with the whole step, the observation."""
    return sim.bank.table.element_size() * (sim.bank.layout.width + (sim.obs_size if whole else 0))


def floor_bytes(sim: Simulator, starts: Tensor, action: Tensor, whole: bool) -> float:
    """Per env-step: state read and written, world row read, action or plan read, results written."""
    from greenhop.rewards import REPORTED

    one = sim.begin(starts[:1])
    if whole:
        results = sim.bank.table.element_size() * (sim.obs_size + len(REPORTED) + 1)
        return 2.0 * sizes(one.state) + row_bytes(sim, False) + sizes(action[:1]) + results
    plan = sim.decode(one, action[:1])
    return 2.0 * sizes(one.state) + row_bytes(sim, False) + sizes(plan) + sizes(sim.advance(one, plan)[1].cost_cny)


class Traffic(NamedTuple):
    """What one call does, operation by operation."""

    ops: int  # views aside
    moved: int  # bytes read and written
    syncs: int  # times the host waits for a value of the device


def traffic(step: Callable[[], Any]) -> Traffic:
    """Count the operations of one call that is not compiled."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
        ops, moved, syncs = 0, 0, 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            if not func.is_view:
                self.ops += 1
                self.moved += sizes(out) + (sizes(args) if "index_select" not in func.name() else sizes(out))
                self.syncs += func.name() in SYNCS
            return out

    with Count() as count:  # type: ignore[no-untyped-call]
        step()
    return Traffic(count.ops, count.moved, count.syncs)


def as_row(way: Way, bandwidth: float) -> dict[str, Any]:
    """One JSON record."""
    kept = {k: v for k, v in asdict(way).items() if k not in ("step", "seconds", "env_steps")}
    share = way.bytes_per_env_step * way.env_steps_per_s / bandwidth
    return {**kept, "env_steps_per_s": way.env_steps_per_s, "copy_bytes_per_s": bandwidth, "copy_share": share}


def as_table(ways: list[Way], bandwidth: float, hardware: str) -> Table:
    """All ways; `× eager` and `× numba` compare within scenario and batch."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=f"{hardware}; a copy moves {bandwidth / 1e9:.1f} GB/s", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("scenario")
    table.add_column("batch", justify="right")
    table.add_column("mode")
    for heading in (
        "steps/s",
        "× eager",
        "× numba",
        "KB a step",
        "floor KB",
        "% of copy",
        "ops",
        "syncs",
        "recompiles",
    ):
        table.add_column(heading, justify="right")
    for way in ways:
        beside = {w.mode: w.env_steps_per_s for w in ways if (w.scenario, w.batch) == (way.scenario, way.batch)}
        ratios = [f"{way.env_steps_per_s / beside[m]:.2f}" if m in beside else "–" for m in ("eager", "numba")]
        row = as_row(way, bandwidth)
        traffic_ = [
            f"{way.bytes_per_env_step / 1e3:.1f}",
            f"{way.floor_bytes / 1e3:.1f}",
            f"{100 * row['copy_share']:.1f}",
        ]
        counts = [str(way.ops or "–"), str(way.syncs), str(way.recompiles)]
        table.add_row(
            way.scenario, f"{way.batch:,}", way.mode, f"{way.env_steps_per_s:,.0f}", *ratios, *traffic_, *counts
        )
    return table


if __name__ == "__main__":
    run("speed", main)
