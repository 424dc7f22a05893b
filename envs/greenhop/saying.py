"""What takes long says so: lines in the log of the package, now and then, so that nobody waits in silence.

A program that has set up no logging would drop them, so there they go to stderr as they are.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil
from threading import Event, Thread
from time import monotonic

log = logging.getLogger(__name__)

EVERY_S = 2.0  # between two lines
SILENCE_S = 2.3  # longest silence of what is at work and may be watched
PAUSE_S = 2.0  # what begins sooner after the last work is part of the same wait
LOG_S, WATCHED_S = 10.0, 600.0  # longest silence in a log that nobody watches any more, and when that begins
_last_s = float("-inf")
_hearts: list[Event] = []  # of what is at work, the innermost last
_since_s, _ended_s = float("-inf"), float("-inf")  # of the wait that the work belongs to, and of the last work


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
    with heartbeat(lambda seconds: say("%s: at work for %d s", title, ceil(seconds))):
        yield


@contextmanager
def heartbeat(tell: Callable[[float], None]) -> Iterator[None]:
    """Calls `tell(seconds so far)` whenever nothing was said for a while; of several, the innermost alone does."""
    global _since_s, _ended_s
    over, began = Event(), monotonic()
    if not _hearts and began - _ended_s > PAUSE_S:
        _since_s = began

    def beat() -> None:
        while not over.wait(SILENCE_S / 8):
            now = monotonic()
            longest = SILENCE_S if now - began < WATCHED_S or sys.stderr.isatty() else LOG_S
            if _hearts[-1:] == [over] and min(silent_s(), now - _since_s) >= longest:
                tell(now - began)

    heart = Thread(target=beat, daemon=True)
    _hearts.append(over)
    heart.start()
    try:
        yield
    finally:
        over.set()
        _hearts.remove(over)
        heart.join()
        _ended_s = monotonic()
