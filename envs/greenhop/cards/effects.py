"""What a bid does, measured: the decoder is run with it, so that no sentence about numbers can outlive the code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.physics.rewards import REPORTED, report

EXAMPLE = "pair2"
OVERRIDES = ("episode.length_h=24",)
DAYS = 8  # spread over a year of the test split
BIDS = (-1.0, 1.0)  # beside zero


class Effect(NamedTuple):
    """What holding a bid for a day does, as a mean over days, of the whole network; `peak` is the first hub's."""

    served_mwh: float
    migrated_mwh: float
    charged_mwh: float
    imported_mwh: float
    peak: float  # highest metered import, share of the connection
    cost_cny: float


def example() -> Simulator:
    """The scenario that the card measures in: one year of it."""
    return build_simulator(EXAMPLE, "test", overrides=OVERRIDES, year_ids=[0])


def effects(sim: Simulator) -> Iterator[tuple[str, float, Effect]]:
    """Block, bid and effect: first nothing (an empty name, zero), then every block at −1 and 1.

    The bid is made for the first hub or unit alone: what is the same everywhere is no reason to move work.
    """
    yield "", 0.0, effect(sim, torch.zeros(DAYS, sim.action_size))
    for block in sim.decoder.parts:
        for bid in BIDS:
            yield block, bid, effect(sim, held(sim, block, bid))


def held(sim: Simulator, block: str, bid: float) -> Tensor:
    """`[DAYS, A]`: `bid` for the first hub or unit in one block, zero elsewhere."""
    blocks = {name: torch.zeros(DAYS, *shape) for name, shape in sim.decoder.parts.items()}
    blocks[block][:, 0] = bid
    return torch.cat([x.flatten(1) for x in blocks.values()], dim=1)


def effect(sim: Simulator, action: Tensor) -> Effect:
    """Take `action` `[DAYS, A]` in every step of as many episodes."""
    carry = sim.begin(torch.from_numpy(sim.bank.spread(DAYS)))
    totals, charged = torch.zeros(len(REPORTED)), torch.zeros(())
    peak_mwh = torch.zeros_like(carry.state.peak_mw)
    for _ in range(sim.params.steps):
        carry, flows = sim.act(carry, action)
        totals += report(sim.params, flows).mean(0)
        charged += flows.charge_mwh.sum(-1).mean()
        peak_mwh = torch.maximum(peak_mwh, flows.grid_mwh + flows.ppa_mwh)
    named = dict(zip(REPORTED, totals.tolist(), strict=True))
    return Effect(
        served_mwh=named["served_mwh"],
        migrated_mwh=named["migrated_mwh"],
        charged_mwh=float(charged),
        imported_mwh=named["grid_mwh"] + named["ppa_mwh"],
        peak=float((peak_mwh / sim.params.connection_mwh)[:, 0].mean()),
        cost_cny=sum(value for name, value in named.items() if name.endswith("_cny")),
    )
