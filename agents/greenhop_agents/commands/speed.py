"""How many environment steps a second, by scenario, batch and way of running, and how near the memory's limit.

Every way takes its turn in every repetition, so that ratios within a run mean something on a busy machine.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from greenhop.errors import ConfigError
from greenhop_agents.base.cli import pick_device, write_json
from greenhop_agents.base.hardware import name_of
from greenhop_agents.base.overrides import own_hydra
from greenhop_agents.studies.speed_ways import MODES, TWINS, WHOLE, Way, twins_are_here, ways_of

if TYPE_CHECKING:
    import torch
    from rich.table import Table

    from greenhop.episode.simulator import Simulator

WIDTH = 170  # of the table
COPY_BYTES = 2**27  # of the copy that shows the memory's speed: larger than any cache


def main(config: DictConfig) -> None:
    """Prepare, measure in turns, print; JSON last."""
    import torch
    from rich.console import Console

    unknown = sorted(set(config.modes) - set(MODES))
    if unknown:
        raise ConfigError(f"modes holds {', '.join(unknown)}; allowed: {', '.join(MODES)}")
    if set(config.modes) & TWINS and not twins_are_here():
        print("the twins live with the tests of a checkout, which this is not: not measured", file=sys.stderr)
    torch.set_num_threads(1)
    device = torch.device(pick_device(config.device))
    with own_hydra():
        simulators = {name: simulator(name, config.split, device) for name in config.scenarios}
    found: list[Way] = []
    with torch.no_grad():
        bandwidth = copy_bandwidth(device)
        for name, sim in simulators.items():
            for batch in config.batches:
                ways = ways_of(config, name, sim, batch, device)
                measure(ways, device, config.repetitions, config.seconds)
                found += ways
                Console(stderr=True).print(f"{name}: batch {batch} done", highlight=False)
    console = Console(width=WIDTH)
    console.print(as_table(found, bandwidth, f"{name_of(device)}, one thread"))
    for line in growth(found):
        console.print(line, highlight=False)
    write_json(config.json, [as_row(way, bandwidth) for way in found])


def simulator(name: str, split: Any, device: torch.device) -> Simulator:
    """A shipped scenario in one year of a split; overrides may follow its name, after spaces."""
    from greenhop.episode.simulator import build_simulator

    scenario, *overrides = name.split()
    return build_simulator(scenario, split, overrides=overrides, year_ids=[0], device=device)


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
    from greenhop.compiler.program import Program

    timed = clock(device)
    calls = []
    for way in ways:
        once = timed(way.step, 2) / 2
        calls.append(max(1, round(seconds / max(once, 1e-6))))
    for _ in range(repetitions):
        for way, n in zip(ways, calls, strict=True):
            before = Program.compiled
            way.seconds.append(timed(way.step, n) / n)
            way.recompiles += Program.compiled - before
    for way in ways:
        way.peak_mb = peak_mb(device)


def peak_mb(device: torch.device) -> float:
    """The most memory taken so far: by the process, or on the device."""
    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


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
    table.add_column("size", justify="right")
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
        "waits",
        "recompiles",
        "KB an env",
        "peak MB",
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
        counts = [str(way.ops or "–"), str(way.waits), str(way.recompiles)]
        memory = [f"{way.env_bytes / 1e3:.1f}", f"{way.peak_mb:,.0f}"]
        first = [way.scenario, str(way.size), f"{way.batch:,}", way.mode, f"{way.env_steps_per_s:,.0f}"]
        table.add_row(*first, *ratios, *traffic_, *counts, *memory)
    return table


def growth(ways: list[Way]) -> list[str]:
    """How the time of an env-step grows with links + regions × classes × slots, by way and batch."""
    lines = []
    for mode, batch in sorted({(way.mode, way.batch) for way in ways if way.mode in WHOLE}):
        alike = sorted((w for w in ways if (w.mode, w.batch) == (mode, batch)), key=lambda w: w.size)
        small, large = alike[0], alike[-1]
        if large.size > small.size:
            cost = small.env_steps_per_s / large.env_steps_per_s
            lines.append(
                f"{mode} at {batch:,}: links + regions × classes × slots grow {large.size / small.size:.1f}-fold from "
                f"{small.scenario} to {large.scenario}, the time of a step {cost:.1f}-fold"
            )
    return lines
