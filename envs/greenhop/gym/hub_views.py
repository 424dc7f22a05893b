"""The network seen hub by hub: what each hub observes of it, and which bids are its own. Tensors, batch first.

All hubs have spaces of one size, so that one policy can serve them all: a hub with fewer stores or links than another
sees zeros in their place, and what it bids there counts for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from greenhop.episode.decoders.base import AXES
from greenhop.errors import ConfigError

if TYPE_CHECKING:
    from greenhop.episode.simulator import Simulator

# what a hub tells the others: its power, its prices, and how full it is
PUBLISHED = ("green", "ppa", "price", "carbon", "site_availability", "pressure", "size")
COMMON = ("calendar", "deadlines", "progress")  # blocks of an observation that every hub sees


@dataclass(frozen=True)
class HubViews:
    """Where each hub's part of observations `[B, O]` and actions `[B, A]` is.

    A view holds, in this order: the hub's own features; the state of charge of its stores; for each link that leaves
    it, the link's availability and what the hub at its end publishes; calendar, deadlines and progress; and the mean of
    what all hubs publish.
    """

    columns: Tensor  # [R, n] int64 columns of an observation; O where a hub has no such store or link
    published: Tensor  # [R, P] int64 columns of what hubs publish
    place: Tensor  # [A] int64 where each number of an action stands among the bids of all hubs
    bids: int  # M: numbers that each hub decides

    @property
    def size(self) -> int:
        """V: length of a view."""
        return self.columns.shape[1] + self.published.shape[1]

    def observe(self, obs: Tensor) -> Tensor:
        """`[B, O]` → `[B, R, V]`."""
        padded = torch.cat((obs, torch.zeros_like(obs[:, :1])), dim=1)
        everyone = obs[:, self.published].mean(1, keepdim=True).expand(-1, len(self.columns), -1)
        return torch.cat((padded[:, self.columns], everyone), dim=-1)

    def action(self, bids: Tensor) -> Tensor:
        """Bids of every hub `[B, R, M]` → the action `[B, A]`."""
        return bids.flatten(1).index_select(1, self.place)


def hub_views(sim: Simulator) -> HubViews:
    """The views of a simulator's hubs, on its device.

    Raises:
        ConfigError: a decoder of which it is not known which hub decides what.
    """
    p = sim.params
    owners = {
        "region": list(range(p.n_regions)),
        "unit": p.unit_region.tolist(),
        "link": p.link_source.tolist(),
    }
    columns, published = _columns(sim, owners), _published(sim)
    place, bids = _places(sim, owners)
    whole: Any = {"dtype": torch.int64, "device": p.device}
    return HubViews(
        torch.tensor(columns, **whole), torch.tensor(published, **whole), torch.tensor(place, **whole), bids
    )


def _held(owner: list[int], hubs: int) -> list[list[int]]:
    """What each hub owns of things whose owners are these, in their order."""
    return [[thing for thing, of in enumerate(owner) if of == hub] for hub in range(hubs)]


def _columns(sim: Simulator, owners: dict[str, list[int]]) -> list[list[int]]:
    """`[R, n]` columns of an observation that each hub sees."""
    at, hubs, none = sim.observer.slices(), sim.params.n_regions, sim.obs_size
    width = sim.observer.parts["region"][1]
    told, targets = _published(sim), sim.params.link_target.tolist()
    stores, links = _held(owners["unit"], hubs), _held(owners["link"], hubs)
    most_stores, most_links = max(map(len, stores)), max(map(len, links))
    common = [column for name in COMMON for column in range(at[name].start, at[name].stop)]
    out = []
    for hub in range(hubs):
        first = at["region"].start + hub * width
        own = list(range(first, first + width))
        charge = [at["soc"].start + unit for unit in stores[hub]]
        ends = [[at["link_availability"].start + link, *told[targets[link]]] for link in links[hub]]
        ends += [[none] * (1 + len(told[0]))] * (most_links - len(ends))
        charge += [none] * (most_stores - len(charge))
        out.append([*own, *charge, *(column for end in ends for column in end), *common])
    return out


def _published(sim: Simulator) -> list[list[int]]:
    """`[R, P]` columns of what each hub publishes."""
    at, width = sim.observer.slices(), sim.observer.parts["region"][1]
    inside = [column for name in PUBLISHED for column in range(at[f"region.{name}"].start, at[f"region.{name}"].stop)]
    return [[at["region"].start + hub * width + column for column in inside] for hub in range(sim.params.n_regions)]


def _places(sim: Simulator, owners: dict[str, list[int]]) -> tuple[list[int], int]:
    """`[A]` where each number of an action stands among the bids `[R·M]`, and M."""
    name, hubs = sim.scenario.decoder.name, sim.params.n_regions
    if name not in AXES:
        raise ConfigError(f"decoder.name = {name!r}: hubs can share the actions of {', '.join(AXES)}")
    found: list[tuple[int, int]] = []  # hub and number among its own bids
    bids = 0
    for block, shape in sim.decoder.parts.items():
        owner, width = owners[AXES[name][block]], prod(shape[1:])
        held = _held(owner, hubs)
        for thing, hub in enumerate(owner):
            first = bids + held[hub].index(thing) * width
            found += [(hub, first + i) for i in range(width)]
        bids += max(map(len, held)) * width
    return [hub * bids + number for hub, number in found], bids
