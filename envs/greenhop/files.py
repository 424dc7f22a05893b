"""Files and folders written whole or not at all, and the remains of writers that were killed.

What is being written has a hidden name of its own that nobody can guess, beside the place where it shall be. It is
flushed to the disk and then renamed, so that a process killed at any moment leaves the old or the new, never a half.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO

ENDING = ".greenhop-draft"  # of what is being written
LEFT_BEHIND_S = 3600.0  # a draft that nobody has touched for so long is left by a killed process
OPEN_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


@contextmanager
def new_file(path: Path, mode: int = 0o666, through: bool = True) -> Iterator[BinaryIO]:
    """A file to write in; it takes the place of `path` when the block ends, and vanishes where the block fails.

    Args:
        path: in a folder that exists.
        mode: permissions, less those that the process masks.
        through: a link is followed, and into a device or pipe is written as it is; else either is replaced.

    Raises:
        OSError: it cannot be written.
    """
    if through and is_device(path):
        with path.open("ab") as device:
            yield device
        return
    path = path.resolve() if through else path
    draft = draft_of(path)
    handle = os.open(draft, OPEN_NEW, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """An empty folder to fill; it takes the place of `path` when the block ends, and vanishes where the block fails.

    Between the end of an older folder at `path` and the new one a killed process leaves neither.

    Raises:
        OSError: it cannot be written.
    """
    draft = draft_of(path)
    draft.mkdir()
    try:
        yield draft
        for file in draft.iterdir():
            flush(file)
        flush_folder(draft)
        shutil.rmtree(path, ignore_errors=True)
        draft.rename(path)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    flush_folder(path.parent)


def is_device(path: Path) -> bool:
    """Whether a name stands for a device, a pipe or what else is no file to be replaced, `/dev/stdout` among them."""
    try:
        return not stat.S_ISREG(path.stat().st_mode) or path.absolute().is_relative_to("/dev")
    except OSError:
        return False


def write_bytes(path: Path, data: bytes | memoryview, mode: int = 0o666, through: bool = True) -> None:
    """Write a file whole or not at all; see `new_file`."""
    with new_file(path, mode, through) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Write a file in UTF-8 whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: Path, data: Any) -> None:
    """Write plain data as indented JSON, whole or not at all."""
    write_text(path, json.dumps(data, indent=1) + "\n")


def draft_of(path: Path) -> Path:
    """A new hidden name beside `path`."""
    return path.with_name(f".{path.name[:40]}.{token_hex(8)}{ENDING}")


def flush(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def flush_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk; some systems cannot."""
    with suppress(OSError):
        flush(folder)


def sweep(folder: Path, older_than_s: float = LEFT_BEHIND_S) -> None:
    """Remove drafts of our own that killed processes left in `folder`."""
    newest = time.time() - older_than_s
    for draft in folder.glob(f".*{ENDING}"):
        with suppress(OSError):
            found = draft.lstat()
            if found.st_mtime > newest or (hasattr(os, "getuid") and found.st_uid != os.getuid()):
                continue
            if draft.is_dir() and not draft.is_symlink():
                shutil.rmtree(draft, ignore_errors=True)
            else:
                draft.unlink()
