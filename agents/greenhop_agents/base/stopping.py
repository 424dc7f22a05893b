"""How a command ends early: by Ctrl-C, by SIGTERM, by a reader that went away; quietly, and its code says which."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130  # 128 + SIGINT, as shells say it
TERMINATED = 143  # 128 + SIGTERM
NOBODY_READS = 141  # 128 + SIGPIPE


class Terminated(KeyboardInterrupt):
    """SIGTERM, taken as Ctrl-C is: what is learnt is saved, children end."""


def exit_code(stop: KeyboardInterrupt) -> int:
    """The code that says what ended a command."""
    return TERMINATED if isinstance(stop, Terminated) else INTERRUPTED


def stop_of(number: int) -> type[KeyboardInterrupt]:
    """What a signal raises."""
    return Terminated if number == signal.SIGTERM else KeyboardInterrupt


@contextmanager
def stops_held() -> Iterator[None]:
    """Ctrl-C and SIGTERM are heard on leaving, so that nothing inside is left half done, such as a lock taken."""
    if threading.current_thread() is not threading.main_thread():  # which alone hears signals
        yield
        return
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: old for number, old in before.items() if old not in (None, signal.SIG_IGN)}
    for number in before:
        signal.signal(number, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
    if came:
        signal.raise_signal(came[0])


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated


@contextmanager
def quiet_end() -> Iterator[None]:
    """SIGTERM raises `Terminated` inside; either stop ends the process with one word, a closed pipe without any."""
    try:
        before = signal.signal(signal.SIGTERM, _terminate)
    except ValueError:  # not the main thread, which alone hears signals
        before = None
    try:
        yield
        sys.stdout.flush()
    except KeyboardInterrupt as stop:
        said = str(stop) or ("terminated" if isinstance(stop, Terminated) else "interrupted")
        sys.stderr.write(f"{said}\n")
        raise SystemExit(exit_code(stop)) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that Python's own last flush is quiet too
        raise SystemExit(NOBODY_READS) from None
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)
