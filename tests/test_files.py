"""Files and folders appear whole or not at all, and nothing is left where writing fails."""

from __future__ import annotations

import json
import os
import stat
import time
from io import TextIOWrapper
from pathlib import Path

import pytest

from greenhop.files import (
    ENDING,
    LEFT_BEHIND_S,
    draft_of,
    is_device,
    new_file,
    new_folder,
    sweep,
    write_bytes,
    write_json,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_the_place_of_the_old_one_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    write_text(path, "old")
    with new_file(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["x.txt"]


def test_a_file_that_fails_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    write_text(path, "old")
    with pytest.raises(TypeError), new_file(path) as file:
        json.dump(object(), TextIOWrapper(file))
    with pytest.raises(TypeError):
        write_json(path, object())
    assert path.read_text() == "old"
    assert names(tmp_path) == ["x.txt"]


def test_a_folder_takes_the_place_of_the_old_one_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "box"
    for content in ("old", "new"):
        with new_folder(path) as draft:
            (draft / content).write_text(content)
    assert names(path) == ["new"]
    with pytest.raises(FileNotFoundError), new_folder(path) as draft:
        (draft / "absent" / "half").write_text("")
    assert names(path) == ["new"]
    assert names(tmp_path) == ["box"]


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")
def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "x", "")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


def test_a_draft_is_never_written_into_what_is_there_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenhop.files.token_hex", lambda _: "guessed")
    victim, path = tmp_path / "victim", tmp_path / "x"
    victim.write_text("mine")
    draft_of(path).symlink_to(victim)
    with pytest.raises(FileExistsError):
        write_text(path, "theirs")
    with pytest.raises(FileExistsError), new_folder(path):
        pass
    assert victim.read_text() == "mine"
    assert draft_of(path).is_symlink()


def test_two_drafts_of_a_file_have_names_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / ("文" * 80)
    first, second = draft_of(path), draft_of(path)
    assert first != second
    with new_file(path) as one, new_file(path) as other:
        one.write(b"1")
        other.write(b"2")
    assert path.read_text() == "1"


def test_only_old_drafts_are_swept(tmp_path: Path) -> None:
    long_ago = time.time() - LEFT_BEHIND_S - 1.0
    for name in (f".old{ENDING}", f".young{ENDING}", f"visible{ENDING}", ".hidden"):
        (tmp_path / name).write_text("")
        if "young" not in name:
            os.utime(tmp_path / name, (long_ago, long_ago))
    folder = tmp_path / f".folder{ENDING}"
    folder.mkdir()
    (folder / "inside").write_text("")
    os.utime(folder, (long_ago, long_ago))
    sweep(tmp_path)
    assert names(tmp_path) == sorted([f".young{ENDING}", f"visible{ENDING}", ".hidden"])


@pytest.mark.skipif(os.name != "posix", reason="links and devices are those of POSIX")
def test_a_link_is_followed_unless_it_shall_be_replaced(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old")
    link.symlink_to(real)
    write_text(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    write_bytes(link, b"own", through=False)
    assert not link.is_symlink()
    assert real.read_text() == "new"
    assert names(tmp_path) == ["link", "real"]


@pytest.mark.skipif(os.name != "posix", reason="links and devices are those of POSIX")
def test_what_is_no_file_is_written_into_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_text(pipe, "through")
        assert os.read(reader, 100) == b"through"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert names(tmp_path) == ["pipe"]
    assert is_device(Path("/dev/null"))
    assert not is_device(tmp_path / "absent")
