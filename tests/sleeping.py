"""Work that takes as long as it is told; imports nothing heavy, because child processes load it."""

from __future__ import annotations

import time
from dataclasses import dataclass


def sleep_long(seconds: float) -> float:
    """Nothing else."""
    time.sleep(seconds)
    return seconds


@dataclass(frozen=True)
class Sleeper:
    """The same as a method."""

    seconds: float

    def rest(self) -> float:
        """Sleep."""
        return sleep_long(self.seconds)
