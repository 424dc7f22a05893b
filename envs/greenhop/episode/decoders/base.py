"""What a decoder is: it turns a policy's small action into a full-resolution plan."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from greenhop.physics.state import Plan, Row, State
from greenhop.world.layout import Seen

# what each block of an action belongs to, by decoder
AXES: dict[str, dict[str, str]] = {
    "shadow_price": {"place": "region", "time": "region", "storage": "unit", "route": "region", "ceiling": "region"},
    "full": {"route": "link", "serve": "region", "migrate": "link", "storage": "unit", "alternative": "region"},
}


class Decoder(Protocol):
    """Turns actions into plans."""

    @property
    def parts(self) -> dict[str, tuple[int, ...]]:
        """Named blocks of the action and their shapes, in order."""
        ...

    def __call__(self, action: Tensor, state: State, row: Row, seen: Seen) -> Plan:
        """`action` `[B, A]` in −1…1 → plan."""
        ...


def action_size(parts: dict[str, tuple[int, ...]]) -> int:
    """A: length of the flat action."""
    return sum(torch.Size(shape).numel() for shape in parts.values())


def split_action(action: Tensor, parts: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """The named blocks of a flat action `[B, A]`, each `[B, *shape]`, clipped to −1…1."""
    blocks = torch.split(action.clamp(-1.0, 1.0), [torch.Size(shape).numel() for shape in parts.values()], dim=1)
    return {name: x.reshape(action.shape[0], *shape) for x, (name, shape) in zip(blocks, parts.items(), strict=True)}
