"""Where the jobs of a benchmark run: in this process, in processes of this machine, or on a Ray cluster.

Every engine yields each job as it ends, calls the same function with the same data and so gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from greenhop.errors import ConfigError
from greenhop_agents.base.workers import Submit, finished, worker_processes
from greenhop_agents.benchmark.jobs import Done, Job, carry_out


@dataclass(frozen=True)
class Resources:
    """`workers` processes; for Ray, the address of a cluster (None starts one here) and the GPUs a job takes."""

    workers: int = 1
    ray_address: str | None = None
    gpus_per_job: float = 0.0


Runner = Callable[[Sequence[Job]], Iterator[Done]]


@contextmanager
def inline(root: str, resources: Resources) -> Iterator[Runner]:
    """One after the other in this process: for debugging."""
    yield lambda jobs: (carry_out(job, root) for job in jobs)


@contextmanager
def local(root: str, resources: Resources) -> Iterator[Runner]:
    """In `workers` processes. If one dies (out of memory, say), what is left runs with one process for each job."""
    with worker_processes(resources.workers) as submit:
        yield lambda jobs: _in_pool(submit, jobs, root)


def _in_pool(submit: Submit, jobs: Sequence[Job], root: str) -> Iterator[Done]:
    left = {job.name: job for job in jobs}
    try:
        for future in finished([submit(carry_out, job, root) for job in jobs]):
            done = future.result()
            del left[done.job.name]
            yield done
    except BrokenProcessPool:
        for job in left.values():
            yield _alone(job, root)


def _alone(job: Job, root: str) -> Done:
    with worker_processes(1) as submit:
        try:
            return next(finished([submit(carry_out, job, root)])).result()
        except BrokenProcessPool:
            return Done(job, None, "its process died (out of memory, or killed)")


@contextmanager
def ray(root: str, resources: Resources) -> Iterator[Runner]:
    """On a Ray cluster; `root` must be a folder that all its machines see.

    Raises:
        ConfigError: Ray is not installed, or the cluster does not answer.
    """
    try:
        import ray as cluster
    except ImportError:
        raise ConfigError(
            "engine = 'ray' needs Ray, which is not installed: pip install 'greenhop[ray]', or use engine=local"
        ) from None
    ours = not cluster.is_initialized()
    if ours:
        _connect(cluster, resources)
    try:
        yield lambda jobs: _on_cluster(cluster, jobs, root, resources)
    finally:
        if ours:
            cluster.shutdown()


def _connect(cluster: Any, resources: Resources) -> None:
    here = {"num_cpus": resources.workers, "include_dashboard": False} if resources.ray_address is None else {}
    try:
        cluster.init(address=resources.ray_address, log_to_driver=False, logging_level="error", **here)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(f"ray.address = {resources.ray_address!r}: {error}") from None


def _on_cluster(cluster: Any, jobs: Sequence[Job], root: str, resources: Resources) -> Iterator[Done]:
    task = cluster.remote(num_cpus=1, num_gpus=resources.gpus_per_job, max_retries=0)(carry_out)
    waiting = {task.remote(job, root): job for job in jobs}
    while waiting:
        ready, _ = cluster.wait(list(waiting), num_returns=1)
        job = waiting.pop(ready[0])
        try:
            yield cluster.get(ready[0])
        except cluster.exceptions.RayError as error:
            yield Done(job, None, f"its worker died ({type(error).__name__})")


ENGINES: dict[str, Callable[[str, Resources], AbstractContextManager[Runner]]] = {
    "inline": inline,
    "local": local,
    "ray": ray,
}
