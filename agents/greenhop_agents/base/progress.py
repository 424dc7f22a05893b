"""Progress bars: lively on a terminal, a line now and then in a log; both with rate, time left and a note.

A bar that has nothing to tell still shows that time passes, so that nobody waits in silence.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Protocol

from tqdm import tqdm

from greenhop.saying import SILENCE_S, heartbeat, said

TERMINAL_S = 0.2  # least time between two redraws that somebody watches


class Update(Protocol):
    """How long work tells of its progress."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """`done` of `total` so far; `note` says how it goes. Another `total` begins another piece of work."""
        ...


@contextmanager
def progress_bar(title: str, unit: str) -> Iterator[Update]:
    """Yields `update(done, total, note)`; the bar appears at the first call, or when nothing was said for a while.

    Of processes that torchrun has started only the first one shows it.
    """
    if int(os.environ.get("RANK", "0")) > 0:
        yield lambda done, total, note="": None
        return
    bar = _Bar(title, unit)
    try:
        with heartbeat(lambda _: bar.show()):
            yield bar.update
    finally:
        bar.close()


class _Bar:
    """A bar that is not there before it is needed."""

    def __init__(self, title: str, unit: str) -> None:
        self._title, self._unit = title, unit
        self._bar: tqdm | None = None  # type: ignore[type-arg]
        self._alone = RLock()

    def update(self, done: int, total: int, note: str = "") -> None:
        """Redraw, if the last time was not a moment ago."""
        bar = self._there(total, done)
        if total != bar.total:
            bar.reset(total)
        bar.set_postfix_str(note, refresh=False)
        if bar.update(done - bar.n):
            said()

    def show(self) -> None:
        """Redraw now."""
        self._there(None, 0).refresh()
        said()

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()

    def _there(self, total: int | None, done: int) -> tqdm:  # type: ignore[type-arg]
        with self._alone:  # two threads may be the first
            if self._bar is None:
                pause = TERMINAL_S if sys.stderr.isatty() else SILENCE_S
                self._bar = tqdm(
                    desc=self._title,
                    total=total,
                    initial=done,
                    unit=self._unit,
                    mininterval=pause,
                    dynamic_ncols=True,
                )
                said()
            return self._bar
