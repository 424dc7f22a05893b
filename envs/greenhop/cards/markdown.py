"""Paragraphs and tables of a page of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import fill

PAGE_WIDTH = 140  # columns of its source


def paragraph(*lines: str) -> str:
    """A paragraph, wrapped where a line of the page may end."""
    return fill(" ".join(lines), PAGE_WIDTH, break_long_words=False, break_on_hyphens=False)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; cells may be anything that prints."""
    lines = [head, ["---"] * len(head), *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
