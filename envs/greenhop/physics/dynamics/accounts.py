"""Accounts: rules that hold over an episode, as running sums of what is owed less what is done (order: `ACCOUNTS`)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from greenhop.physics.params import Params


class Worth(NamedTuple):
    """What a MWh more changes on the accounts as they stand, each `[B, R]` CNY/MWh."""

    own: Tensor  # saved by own green power used on site
    ppa: Tensor  # saved by contracted power taken
    load: Tensor  # owed for consumption, whatever supplies it


def duties(p: Params, it: Tensor, facility: Tensor, heat: Tensor, green: Tensor, contracted: Tensor) -> Tensor:
    """`[B, R, A]` MWh that a step adds to the accounts before any green power is used.

    Args:
        p: scenario.
        it: `[B, R]` IT energy.
        facility: `[B, R]` consumption of the site.
        heat: `[B, R]` green discharge of solar thermal stores.
        green: `[B, R]` own green power available.
        contracted: `[B, R]` contracted power available.
    """
    owed = (
        p.green_target * facility - heat,
        p.physical_target * facility - heat,
        p.take_or_pay_share * contracted,
        facility - p.pue_cap * it,
        p.direct_generation_share * green,
        p.direct_consumption_share * facility,
    )
    return torch.stack(owed, dim=-1)


def worth(p: Params, due: Tensor) -> Worth:
    """What a MWh is worth on accounts that stand at `due` `[B, R, A]`: the prices of those in deficit."""
    price = torch.where(due > 0.0, p.owed_price_cny_per_mwh, torch.zeros_like(due))
    green, physical, contract, _, generation, consumption = price.unbind(-1)
    return Worth(
        own=green + physical + generation + consumption,
        ppa=green + physical + contract,
        load=p.green_target * green + p.physical_target * physical + p.direct_consumption_share * consumption,
    )


def settle_accounts(due: Tensor, own: Tensor, ppa: Tensor) -> Tensor:
    """`[B, R, A]` accounts after the step: `due` less own green power used and contracted power taken `[B, R]`."""
    green = own + ppa
    return due - torch.stack((green, green, ppa, torch.zeros_like(own), own, own), dim=-1)


def account_costs(p: Params, before: Tensor, after: Tensor) -> dict[str, Tensor]:
    """`[B, R]` CNY by cost term: what the positive parts of the accounts `[B, R, A]` rose, at their prices."""
    rise = (after.clamp_min(0.0) - before.clamp_min(0.0)) * p.owed_price_cny_per_mwh
    green, physical, contract, pue, generation, consumption = rise.unbind(-1)
    return {
        "green_gap": green + physical,
        "take_or_pay": contract,
        "pue_excess": pue,
        "direct_rule": generation + consumption,
    }
