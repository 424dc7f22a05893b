"""A disk cache for what is costly to make and fully determined by its inputs: world years, LP bounds, compiled steps.

It lives in `$GREENHOP_CACHE`, else in `~/.cache/greenhop`. Deleting it is always safe; a folder that cannot be written
or an entry that cannot be read only costs the time to compute again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Entry = TypeVar("Entry")
KEPT_FILES = 256  # oldest entries beyond this many are deleted


def cache_dir(kind: str) -> Path:
    """Where entries of one kind live."""
    root = os.environ.get("GREENHOP_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "greenhop") / kind


def key_of(*parts: Any) -> str:
    """A content key: SHA-256 over plain data (the order of sites and classes counts), arrays and bytes."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype.str}{part.shape}".encode() + np.ascontiguousarray(part).tobytes())
        else:
            digest.update(part if isinstance(part, bytes) else json.dumps(part).encode())
        digest.update(b"|")
    return digest.hexdigest()[:32]


@cache
def source_key(*names: str) -> str:
    """A key of the code and tables at `names` (folders and files inside the package): what other code made is not read.

    Names count as much as contents, so that moving a file makes everything that rests on it anew.
    """
    root = Path(str(files("greenhop")))
    found = sorted(p for name in names for p in ((root / name).rglob("*") if (root / name).is_dir() else [root / name]))
    used = [p for p in found if p.suffix in (".py", ".yaml")]
    return key_of(*(part for p in used for part in (p.relative_to(root).as_posix(), p.read_bytes())))


def cached(kind: str, key: str, make: Callable[[], Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """The arrays stored under `key`, or what `make()` returns, which is then stored."""
    path = cache_dir(kind) / f"{key}.npz"
    found = stored(path, _load)
    if found is not None:
        return found
    made = dict(make())
    with suppress(OSError):
        _store(path, made)
    return made


def stored(path: Path, read: Callable[[Path], Entry]) -> Entry | None:
    """What `read` makes of an entry, marked as used; None where there is none that can be read."""
    with suppress(OSError, ValueError, KeyError, EOFError):
        found = read(path)
        path.touch()
        return found
    return None


def _load(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _store(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    data = BytesIO()
    np.savez(data, **arrays)  # type: ignore[arg-type]  # keyword names are data here
    keep(path, data.getbuffer())


def keep(path: Path, data: bytes | memoryview) -> None:
    """Write an entry whole or not at all, then drop the oldest beside it.

    Raises:
        OSError: the cache cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.stem}.{os.getpid()}")
    draft.write_bytes(data)
    draft.replace(path)
    _drop_oldest(path)


def _drop_oldest(path: Path) -> None:
    """Delete what was longest not used beside `path`, beyond `KEPT_FILES`."""
    entries = sorted(path.parent.glob(f"*{path.suffix}"), key=lambda p: p.stat().st_mtime)
    for old in entries[:-KEPT_FILES]:
        old.unlink(missing_ok=True)
