"""Threads that share out the environments of a batch among the cores: a pool that stays alive.

Environments are computed apart, eight or so to a register, so that neither the number of threads nor where one takes
over from another changes a bit.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from greenhop.errors import ConfigError

LEAST = 256  # environments worth waking a thread for: `hub10` takes 1 ms for them, waking 0.05 ms
STEP = 64  # a thread begins at a multiple of this: whole registers and blocks of them, and no shared cache line


def threads_for(asked: int | None) -> int:
    """How many threads: as many as asked, or one in a process that works for another, else one a core it may use.

    `OMP_NUM_THREADS` lowers what is not asked for.

    Raises:
        ConfigError: fewer than one is asked for.
    """
    if asked is not None:
        if type(asked) is not int or asked < 1:
            raise ConfigError(f"threads = {asked!r} must be a whole number of 1 or more, or None")
        return asked
    if multiprocessing.parent_process() is not None:
        return 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return min(usable, int(first)) if first.isdecimal() and int(first) else usable


def spans(num_envs: int, threads: int) -> list[tuple[int, int]]:
    """Ranges of environments, one for each thread that is worth waking."""
    count = max(1, min(threads, num_envs // LEAST))
    cuts = [num_envs * i // count // STEP * STEP for i in range(count)]
    return list(zip(cuts, [*cuts[1:], num_envs], strict=True))


def side_by_side(calls: Sequence[Callable[[], None]]) -> None:
    """Make all calls, the first one on this thread; those that release the interpreter's lock run at once."""
    others = [_pool(len(calls) - 1).submit(call) for call in calls[1:]]
    calls[0]()
    for other in others:
        other.result()


@cache
def _pool(size: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(size, thread_name_prefix="greenhop-step")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork
