"""Progress bars: lively on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

TERMINAL_S, LOG_S = 0.2, 10.0  # least time between two redraws


@contextmanager
def progress_bar(title: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Yields `update(done, total)`; the bar appears at the first call."""
    bars: list[tqdm] = []  # type: ignore[type-arg]

    def update(done: int, total: int) -> None:
        if not bars:
            pause = TERMINAL_S if sys.stderr.isatty() else LOG_S
            bars.append(tqdm(total=total, desc=title, unit=unit, dynamic_ncols=True, mininterval=pause))
        bars[0].update(done - bars[0].n)

    try:
        yield update
    finally:
        for bar in bars:
            bar.close()
