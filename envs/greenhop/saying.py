"""What takes long says so: lines in the log of the package, now and then, so that nobody waits in silence.

A program that has set up no logging would drop them, so there they go to stderr as they are.
"""

from __future__ import annotations

import logging
import sys
from time import monotonic

log = logging.getLogger(__name__)

EVERY_S = 2.0  # between two lines
_last_s = float("-inf")


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
