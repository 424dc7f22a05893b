"""The disk cache: what is damaged, foreign or open to others is refused, said in one line and made again."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenhop import cache as module
from greenhop.cache import Entry, cached
from greenhop.files import ENDING, LEFT_BEHIND_S
from tests.killing import kill_often

ROWS = np.arange(6.0)
posix = pytest.mark.skipif(os.name != "posix", reason="permissions and owners are those of POSIX")
root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of the entries that `made_again` makes."""
    monkeypatch.setenv("GREENHOP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "worlds"


def fetch() -> list[str]:
    """Asks for the arrays of a key; a word where they had to be made."""
    made: list[str] = []

    def make() -> dict[str, Any]:
        made.append("made")
        return {"rows": ROWS}

    np.testing.assert_array_equal(cached("worlds", "key", make)["rows"], ROWS)
    return made


def entry_of(folder: Path) -> Path:
    (path,) = folder.glob("*.npz")
    return path


def other_arrays(path: Path) -> None:
    np.savez(path, other=np.zeros(3))
    path.chmod(0o600)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def to_link(path: Path) -> None:
    real = path.rename(path.with_name("real"))
    path.symlink_to(real)


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "one byte less": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "one bit flipped": flip,
    "empty": lambda path: path.write_bytes(b""),
    "other arrays": other_arrays,
    "a folder": to_folder,
    "a link": to_link,
    "writable by the group": lambda path: path.chmod(0o620),
    "writable by all": lambda path: path.chmod(0o602),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_cannot_be_trusted_costs_only_the_time_and_one_line(
    folder: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert fetch() == ["made"]
    DAMAGE[damage](entry_of(folder))
    assert fetch() == ["made"]
    (line,) = caplog.messages
    assert "is refused" in line
    assert "made again" in line
    if damage != "a folder":  # which stays for its owner to look at, and is refused each time
        assert fetch() == []


def test_an_entry_under_the_name_of_another_is_refused(folder: Path) -> None:
    cached("worlds", "first", lambda: {"rows": np.zeros(3)})
    fetch()
    ours, theirs = sorted(folder.glob("*.npz"), key=lambda p: p.name.startswith("first"))
    theirs.replace(folder / ours.name.replace(ours.stem.split("-")[1], theirs.stem.split("-")[1]))
    ours.unlink()
    assert fetch() == ["made"]


@posix
def test_folders_and_entries_are_closed_to_others(folder: Path) -> None:
    before = os.umask(0)
    try:
        fetch()
    finally:
        os.umask(before)
    assert [stat.S_IMODE(p.stat().st_mode) for p in (folder.parent, folder)] == [0o700, 0o700]
    assert stat.S_IMODE(entry_of(folder).stat().st_mode) == 0o600


@posix
def test_a_folder_of_ours_that_others_can_write_in_is_closed(folder: Path) -> None:
    fetch()
    folder.chmod(0o777)
    fetch()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@root
def test_entries_of_another_user_are_refused_and_made_again(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    fetch()
    os.chown(entry_of(folder), 1234, 1234)
    assert fetch() == ["made"]
    assert "another user" in caplog.text
    assert entry_of(folder).stat().st_uid == os.getuid()


@root
def test_a_folder_of_another_user_is_neither_read_nor_written(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    fetch()
    os.chown(folder, 1234, 1234)
    before = list(folder.iterdir())
    assert fetch() == ["made"]
    assert fetch() == ["made"]
    assert list(folder.iterdir()) == before
    assert [message for message in caplog.messages if "another user" in message] == caplog.messages[:1]


@posix
def test_a_folder_given_for_the_cache_keeps_its_own_permissions(folder: Path) -> None:
    folder.parent.mkdir()
    folder.parent.chmod(0o755)
    fetch()
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o755


def test_remains_of_killed_writers_are_swept(folder: Path) -> None:
    fetch()
    old, new = folder / f".old.0{ENDING}", folder / f".new.0{ENDING}"
    for draft in (old, new):
        draft.write_text("half")
    long_ago = time.time() - LEFT_BEHIND_S - 1.0
    os.utime(old, (long_ago, long_ago))
    Entry("worlds", "another", ".npz").keep(b"x")
    assert new.exists()
    assert not old.exists()


def test_the_oldest_entries_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_FILES", 2)
    for age, key in enumerate("abc"):
        path = Entry("worlds", key, ".npz").keep(key.encode())
        os.utime(path, (1000.0 + age, 1000.0 + age))
    Entry("worlds", "d", ".npz").keep(b"d")
    assert sorted(p.name[0] for p in folder.glob("*.npz")) == ["c", "d"]


def test_a_cache_that_cannot_be_written_only_costs_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GREENHOP_CACHE", str(tmp_path / "file"))
    assert fetch() == fetch() == ["made"]


WRITER = """
import numpy as np
from greenhop.cache import cached

def write(number):
    cached("worlds", f"{number:032x}", lambda: {"rows": np.full(100_000, float(number))})
"""


@posix
def test_writers_killed_at_any_moment_leave_whole_entries(
    folder: Path, kills: int, caplog: pytest.LogCaptureFixture
) -> None:
    for done in kill_often(WRITER, kills):
        kept = [p.stem.split("-")[0] for p in folder.glob("*.npz")]
        assert {f"{number:032x}" for number in done} <= set(kept)
        assert all(Entry("worlds", key, ".npz").find() for key in kept)
    assert not caplog.messages


@posix
def test_a_pipe_in_the_place_of_an_entry_is_not_waited_for(folder: Path) -> None:
    assert fetch() == ["made"]
    path = entry_of(folder)
    path.unlink()
    os.mkfifo(path, 0o600)
    assert fetch() == ["made"]
    assert entry_of(folder).is_file()
