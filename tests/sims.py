"""Simulators that several test files share, one world year each."""

from __future__ import annotations

from functools import cache

import torch

from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.scenario.config import Split

SCENARIOS = ("pair2", "tri3", "hub10")
DAY = ("episode.length_h=24",)


@cache
def day_sim(name: str, split: Split = "test", dtype: torch.dtype = torch.float32) -> Simulator:
    """A shipped scenario with day-long episodes in one year of a split."""
    return build_simulator(name, split, overrides=DAY, year_ids=[0], dtype=dtype)
