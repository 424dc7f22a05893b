"""One order of features and bids for every scenario, so that the weights of a region network fit all of them.

Pools, classes and accounts are matched by name and stay zero where a scenario lacks them; names that no shipped
scenario has come last. A class's slots are matched by the share of them that is due before (bin `⌊s·SLOTS/n⌋` of its n
slots; work that shares a bin adds up), forecasts by hours ahead, interpolated between the leads of a scenario.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from greenhop.episode.observations import Observer
from greenhop.physics.params import Params
from greenhop.physics.state import ACCOUNTS

POOLS = ("general", "ai", "ai_legacy", "hpc")
ONLINE = ("online_inference", "interactive_dev")
DEFERRABLE = ("batch_inference", "ai_training", "scientific_hpc")
LEADS_H = (1, 2, 3, 6, 12, 24)
SLOTS = 4
CALENDAR = 6
# what the columns of each block of an action belong to; other blocks have one
COLUMNS = {
    "place": "class",
    "time": "class",
    "alternative": "class",
    "route": "online",
    "serve": "slot",
    "migrate": "slot",
}


@dataclass(frozen=True)
class Layout:
    """Where the features and bids of one scenario stand in the common order; one-hot matrices `[here, common]`."""

    pools: Tensor  # [P, ·]
    online: Tensor  # [Z, ·]
    deferrable: Tensor  # [K, ·]
    slots: Tensor  # [K·S, ·]
    leads: Tensor  # [leads, ·] weights of an interpolation
    accounts: Tensor  # [priced, ·]

    def region(self, observer: Observer) -> Tensor:
        """`[F, ·]` for the features of a region that observations hold."""
        named = {
            "online": self.online,
            "pressure": self.pools,
            "backlog": self.slots,
            "accounts": self.accounts,
            "forecast_green": self.leads,
            "forecast_price": self.leads,
            "forecast_arrivals": self.leads,
        }
        one = torch.ones(1, 1)
        return torch.block_diag(*[named.get(name, one) for name in observer.region_parts])  # type: ignore[no-untyped-call, no-any-return]

    def common(self) -> Tensor:
        """`[C, ·]` for calendar, deadlines and progress."""
        return torch.block_diag(torch.eye(CALENDAR), self.deferrable, torch.ones(1, 1))  # type: ignore[no-untyped-call, no-any-return]

    def columns(self, block: str, width: int = 1) -> tuple[Tensor, int]:
        """`[n]` int64: the number that each column of a block of the action has among all; and how many there are.

        A block that is not known has `width` columns of its own.
        """
        kinds = {"class": self.deferrable, "online": self.online, "slot": self.slots}
        matrix = kinds.get(COLUMNS.get(block, ""), torch.eye(width))
        return matrix.argmax(1), matrix.shape[1]


def build_layout(params: Params, observer: Observer, leads_h: Sequence[float]) -> Layout:
    """The layout of a scenario, on the CPU."""
    deferrable = _by_name(params.deferrable, DEFERRABLE)
    used, slot = params.slots_used.cpu().sum(1, keepdim=True).long(), torch.arange(params.slots_used.shape[1])
    bins = (slot * SLOTS // used).clamp_max(SLOTS - 1)  # what is not used is empty
    slots = deferrable[:, None, :, None] * nn.functional.one_hot(bins, SLOTS)[:, :, None, :]  # [K, S, ·, SLOTS]
    leads = [np.interp(LEADS_H, leads_h, row) for row in np.eye(len(leads_h))]
    return Layout(
        pools=_by_name(params.pools, POOLS),
        online=_by_name(params.online, ONLINE),
        deferrable=deferrable,
        slots=slots.flatten(2).flatten(0, 1),
        leads=torch.tensor(np.array(leads), dtype=torch.float32),
        accounts=torch.eye(len(ACCOUNTS))[observer.priced.cpu()],
    )


def _by_name(here: Sequence[str], known: Sequence[str]) -> Tensor:
    """`[here, common]` one-hot."""
    names = [*known, *sorted(set(here) - set(known))]
    return torch.eye(len(names))[[names.index(name) for name in here]]
