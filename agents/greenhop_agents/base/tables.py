"""Tables on a terminal: as wide as they must be, never with cells cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDEST = 1000  # characters


def show(*parts: RenderableType) -> None:
    """Print tables and lines; where a terminal is narrower than a table, its lines run on instead of losing digits."""
    from rich.console import Console
    from rich.measure import Measurement

    console = Console()
    for part in parts:
        if isinstance(part, str):
            console.print(part, soft_wrap=True)
        else:
            needed = Measurement.get(console, console.options.update(width=WIDEST), part).maximum
            Console(width=max(console.width, needed)).print(part)
