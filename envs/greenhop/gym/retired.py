"""Ids of environments that are no more."""

from __future__ import annotations

from typing import Any, NoReturn

from greenhop.errors import ConfigError


def retired(replaced_by: str, **asked: Any) -> NoReturn:
    """Says which id has taken the place of the one that was asked for.

    Raises:
        ConfigError: always.
    """
    raise ConfigError(
        f"{replaced_by.replace('-v1', '-v0')} is no more: make {replaced_by}, whose actions, ends of episodes and "
        "rewards are others (docs/migration.md)"
    )
