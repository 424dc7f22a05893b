"""The machine's name, for figures that depend on it, and what it waits for."""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def name_of(device: torch.device) -> str:
    """What runs work on `device`: its card, or this machine."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else hardware()


def hardware() -> str:
    """Processor, usable cores and graphics card."""
    import torch

    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        pass  # not Linux: the short name must do
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    card = f", {torch.cuda.get_device_name(0)}" if torch.cuda.is_available() else ""
    return f"{name}, {cores} cores{card}"


def waits(call: Callable[[], Any]) -> int:
    """How often one call waits for the GPU."""
    import torch

    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            call()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("called a synchronizing" in str(w.message) for w in found)
