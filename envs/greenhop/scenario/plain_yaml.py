"""YAML files of users, looked at before they are composed: aliases and interpolations that would grow without end.

A file of two kilobytes can stand for gigabytes (`b: [*a, *a, …]`, `c: [*b, *b, …]`), or for itself. Here it is counted
what would come of it, from the parser's events and without building anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from greenhop.errors import ConfigError, one_line

MOST_BYTES = 500_000  # the largest shipped file has 17 thousand
MOST_NODES = 50_000  # keys and values, aliases written out
MOST_DEPTH = 40
MOST_INTERPOLATIONS = 20  # each can double what it refers to
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_yaml(path: Path, resolve: bool = True) -> Any:
    """The contents of a YAML file as plain data, its interpolations resolved or left as they are.

    Raises:
        ConfigError: it cannot be read, is no YAML or would grow too large.
    """
    check_yaml(path)
    try:
        return OmegaConf.to_container(OmegaConf.load(path), resolve=resolve)
    except (OSError, yaml.YAMLError, OmegaConfBaseException, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: {one_line(error)}") from None


def check_yaml(path: Path) -> None:
    """Refuse a file that is no YAML, or would grow too large.

    Raises:
        ConfigError: in one line, why.
    """
    try:
        if not path.is_file():
            raise ConfigError(f"{path} is no file")
        if path.stat().st_size > MOST_BYTES:
            raise ConfigError(f"{path} has more than {MOST_BYTES} bytes")
        text = path.read_bytes().decode()
        count_nodes(yaml.parse(text, Loader=_LOADER))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not YAML: it holds bytes that are no UTF-8 text") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path}: {one_line(error)}") from None


def count_nodes(events: Iterator[Any]) -> int:
    """Keys and values of a document, aliases written out.

    Raises:
        ValueError: an alias inside what it stands for, or too many nodes, levels or interpolations.
    """
    open_nodes: list[tuple[str | None, int]] = []  # anchor and nodes so far of every collection around
    sizes: dict[str, int] = {}
    total = interpolations = 0
    for event in events:
        size = 1
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, 1))
            if len(open_nodes) > MOST_DEPTH:
                raise ValueError(f"nested more than {MOST_DEPTH} levels deep")
            continue
        if isinstance(event, yaml.ScalarEvent):
            interpolations += event.value.count("${")
            sizes |= {event.anchor: 1} if event.anchor else {}
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in open_nodes):
                raise ValueError(f"*{event.anchor} stands inside what it stands for, without end")
            size = sizes.get(str(event.anchor), 1)
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, size = open_nodes.pop()
            sizes |= {anchor: size} if anchor else {}
        else:
            continue
        if open_nodes:
            open_nodes[-1] = (open_nodes[-1][0], open_nodes[-1][1] + size)
        total = max(total, size, open_nodes[-1][1] if open_nodes else 0)
        if total > MOST_NODES:
            raise ValueError(f"stands for more than {MOST_NODES} keys and values")
        if interpolations > MOST_INTERPOLATIONS:
            raise ValueError(f"more than {MOST_INTERPOLATIONS} interpolations (${{…}})")
    return total
