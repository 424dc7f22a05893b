"""Slots close: what is due and unserved is missed, the rest moves one slot nearer."""

from __future__ import annotations

import torch
from torch import Tensor


def close_slots(kept: Tensor, closes: Tensor) -> tuple[Tensor, Tensor]:
    """Shift the classes whose slot 0 closes.

    Args:
        kept: `[B, R, K, S]` MWh waiting at the end of the step.
        closes: `[B, K]` 1 where slot 0 of the class closes.

    Returns:
        `[B, R, K, S]` MWh after the shift, `[B, R, K]` MWh missed.
    """
    missed = kept[..., 0] * closes.unsqueeze(1)
    shifted = torch.cat((kept[..., 1:], torch.zeros_like(kept[..., :1])), dim=-1)
    return torch.where(closes[:, None, :, None] > 0, shifted, kept), missed
