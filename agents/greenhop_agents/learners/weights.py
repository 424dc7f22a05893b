"""Weights of a policy in a file, and how one knows that they are whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from greenhop.errors import ConfigError, one_line
from greenhop.files import write_bytes, write_json

POLICY, FACTS = "policy.safetensors", "run.json"
DIGESTS = "policy_sha256"  # in run.json: of the policy, and of the one it replaces


def save_policy(folder: Path, weights: Mapping[str, torch.Tensor]) -> None:
    """Write the policy's weights into a run folder, whole or not at all.

    `run.json` names their digest before they are there, and still that of the policy they replace: a process killed in
    between, however often, leaves a policy that is known.
    """
    data, facts, policy = as_bytes(weights), folder / FACTS, folder / POLICY
    if facts.is_file():
        known = json.loads(facts.read_text(encoding="utf-8"))
        there = digest(policy.read_bytes()) if policy.is_file() else None
        kept = [name for name in known.get(DIGESTS, []) if name == there]
        write_json(facts, {**known, DIGESTS: [digest(data), *kept]})
    write_bytes(policy, data)


def save_weights(path: Path, weights: Mapping[str, torch.Tensor]) -> None:
    """Write weights to `path`, whole or not at all."""
    write_bytes(path, as_bytes(weights))


def as_bytes(weights: Mapping[str, torch.Tensor]) -> bytes:
    """Weights as a safetensors file; names that share a tensor get a copy each."""
    return save({name: x.detach().cpu().contiguous().clone() for name, x in weights.items()})


def digest(data: bytes) -> str:
    """SHA-256."""
    return hashlib.sha256(data).hexdigest()


def load_weights(
    path: Path, device: torch.device | str, where: str, known: list[str] | None = None
) -> dict[str, torch.Tensor]:
    """Weights from a file; nothing is executed.

    Args:
        path: a safetensors file.
        device: where they shall lie.
        where: what error texts begin with.
        known: digests of which the file must have one; None where nobody has noted any.

    Raises:
        ConfigError: the file cannot be read, is not the one that was written, or holds NaN or infinity.
    """
    try:
        data = path.read_bytes()
        weights = load(data)
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"{where}: {path.name} cannot be read ({one_line(error)})") from None
    if known is not None and digest(data) not in known:
        raise ConfigError(f"{where}: {path.name} is not the file that was written: damaged, or replaced")
    for name, x in weights.items():
        if x.is_floating_point() and not torch.isfinite(x).all():
            raise ConfigError(f"{where}: {path.name} holds NaN or infinity in {name}")
    return {name: x.to(device) for name, x in weights.items()}
