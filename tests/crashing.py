"""A stand-in for jobs that may kill their process; imports nothing heavy, because child processes load it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import SimpleNamespace


@dataclass(frozen=True)
class FakeJob:
    """A job that is only a name."""

    name: str


def die_or_live(job: FakeJob, root: str) -> SimpleNamespace:
    """What `carry_out` does, without doing anything; a job called `bad` takes its process down."""
    if job.name == "bad":
        os._exit(9)
    return SimpleNamespace(job=job, result={"root": root}, error="")
