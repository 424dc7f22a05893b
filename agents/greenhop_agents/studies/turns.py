"""Environments stepped in turn: which may be asked for, and how fast each of them is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from time import process_time
from typing import NamedTuple

from greenhop import ENV_IDS
from greenhop.errors import ConfigError


class Stepping(NamedTuple):
    """What steps."""

    step: Callable[[], object]
    per_call: int  # environment steps of a call
    clock: Callable[[], float] = process_time


def check_asked(ids: Sequence[str], batches: Sequence[int]) -> None:
    """Refuse ids that are none of ours, without the namespace, and numbers of environments that are none.

    Raises:
        ConfigError: the first that is wrong.
    """
    unknown = [env_id for env_id in ids if env_id not in ENV_IDS]
    if unknown:
        raise ConfigError(f"ids holds {', '.join(unknown)}; allowed: {', '.join(ENV_IDS)}")
    if not batches or min(batches) < 1:
        raise ConfigError(f"batches = {list(batches)}; allowed: whole numbers from 1")


def in_turn(running: Sequence[Stepping], seconds: float, repetitions: int) -> list[float]:
    """Environment steps a second of each, all in turn for about `seconds`, `repetitions` times: medians."""
    rates: list[list[float]] = [[] for _ in running]
    for _ in range(repetitions):
        for r, own in zip(running, rates, strict=True):
            count, start = 0, r.clock()
            while r.clock() - start < seconds:
                r.step()
                count += r.per_call
            own.append(count / (r.clock() - start))
    return [median(own) for own in rates]
