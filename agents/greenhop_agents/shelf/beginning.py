"""The beginning of a run folder: made whole, held by one process, and removed where nothing came of it."""

from __future__ import annotations

import logging
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from typing import Protocol

from omegaconf import DictConfig, OmegaConf

from greenhop.errors import ConfigError
from greenhop.files import new_folder, sweep, write_json, write_text
from greenhop.scenario.plain_yaml import load_yaml
from greenhop_agents.learners.weights import FACTS
from greenhop_agents.shelf.runs import CONFIG, SCHEMA, TRAINING, git_commit, versions

log = logging.getLogger(__name__)


class Sizes(Protocol):
    """A simulator, or what is known of one before its world is made."""

    @property
    def obs_size(self) -> int:
        """Length of an observation."""

    @property
    def action_size(self) -> int:
        """Length of an action."""


NOT_COMPARED = ("output", "resume", "json", "seeds")  # of a configuration: they do not change what is learnt


@contextmanager
def begun_run(folder: Path, config: DictConfig, sizes: Sizes) -> Iterator[None]:
    """A new run folder, which no other process may train in meanwhile.

    An error before anything was learnt removes it again.

    Raises:
        ConfigError: the folder exists already, or cannot be made.
    """
    made = [folder, *(p for p in folder.parents if not p.exists())]
    start_run(folder, config, sizes)
    try:
        with alone_in(folder):
            yield
    except Exception:
        if not is_learnt(folder):
            rmtree(folder, ignore_errors=True)
            for parent in made[1:]:
                with suppress(OSError):  # something else is there by now
                    parent.rmdir()
        raise


def start_run(folder: Path, config: DictConfig, sizes: Sizes) -> None:
    """Create the folder and write what is known before training, whole or not at all.

    A run of the same configuration that was cut short before anything was learnt makes room.

    Raises:
        ConfigError: the folder exists already, or cannot be made.
    """
    if folder.exists():
        if not _was_cut_short(folder, config):
            raise ConfigError(f"output = {str(folder)!r} exists already; name another folder")
        log.info("%s was cut short before anything was learnt; it begins anew", folder)
        with alone_in(folder):
            rmtree(folder)
    facts = {
        "schema": SCHEMA,
        "scenario": config.scenario.name,
        "obs_size": sizes.obs_size,
        "action_size": sizes.action_size,
        "agent": OmegaConf.to_container(config.agent, resolve=True),
        "seed": config.seed,
        "git_commit": git_commit(),
        "python": platform.python_version(),
        "packages": versions(),
    }
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        sweep(folder.parent)
        with new_folder(folder) as draft:
            write_text(draft / CONFIG, OmegaConf.to_yaml(config, resolve=True))
            write_json(draft / FACTS, facts)
    except OSError as error:
        raise ConfigError(f"output = {str(folder)!r} cannot be a run folder: {error.strerror}") from None


def _was_cut_short(folder: Path, config: DictConfig) -> bool:
    """Whether a run of this configuration ended in `folder` before anything was learnt."""
    if is_learnt(folder) or not (folder / FACTS).is_file():
        return False
    try:
        before = load_yaml(folder / CONFIG)
    except ConfigError:
        return False
    now = OmegaConf.to_container(OmegaConf.create(OmegaConf.to_yaml(config, resolve=True)))
    assert isinstance(now, dict)
    return all(before.get(key) == now.get(key) for key in {*before, *now} - {*NOT_COMPARED})


def is_learnt(folder: Path) -> bool:
    """Whether a run folder holds more than the beginning: a checkpoint, weights on the way, or the end."""
    return (folder / TRAINING).is_file() or any((folder / "checkpoints").glob("[!.]*"))


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """No other process may train in `folder` meanwhile, where the system can say so.

    Raises:
        ConfigError: one does.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"output = {str(folder)!r}: another process is training there") from None
        yield
    finally:
        os.close(handle)
