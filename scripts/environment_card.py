"""Write docs/environment.md from the code: python scripts/environment_card.py"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "environment.md"


def main() -> None:
    """Write the page."""
    ArgumentParser(description=__doc__).parse_args()
    from greenhop.cards.environment import environment_card

    PAGE.write_text(environment_card(), encoding="utf-8")


if __name__ == "__main__":
    main()
