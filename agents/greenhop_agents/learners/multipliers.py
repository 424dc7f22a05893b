"""Prices that keep budgets: each rises while its budget is broken on average and falls while there is some left.

    maximise over λ ≥ 0 of  min over policies of  E[bill] + Σ λ_c·(E[used_c] − limit_c)

A multiplier is a price in CNY per kg or MWh, so that what is learnt can be read beside that of the linear programme.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from greenhop.episode.budgets import Budget, Budgets, used
from greenhop.physics.params import Params


@dataclass(frozen=True)
class Multipliers:
    """The prices of an agent's budgets, changed in place; none where there are no budgets."""

    budgets: list[Budget]
    price: Tensor  # [C] CNY per kg or MWh
    step: Tensor  # [C] by how much a price moves for each unit by which an episode misses its budget
    limit: Tensor  # [C] per episode
    steps: int  # of an episode
    cost_scale_cny: float

    def penalty(self, reported: Tensor) -> Tensor:
        """`[…]` what steps pay for what they use, in rewards; `reported` `[…, len(REPORTED)]`."""
        if not self.budgets:
            return torch.zeros_like(reported[..., 0])
        return used(self.budgets, reported) @ self.price.to(reported.dtype) / self.cost_scale_cny

    def spent(self, reported: Tensor) -> Tensor:
        """`[C]` what an episode uses at the pace of steps `[…, len(REPORTED)]`."""
        return used(self.budgets, reported).flatten(0, -2).mean(0) * self.steps

    def follow(self, spent: Tensor) -> None:
        """One step of dual ascent: what was `spent` `[C]` per episode, beyond the limit or within it."""
        self.price.add_(self.step * (spent - self.limit)).clamp_(min=0.0)

    def told(self, spent: Tensor) -> dict[str, Tensor]:
        """Scalars for the curves: the price of each budget, and what is used beyond it."""
        out = {}
        for i, budget in enumerate(self.budgets):
            out[f"train/price_{budget.name}_cny"] = self.price[i].clone()
            out[f"train/beyond_{budget.name}"] = spent[i] - self.limit[i]
        return out


def multipliers(budgets: Budgets, params: Params, rate: float) -> Multipliers:
    """Prices of 0 for the budgets that are set.

    Args:
        budgets: what an episode may use.
        params: scenario.
        rate: how fast prices move: where an episode uses twice its budget, the price of the whole budget rises by
            `rate` of what an episode costs. A budget of 0 counts as what steps usually use.
    """
    listed, device = budgets.listed(params), params.device
    whole = torch.tensor([b.limit or b.unit * params.steps for b in listed], device=device)
    return Multipliers(
        budgets=listed,
        price=torch.zeros(len(listed), device=device),
        step=rate * params.cost_scale_cny * params.steps / whole.square(),
        limit=torch.tensor([b.limit for b in listed], device=device),
        steps=params.steps,
        cost_scale_cny=params.cost_scale_cny,
    )
