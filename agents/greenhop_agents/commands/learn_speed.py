"""How many environment steps a second learners make, updates included: eager, compiled, as a CUDA graph, by SB3."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from greenhop_agents.base.cli import pick_device, write_json
from greenhop_agents.base.hardware import name_of, waits
from greenhop_agents.base.overrides import own_hydra

if TYPE_CHECKING:
    from greenhop.episode.simulator import Simulator
    from greenhop_agents.learners.native import Native

WARM_UP = 4  # updates before the clock runs: what is compiled and captured does not count


def main(config: DictConfig) -> None:
    """Measure every learner in turn, print, JSON last."""
    import torch
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from greenhop.episode.simulator import build_simulator

    device = torch.device(pick_device(config.device))
    rows = []
    for scenario in config.scenarios:
        with own_hydra():
            sim = build_simulator(scenario, config.split, year_ids=[0], device=device)
        for name, wanted in config.learners.items():
            settings: Any = OmegaConf.to_container(wanted, resolve=True)
            rows.append({"scenario": scenario, "learner": name, **measure(sim, settings, config.updates)})
            Console(stderr=True).print(f"{scenario}: {name} done", highlight=False)
    table = Table(title=name_of(device), title_justify="left", box=SIMPLE_HEAD)
    for heading in ("scenario", "learner", "frames an update", "s an update", "frames/s", "waits", "GB on the device"):
        table.add_column(heading, justify="left" if heading in ("scenario", "learner") else "right")
    for row in rows:
        numbers = (f"{row['frames']:,}", f"{row['seconds']:.4f}", f"{row['frames_per_s']:,.0f}", str(row["syncs"]))
        table.add_row(row["scenario"], row["learner"], *numbers, f"{row['device_gb']:.2f}")
    Console(width=120).print(table)
    write_json(config.json, rows)


def measure(sim: Simulator, settings: dict[str, Any], updates: int) -> dict[str, Any]:
    """Median over `updates` updates of one learner: frames, seconds, frames a second, and times it waited."""
    import torch

    from greenhop_agents.learners.algorithms import find_algorithm
    from greenhop_agents.learners.native import Native

    on_gpu = sim.params.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    learner = find_algorithm(settings["kind"]).build(sim, {"name": settings["kind"], **settings}, 0)
    if isinstance(learner, Native):
        frames, seconds, syncs = _native(learner, updates, on_gpu)
    else:
        frames, seconds, syncs = _sb3(learner, updates)
    used = torch.cuda.max_memory_allocated() / 1e9 if on_gpu else 0.0
    rate = frames / seconds
    return {"frames": frames, "seconds": seconds, "frames_per_s": rate, "syncs": syncs, "device_gb": used}


def _native(learner: Native, updates: int, on_gpu: bool) -> tuple[int, float, int | str]:
    import torch

    for _ in range(WARM_UP + getattr(learner, "warmup", 0)):
        learner.learn_once(0.0)
    seconds = []
    for _ in range(updates):
        began = perf_counter()
        learner.learn_once(0.0)
        if on_gpu:
            torch.cuda.synchronize()
        seconds.append(perf_counter() - began)
    return learner.frames, median(seconds), waits(lambda: learner.learn_once(0.0)) if on_gpu else "–"


def _sb3(learner: Any, updates: int) -> tuple[int, float, str]:
    """PPO of Stable-Baselines3 through the adapter, on the device of the simulator."""
    model = learner.model
    frames = model.n_steps * model.n_envs
    model.learn(frames)
    seconds = []
    for _ in range(updates):
        began = perf_counter()
        model.learn(frames, reset_num_timesteps=False)
        seconds.append(perf_counter() - began)
    return frames, median(seconds), "–"
