"""Progress bars that stay quiet when nobody watches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def progress_bar(title: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Yields `update(done, total)`; the bar appears at the first call."""
    bars: list[tqdm] = []  # type: ignore[type-arg]

    def update(done: int, total: int) -> None:
        if not bars:
            bars.append(tqdm(total=total, desc=title, unit=unit, dynamic_ncols=True, mininterval=0.2))
        bars[0].update(done - bars[0].n)

    try:
        yield update
    finally:
        for bar in bars:
            bar.close()
