"""Processes that work for this one: they end with it, however it ends, and leave Ctrl-C to it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, ParamSpec, Protocol, TypeVar

from greenhop_agents.base.stopping import stops_held

P = ParamSpec("P")
T = TypeVar("T")
PATIENCE_S = 5.0  # for a process that was asked to end
LISTENS_S = 1.0  # a signal that another thread took just before this one began to wait is heard after at most so long


class Submit(Protocol):
    """Hands work to the processes."""

    def __call__(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """What `work` will have returned."""
        ...


@contextmanager
def worker_processes(workers: int) -> Iterator[Submit]:
    """Processes that carry out what is submitted inside, one thread each.

    Where the block ends early, by an error, Ctrl-C or SIGTERM, they end at once.
    """
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin)

    def submit(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        with stops_held(), _interrupts_held():  # a process started here is deaf to Ctrl-C, even while it imports
            return pool.submit(work, *args, **kwargs)

    try:
        yield submit
    except BaseException:
        _end(pool)
        raise
    pool.shutdown()


def finished(jobs: Collection[Future[T]]) -> Iterator[Future[T]]:
    """What was submitted, as it ends; Ctrl-C and SIGTERM are heard meanwhile.

    `concurrent.futures.as_completed` takes locks that a stop at the wrong moment leaves taken: the pool never ends.
    """
    ended: SimpleQueue[Future[T]] = SimpleQueue()
    with stops_held():
        for job in jobs:
            job.add_done_callback(ended.put)
    for _ in jobs:
        yield _next_of(ended)


def _next_of(ended: SimpleQueue[T]) -> T:
    while True:
        try:
            return ended.get(timeout=LISTENS_S)
        except Empty:
            continue


@contextmanager
def _interrupts_held() -> Iterator[None]:
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(pool: ProcessPoolExecutor) -> None:
    """End the processes of a pool without waiting for their work."""
    processes: list[Any] = list((pool._processes or {}).values())
    manager: Any = pool._executor_manager_thread
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(PATIENCE_S)
        if process.is_alive():
            process.kill()
    if manager is not None:
        manager.join(PATIENCE_S)  # at exit Python would wake it by a pipe that it is closing, and say so


def _begin() -> None:
    """One thread for the work, and one that waits for the parent to be gone, which may have been killed."""
    import torch

    torch.set_num_threads(1)  # the same sums in the same order whoever works, and no quarrel over cores
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    Thread(target=follow, daemon=True).start()
