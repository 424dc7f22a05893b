"""What takes long says so: lines in the log of the package, now and then, so that nobody waits in silence.

A program that has set up no logging would drop them, so there they go to stderr as they are.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic

log = logging.getLogger(__name__)

EVERY_S = 2.0  # between two lines
SILENCE_S = 2.5  # longest silence of what is at work and may be watched
LOG_S, WATCHED_S = 10.0, 600.0  # longest silence in a log that nobody watches any more, and when that begins
_last_s = float("-inf")
_hearts: list[Event] = []  # of what is at work, the innermost last


def say(text: str, *values: object) -> None:
    """A line, unless one was said a moment ago."""
    if silent_s() >= EVERY_S:
        if log.hasHandlers():
            log.info(text, *values)
        else:
            sys.stderr.write(f"{text % values}\n")
        said()


def silent_s() -> float:
    """Seconds since anybody said something."""
    return monotonic() - _last_s


def said() -> None:
    """Somebody else said something just now."""
    global _last_s
    _last_s = monotonic()


@contextmanager
def at_work(title: str) -> Iterator[None]:
    """Around what may take long: a line with the time so far whenever nothing was said for a while."""
    with heartbeat(lambda seconds: say("%s: at work for %.0f s", title, seconds)):
        yield


@contextmanager
def heartbeat(tell: Callable[[float], None]) -> Iterator[None]:
    """Calls `tell(seconds so far)` whenever nothing was said for a while; of several, the innermost alone does."""
    over, began = Event(), monotonic()

    def beat() -> None:
        while not over.wait(SILENCE_S / 5):
            seconds = monotonic() - began
            longest = SILENCE_S if seconds < WATCHED_S or sys.stderr.isatty() else LOG_S
            if _hearts[-1:] == [over] and min(silent_s(), seconds) >= longest:
                tell(seconds)

    heart = Thread(target=beat, daemon=True)
    _hearts.append(over)
    heart.start()
    try:
        yield
    finally:
        over.set()
        _hearts.remove(over)
        heart.join()
