"""Progress bars: lively on a terminal, a line now and then in a log; both with rate, time left and a note."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from tqdm import tqdm

TERMINAL_S, LOG_S = 0.2, 10.0  # least time between two redraws


class Update(Protocol):
    """How long work tells of its progress."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """`done` of `total` so far; `note` says how it goes. Another `total` begins another piece of work."""
        ...


@contextmanager
def progress_bar(title: str, unit: str) -> Iterator[Update]:
    """Yields `update(done, total, note)`; the bar appears at the first call."""
    bars: list[tqdm] = []  # type: ignore[type-arg]

    def update(done: int, total: int, note: str = "") -> None:
        if not bars:
            pause = TERMINAL_S if sys.stderr.isatty() else LOG_S
            bars.append(tqdm(None, title, total, unit=unit, dynamic_ncols=True, mininterval=pause, initial=done))
        bar = bars[0]
        if total != bar.total:
            bar.reset(total)
        bar.set_postfix_str(note, refresh=False)
        bar.update(done - bar.n)

    try:
        yield update
    finally:
        for bar in bars:
            bar.close()
