"""Weights of a policy in a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

POLICY = "policy.safetensors"


def save_policy(folder: Path, weights: Mapping[str, torch.Tensor]) -> None:
    """Write the policy's weights into a run folder, whole or not at all."""
    save_weights(folder / POLICY, weights)


def save_weights(path: Path, weights: Mapping[str, torch.Tensor]) -> None:
    """Write weights to `path`, whole or not at all; names that share a tensor get a copy each."""
    draft = path.with_name(f".{path.name}")
    save_file({name: x.detach().cpu().contiguous().clone() for name, x in weights.items()}, draft)
    draft.replace(path)
