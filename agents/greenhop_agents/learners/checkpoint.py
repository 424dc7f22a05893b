"""Checkpoints that survive a crash and cannot execute anything: tensors in safetensors, all else in JSON.

    checkpoints/0000120/tensors.safetensors   every tensor, by dotted name
    checkpoints/0000120/state.json            schema, digest of the tensors, configuration hash, everything else
    checkpoints/latest                        name of the last complete checkpoint, replaced after it

A checkpoint is written whole or not at all; only then does `latest` point to it. A process killed at any moment leaves
the one before.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from greenhop.errors import ConfigError
from greenhop.files import new_folder, sweep, write_text

SCHEMA = 1
KEPT = 2  # complete checkpoints that stay on disk
TENSORS, STATE, LATEST = "tensors.safetensors", "state.json", "latest"
PLAIN = (str, int, float, bool, type(None))


def config_hash(config: Any) -> str:
    """SHA-256 of a plain configuration, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def split_state(state: Any, at: str = "") -> tuple[dict[str, Tensor], Any]:
    """Separate a nest of dicts, lists, plain values and tensors into tensors by path and the JSON that is left.

    Raises:
        TypeError: something that is neither.
    """
    if isinstance(state, Tensor):
        return {at: state}, {"tensor": at}
    if isinstance(state, PLAIN):
        return {}, state
    if isinstance(state, Mapping):
        pairs = [(str(key), key, value) for key, value in state.items()]
        parts = {name: (key, *split_state(value, f"{at}.{name}" if at else name)) for name, key, value in pairs}
        tensors = {path: x for _, found, _ in parts.values() for path, x in found.items()}
        return tensors, {"items": [[key, rest] for key, _, rest in parts.values()]}
    if isinstance(state, list | tuple):
        found = [split_state(value, f"{at}.{i}") for i, value in enumerate(state)]
        return {path: x for tensors, _ in found for path, x in tensors.items()}, {"list": [rest for _, rest in found]}
    raise TypeError(f"{at}: {type(state).__name__} cannot be kept in a checkpoint")


def join_state(tensors: Mapping[str, Tensor], rest: Any) -> Any:
    """The inverse of `split_state`; tuples come back as lists."""
    if not isinstance(rest, dict):
        return rest
    if "tensor" in rest:
        return tensors[rest["tensor"]]
    if "items" in rest:
        return {key: join_state(tensors, value) for key, value in rest["items"]}
    return [join_state(tensors, value) for value in rest["list"]]


def save_checkpoint(folder: Path, step: int, state: Mapping[str, Any], config: Any) -> Path:
    """Write one checkpoint under `folder`, whole or not at all, and drop old ones."""
    tensors, rest = split_state(state)
    data = save({name: x.detach().cpu().contiguous().clone() for name, x in tensors.items()})
    facts = {
        "schema": SCHEMA,
        "step": step,
        "config_hash": config_hash(config),
        "tensors_sha256": hashlib.sha256(data).hexdigest(),
        "state": rest,
    }
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"{step:09d}"
    if _latest(folder) == final.name:
        return final  # the same step of the same run: nothing has changed
    with new_folder(final) as draft:
        (draft / TENSORS).write_bytes(data)
        (draft / STATE).write_text(json.dumps(facts), encoding="utf-8")
    write_text(folder / LATEST, final.name)
    _drop_old(folder, final.name)
    return final


def _latest(folder: Path) -> str | None:
    """What `latest` points to, if there is one."""
    path = folder / LATEST
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _drop_old(folder: Path, latest: str) -> None:
    """Remove what killed processes left, and all but the last complete checkpoints."""
    sweep(folder, older_than_s=0.0)  # one process trains here
    complete = sorted(p for p in folder.iterdir() if p.name.isdigit() and p.name != latest)
    for old in complete[: -KEPT + 1]:
        shutil.rmtree(old, ignore_errors=True)


def load_checkpoint(folder: Path, config: Any) -> tuple[int, dict[str, Any]]:
    """Step and state of the last complete checkpoint under `folder`.

    Nothing but JSON and safetensors is read, so a hostile file can be refused but not run.

    Raises:
        ConfigError: none there, another schema or configuration, or a damaged or foreign file.
    """
    try:
        name = (folder / LATEST).read_text(encoding="utf-8")
        facts = json.loads((folder / _plain(name) / STATE).read_bytes())
        data = (folder / name / TENSORS).read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{folder} holds no complete checkpoint") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder}: the checkpoint cannot be read ({error})") from None
    _check(folder, facts, data, config)
    try:
        return int(facts["step"]), join_state(load(data), facts["state"])
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{folder}: the checkpoint is damaged ({error!r})") from None


def _plain(name: str) -> str:
    if not name.isdigit():
        raise ValueError(f"{LATEST} names {name!r}, not a checkpoint")
    return name


def _check(folder: Path, facts: Any, data: bytes, config: Any) -> None:
    if not isinstance(facts, dict) or facts.get("schema") != SCHEMA:
        raise ConfigError(f"{folder}: the checkpoint has another schema than {SCHEMA}")
    if facts.get("config_hash") != config_hash(config):
        raise ConfigError(f"{folder}: the checkpoint was written with another configuration; resume with the same one")
    if facts.get("tensors_sha256") != hashlib.sha256(data).hexdigest():
        raise ConfigError(f"{folder}: {TENSORS} does not belong to {STATE}")
