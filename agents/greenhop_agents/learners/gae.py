"""Advantages: generalised advantage estimation (Schulman et al., 2016), time first."""

from __future__ import annotations

import torch
from torch import Tensor


def gae(
    reward: Tensor, value: Tensor, next_value: Tensor, ends: Tensor, gamma: float, gae_lambda: float
) -> tuple[Tensor, Tensor]:
    """Advantages and returns, both `[h, B]`.

    `δ_s = r_s + γ·V'_s − V_s`, `A_s = δ_s + γ·λ·(1 − ends_s)·A_{s+1}`, `returns = A + V`.

    Args:
        reward: `[h, B]`.
        value: `[h, B]` value of the observation before each step.
        next_value: `[h, B]` value of what follows each step. Where an episode ended it is 0 if the last step priced
            what it left, else the value of its final observation; never that of the next episode's first.
        ends: `[h, B]` bool, the episode ended with this step.
        gamma: discount.
        gae_lambda: λ.
    """
    delta = reward + gamma * next_value - value
    keep = gamma * gae_lambda * (~ends).to(delta.dtype)
    advantage = torch.empty_like(delta)
    ahead = torch.zeros_like(delta[0])
    for s in range(len(delta) - 1, -1, -1):
        advantage[s] = ahead = delta[s] + keep[s] * ahead
    return advantage, advantage + value
