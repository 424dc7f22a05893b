"""Ctrl-C while an agent trains: what is being done is finished first, so that what is saved is whole."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Set by Ctrl-C."""

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
