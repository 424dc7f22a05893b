"""A disk cache for what is costly to make and fully determined by its inputs: world years, LP bounds, compiled steps.

It lives in `$GREENHOP_CACHE`, else in `~/.cache/greenhop`. Deleting it is always safe; a folder that cannot be written
or an entry that cannot be read only costs the time to compute again.

Machine code is among the entries, so nothing is taken on trust: folders are the user's own and closed to others, a name
holds the digest of what is inside, and what others own or can write, or what has another digest, is refused with one
line and made again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from greenhop.files import sweep, write_bytes

log = logging.getLogger(__name__)

KEPT_FILES = 256  # oldest entries beyond this many are deleted
OWN, OWN_FILE = 0o700, 0o600  # permissions of folders and entries
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
NO_LINKS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # for the writer of a pipe that lies in the place of an entry
DIGITS = 32  # of a digest in a name


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
    return digest.hexdigest()[:DIGITS]


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
    """The arrays stored under `key`, or what `make()` returns, which is then stored.

    Args:
        kind: folder of the cache, such as `worlds`.
        key: of the content, from `key_of`.
        make: computes the arrays where none are stored.
    """
    entry = Entry(kind, key, ".npz")
    if found := entry.find():
        with np.load(BytesIO(found.data), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    made = dict(make())
    packed = BytesIO()
    np.savez(packed, **made)  # type: ignore[arg-type]  # keyword names are data here
    with suppress(OSError):
        entry.keep(packed.getbuffer())
    return made


@dataclass(frozen=True)
class Found:
    """An entry that was checked: its file, and what is in it."""

    path: Path
    data: bytes


@dataclass(frozen=True)
class Entry:
    """What is kept under a key: a file `KEY-DIGEST.SUFFIX` in the folder of its kind."""

    kind: str
    key: str
    suffix: str

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return cache_dir(self.kind)

    def find(self) -> Found | None:
        """The entry, marked as used; None where there is none that can be trusted."""
        candidates = sorted(self.folder.glob(f"{self.key}-*{self.suffix}"))
        if not candidates or not _is_ours(self.folder):
            return None
        for path in candidates:
            try:
                return Found(path, self._checked(path))
            except FileNotFoundError:  # another process dropped it just now
                continue
            except OSError as error:
                log.warning("%s is refused (%s) and made again", path, error.strerror or error)
                with suppress(OSError):
                    path.unlink()
        return None

    def keep(self, data: bytes | memoryview) -> Path:
        """Write the entry whole or not at all, then drop what is old beside it.

        Raises:
            OSError: the cache cannot be written, or is not ours.
        """
        make_own(self.folder)
        if not _is_ours(self.folder):
            raise PermissionError(f"{self.folder} belongs to another user")
        path = self.folder / f"{self.key}-{self._digest(data)}{self.suffix}"
        write_bytes(path, data, OWN_FILE, through=False)
        for other in self.folder.glob(f"{self.key}-*{self.suffix}"):
            if other != path:
                other.unlink(missing_ok=True)
        sweep(self.folder)
        _drop_oldest(self.folder, self.suffix)
        return path

    def _digest(self, data: bytes | memoryview) -> str:
        """Of the content under this key: an entry that was renamed is not taken for another."""
        digest = hashlib.sha256(self.key.encode())
        digest.update(data)
        return digest.hexdigest()[:DIGITS]

    def _checked(self, path: Path) -> bytes:
        """What is in the file.

        Raises:
            OSError: it cannot be read, or is not to be trusted.
        """
        with os.fdopen(os.open(path, NO_LINKS | NO_WAIT), "rb") as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise OSError("no plain file")
            if _foreign(facts):
                raise OSError("it belongs to another user")
            if facts.st_mode & OTHERS_WRITE:
                raise OSError("others can write it")
            data = file.read()
        if path.stem != f"{self.key}-{self._digest(data)}":
            raise OSError("it is damaged")
        with suppress(OSError):
            os.utime(path)
        return data


def make_own(folder: Path) -> None:
    """Make a folder and those above it, closed to others.

    Raises:
        OSError: it cannot be made.
    """
    if not folder.is_dir():
        make_own(folder.parent)
        folder.mkdir(OWN, exist_ok=True)


def _is_ours(folder: Path) -> bool:
    """Whether only we can write in a folder; one of our own that is open to others is closed."""
    facts = folder.stat()
    if _foreign(facts):
        _say_once(f"{folder} belongs to another user: nothing is read from it or kept in it")
        return False
    if os.name == "posix" and facts.st_mode & OTHERS_WRITE:
        try:
            folder.chmod(OWN)
        except OSError:
            _say_once(f"others can write in {folder}: nothing is read from it or kept in it")
            return False
    return True


def _foreign(facts: os.stat_result) -> bool:
    return hasattr(os, "getuid") and facts.st_uid != os.getuid()


@cache
def _say_once(text: str) -> None:
    log.warning("%s", text)


def _drop_oldest(folder: Path, suffix: str) -> None:
    """Delete what was longest not used in a folder, beyond `KEPT_FILES`."""
    ages: dict[Path, float] = {}
    for path in folder.glob(f"*{suffix}"):
        with suppress(OSError):  # another process drops, too
            ages[path] = path.stat().st_mtime
    for old in sorted(ages, key=ages.__getitem__)[:-KEPT_FILES]:
        old.unlink(missing_ok=True)
