"""How a command ends early: by Ctrl-C, by SIGTERM, by a reader that went away; quietly, and its code says which."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130  # 128 + SIGINT, as shells say it
TERMINATED = 143  # 128 + SIGTERM
NOBODY_READS = 141  # 128 + SIGPIPE
USER_ERROR = 2  # a mistake of the user, or a disk that cannot be used
NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EIO)
STOPS = (signal.SIGINT, signal.SIGTERM)


class Terminated(KeyboardInterrupt):
    """SIGTERM, taken as Ctrl-C is: what is learnt is saved, children end."""


def exit_code(stop: KeyboardInterrupt) -> int:
    """The code that says what ended a command."""
    return TERMINATED if isinstance(stop, Terminated) else INTERRUPTED


def stop_of(number: int) -> type[KeyboardInterrupt]:
    """What a signal raises."""
    return Terminated if number == signal.SIGTERM else KeyboardInterrupt


@contextmanager
def handled(by: Callable[[int, FrameType | None], object], numbers: Iterable[int]) -> Iterator[None]:
    """Inside, these signals go to `by`; only in the main thread, which alone hears signals, does anything change."""
    here = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, by) for number in numbers} if here else {}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextmanager
def stops_held() -> Iterator[None]:
    """Ctrl-C and SIGTERM are heard on leaving, so that nothing inside is left half done, such as a lock taken."""
    came: list[int] = []
    heard = [number for number in STOPS if signal.getsignal(number) not in (None, signal.SIG_IGN)]
    with handled(lambda number, frame: came.append(number), heard):
        yield
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
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else somebody hears it already
    with handled(_stop, STOPS if ours else (signal.SIGTERM,)):
        try:
            with stops_win():
                yield
            sys.stdout.flush()
        except KeyboardInterrupt as stop:
            said = str(stop) or ("terminated" if isinstance(stop, Terminated) else "interrupted")
            sys.stderr.write(f"{said}\n")
            raise SystemExit(exit_code(stop)) from None
        except SystemExit as end:
            if isinstance(end.__context__, BrokenPipeError):  # as Rich ends it
                raise SystemExit(NOBODY_READS) from None
            raise
        except BrokenPipeError:
            _forget_output()
            raise SystemExit(NOBODY_READS) from None
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            _forget_output()
            sys.stderr.write(f"error: {error.strerror}: {error.filename or 'standard output'}\n")
            raise SystemExit(USER_ERROR) from None


def _forget_output() -> None:
    """Let what was not printed yet go nowhere, so that Python's own last flush is quiet too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
