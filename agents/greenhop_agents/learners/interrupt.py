"""Ctrl-C and SIGTERM while an agent trains: what is being done is finished first, so that what is saved is whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from greenhop_agents.base.stopping import STOPS, handled, stop_of


class Stop:
    """Set by either signal."""

    asked = 0  # the number of the signal

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """A second signal interrupts at once."""
        if self.asked:
            raise stop_of(number)
        self.asked = number


@contextmanager
def stop_on_interrupt() -> Iterator[Stop]:
    """Signals ask to stop instead of interrupting; only where signals can be handled (the main thread)."""
    stop = Stop()
    with handled(stop, STOPS):
        yield stop
