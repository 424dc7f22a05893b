"""The training loop of the native agents: updates, validation, curves, checkpoints, and a clean stop on Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from greenhop.episode.simulator import Simulator
from greenhop_agents.base.progress import Update
from greenhop_agents.learners.checkpoint import load_checkpoint, save_checkpoint
from greenhop_agents.learners.learner import Learner
from greenhop_agents.learners.validation import Validation


@dataclass
class Schedule:
    """How long to train and how often to look, in environment steps."""

    total_steps: int
    validate_every: int
    checkpoint_every: int


class Stop:
    """Set by Ctrl-C: the update in progress is finished first, so that what is saved is whole."""

    asked = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """A second Ctrl-C interrupts at once."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def stop_on_interrupt() -> Iterator[Stop]:
    """Ctrl-C asks to stop instead of interrupting; only where signals can be handled (the main thread)."""
    stop = Stop()
    try:
        before = signal.signal(signal.SIGINT, stop)
    except ValueError:
        yield stop
        return
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass
class Training:
    """A native agent in its run folder."""

    learner: Learner
    name: str
    folder: Path
    schedule: Schedule
    identity: Mapping[str, Any]  # what must be equal for a checkpoint to fit
    validation: Validation | None
    leads: bool = True  # this process writes; its peers only compute
    steps: int = 0

    def resume(self) -> None:
        """Take up the last checkpoint of the run folder."""
        self.steps, state = load_checkpoint(self.folder / "checkpoints", self.identity)
        self.learner.restore(state["learner"])
        if self.validation is not None:
            self.validation.best_cny = state["best_cny"]

    def save(self) -> None:
        """Write a checkpoint."""
        if not self.leads:
            return
        best = self.validation.best_cny if self.validation else None
        state = {"learner": self.learner.state(), "best_cny": best}
        save_checkpoint(self.folder / "checkpoints", self.steps, state, self.identity)

    def run(self, update: Update) -> bool:
        """Train to the end; False where Ctrl-C ended it before. Either way the last state is saved."""
        total = self.schedule.total_steps
        writer = self._writer() if self.leads else None
        if self.steps == 0:
            self._write(writer, self._validate())
        with stop_on_interrupt() as stop:
            while self.steps < total and not stop.asked:
                began, before = perf_counter(), self.steps
                metrics = self.learner.learn_once(before / total)
                self.steps += self.learner.frames
                fps = self.learner.frames / (perf_counter() - began)
                self._write(writer, scalars(metrics, self.learner.sim) | {"time/fps": fps})
                if self._due(before, self.schedule.validate_every):
                    self._write(writer, self._validate())
                if self._due(before, self.schedule.checkpoint_every):
                    self.save()
                update(min(self.steps, total), total, self.validation.note() if self.validation else "")
            self.save()
        if writer is not None:
            writer.close()
        return self.steps >= total

    def _writer(self) -> SummaryWriter:
        """Curves; in a resumed run, what a killed process wrote after its last checkpoint is hidden."""
        return SummaryWriter(str(self.folder / "tensorboard"), purge_step=self.steps + 1 if self.steps else None)

    def _due(self, before: int, every: int) -> bool:
        return self.steps // every > before // every or self.steps >= self.schedule.total_steps

    def _validate(self) -> dict[str, float]:
        if self.validation is None:
            return {}
        return self.validation.measure(self.learner.policy(self.name), self.learner.actor.state_dict)

    def _write(self, writer: SummaryWriter | None, values: Mapping[str, float]) -> None:
        if writer is None:
            return
        for tag, value in values.items():
            writer.add_scalar(tag, value, self.steps)


def scalars(metrics: Mapping[str, Tensor], sim: Simulator) -> dict[str, float]:
    """Metrics of one update on the host, in one copy.

    `rollout/ep_rew_mean` is the saving over price following of an episode at the present pace, in rewards.
    """
    values = dict(zip(metrics, torch.stack([x.float() for x in metrics.values()]).tolist(), strict=True))
    return values | {"rollout/ep_rew_mean": values["rollout/saving_mean"] * sim.params.steps}
