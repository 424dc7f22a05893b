"""How a command ends early: by Ctrl-C, by SIGTERM, by a reader that went away; quietly, and its code says which."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

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


_asked: list[int] = []  # stops since the command began


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    _asked.append(number)
    raise stop_of(number)


@contextmanager
def stops_win() -> Iterator[None]:
    """An error that a library has made of a stop, by a bare `except` or half-made objects, is that stop."""
    try:
        yield
    except Exception:
        if _asked:
            raise stop_of(_asked[-1]) from None
        raise


@contextmanager
def quiet_end() -> Iterator[None]:
    """SIGTERM raises `Terminated` inside; either stop ends the process with one word, a closed pipe without any."""
    _asked.clear()
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():  # which alone hears signals
        before[signal.SIGTERM] = signal.signal(signal.SIGTERM, _stop)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            before[signal.SIGINT] = signal.signal(signal.SIGINT, _stop)
    try:
        with stops_win():
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
        for number, handler in before.items():
            signal.signal(number, handler)
