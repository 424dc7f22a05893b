"""A table of jobs: one entry a job, arrays side by side."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from greenhop.arrays import Array, Bools, Ints
from greenhop.errors import DataError


@dataclass(frozen=True)
class JobTable:
    """N jobs in the order they were submitted; hours count from the begin of the episode.

    A job is `work_mwh` of IT energy, done at `rate_mw` while it runs: with all its `width` cards in one place, or not
    at all. It belongs to a deferrable class, whose window bounds how long it may take; `deadline_h` may be earlier.
    """

    submit_h: Array  # [N] negative: it was waiting already when the episode began
    work_mwh: Array  # [N]
    width: Ints  # [N] cards (or nodes) that run together
    rate_mw: Array  # [N] IT power while it runs
    kind: Ints  # [N] index of the deferrable class
    origin: Ints  # [N] index of the region that submits it
    due_step: Ints  # [N] last step in which its class still runs it
    deadline_h: Array  # [N] its own deadline; inf: the end of `due_step`
    checkpoint_gb: Array  # [N] data of the job's own that a move carries; 0: what its class says
    preemptible: Bools  # [N] may be suspended and moved after its first step
    after: Ints  # [N] job that must be over before it begins; −1: none
    name: Ints  # [N] what the job is called: its line in a trace, else its number

    def __len__(self) -> int:
        return len(self.submit_h)

    def taken(self, index: Ints | Bools | slice) -> JobTable:
        """The jobs at `index`."""
        return replace(self, **{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def ready_step(self, dt_h: float) -> Ints:
        """`[N]` first step in which a job may run: the first that begins when it has been submitted."""
        return np.maximum(np.ceil(self.submit_h / dt_h - 1e-9), 0).astype(np.int64)

    def check(self, n_regions: int, n_classes: int) -> JobTable:
        """The table itself.

        Raises:
            DataError: a job that cannot be, named by its place in the table.
        """
        rules: tuple[tuple[str, Bools], ...] = (
            ("submit_h is no number", ~np.isfinite(self.submit_h)),
            ("submitted before the job above it; sort the table", np.diff(self.submit_h, prepend=-np.inf) < 0),
            ("work_mwh must be above 0 and finite", ~(np.isfinite(self.work_mwh) & (self.work_mwh > 0))),
            ("width must be at least 1 card", self.width < 1),
            ("rate_mw must be above 0 and finite", ~(np.isfinite(self.rate_mw) & (self.rate_mw > 0))),
            (f"kind must lie in 0…{n_classes - 1}", (self.kind < 0) | (self.kind >= n_classes)),
            (f"origin must lie in 0…{n_regions - 1}", (self.origin < 0) | (self.origin >= n_regions)),
            ("due_step must not be negative", self.due_step < 0),
            ("its deadline is before it is submitted", ~(self.deadline_h > self.submit_h)),
            ("after must name a job above it, or be −1", (self.after < -1) | (self.after >= np.arange(len(self)))),
            (
                "checkpoint_gb must be at least 0 and finite",
                ~(np.isfinite(self.checkpoint_gb) & (self.checkpoint_gb >= 0)),
            ),
        )
        for why, wrong in rules:
            if wrong.any():
                raise DataError(f"job {int(np.argmax(wrong))}: {why}")
        return self


def joined(tables: list[JobTable]) -> JobTable:
    """One table of several without chains, in the order of submission (of the tables where that is equal)."""
    whole = {f.name: np.concatenate([getattr(t, f.name) for t in tables]) for f in fields(JobTable)}
    order = np.argsort(whole["submit_h"], kind="stable")
    return replace(JobTable(**{name: x[order] for name, x in whole.items()}), name=np.arange(len(order)))
