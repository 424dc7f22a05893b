"""The hub graph as networks see it: features of regions, links and units, and how to send numbers between them.

Everything here follows the order of a scenario's regions, links and units and nothing depends on which comes first, so
networks built on it are equivariant to renumbering.
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor, nn

from greenhop.episode.decoders.base import AXES
from greenhop.episode.observations import PRICE_SCALE_CNY_PER_MWH, Observer
from greenhop.episode.simulator import Simulator
from greenhop.errors import ConfigError
from greenhop.physics.ops import TINY, Ends, sum_at
from greenhop.physics.params import Params

COMMON = ("calendar", "deadlines", "progress")  # blocks of an observation that every region sees
NETWORK_PRICE_SCALE_CNY_PER_GB = 1.0
DEMAND_FEE_SCALE_CNY_PER_MW = 10_000.0  # a monthly fee of about 40 CNY/kW prorated to a week


class _Ends(nn.Module):
    """Which region each link, or unit, belongs to: picks regions `[B, R, H]` → `[B, L, H]` and sums back.

    A GPU multiplies by a matrix of ones and zeros: the derivative of picking would add one number at a time.
    """

    def __init__(self, end: Tensor, n_regions: int, ends: Ends | None = None) -> None:
        super().__init__()
        lists = () if ends is None else (*ends.lists, ends.place)
        self._names = [f"list_{i}" for i in range(len(lists))]
        for name, value in zip(self._names, lists, strict=True):
            self.register_buffer(name, value, persistent=False)
        self.register_buffer("end", end, persistent=False)
        self.register_buffer("at", nn.functional.one_hot(end, n_regions).float(), persistent=False)  # [L, R]

    end: Tensor
    at: Tensor

    def pick(self, h: Tensor) -> Tensor:
        """`[B, R, H]` → `[B, L, H]`."""
        return self.at @ h if h.is_cuda else h.index_select(1, self.end)

    def sum(self, message: Tensor) -> Tensor:
        """`[B, L, H]` → `[B, R, H]`."""
        if message.is_cuda:
            return self.at.T @ message
        *lists, place = (getattr(self, name) for name in self._names)
        return sum_at(message, Ends(tuple(lists), place))


class Graph(nn.Module):
    """Constant tensors of one scenario, kept out of the weights: the same weights load on another graph."""

    def __init__(self, params: Params, observer: Observer, parts: dict[str, tuple[int, ...]], decoder: str) -> None:
        super().__init__()
        if decoder not in AXES:
            raise ConfigError(f"network.kind = 'region' knows decoders {', '.join(AXES)}, not {decoder!r}; use 'mlp'")
        self.observer, self.parts, self.axes = observer, parts, AXES[decoder]
        constants = {
            "unit_of_region": params.unit_of_region,
            "static_region": _static_region(params),
            "static_link": _static_link(params),
            "static_unit": _static_unit(params),
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)
        regions = len(params.regions)
        self.sources = _Ends(params.link_source, regions, params.links_out)
        self.targets = _Ends(params.link_target, regions, params.links_in)
        self.units = _Ends(params.unit_region, regions)
        common = sum(prod(observer.parts[name]) for name in COMMON)
        self.unit_features = self.static_unit.shape[1] + 1
        self.link_features = self.static_link.shape[1] + 1
        self.region_features = observer.parts["region"][1] + self.static_region.shape[1] + self.unit_features + common

    unit_of_region: Tensor
    static_region: Tensor
    static_link: Tensor
    static_unit: Tensor

    def features(self, obs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`[B, O]` → features of regions `[B, R, F]`, links `[B, L, E]` and units `[B, U, N]`."""
        part = self.observer.split(obs)
        batch, regions = part["region"].shape[:2]
        unit_static = self.static_unit.expand(batch, -1, -1)
        units = torch.cat((part["soc"].unsqueeze(-1), unit_static), -1)
        shares = torch.cat((part["soc"].unsqueeze(-1) * self.static_unit[:, :1], unit_static), -1)
        stored = torch.einsum("bun,ur->brn", shares, self.unit_of_region)
        links = torch.cat((part["link_availability"].unsqueeze(-1), self.static_link.expand(batch, -1, -1)), -1)
        common = torch.cat([part[name] for name in COMMON], -1).unsqueeze(1).expand(-1, regions, -1)
        static = self.static_region.expand(batch, -1, -1)
        return torch.cat((part["region"], static, stored, common), -1), links, units

    def outputs(self) -> dict[str, int]:
        """Numbers that each axis (region, unit, link) must produce."""
        out: dict[str, int] = {}
        for name, shape in self.parts.items():
            out[self.axes[name]] = out.get(self.axes[name], 0) + prod(shape[1:])
        return out

    def flat(self, by_axis: dict[str, Tensor]) -> Tensor:
        """Heads `[B, axis, n]` → actions `[B, A]` in the decoder's order."""
        at, blocks = dict.fromkeys(by_axis, 0), []
        for name, shape in self.parts.items():
            axis, width = self.axes[name], prod(shape[1:])
            blocks.append(by_axis[axis][..., at[axis] : at[axis] + width].flatten(1))
            at[axis] += width
        return torch.cat(blocks, dim=-1)


def build_graph(sim: Simulator) -> Graph:
    """The graph of a simulator's scenario."""
    return Graph(sim.params, sim.observer, sim.decoder.parts, sim.scenario.decoder.name)


def _static_region(p: Params) -> Tensor:
    """`[R, n]` what never changes about a region and the observation does not tell."""
    capacity = p.capacity_mwh.sum(-1)
    columns = (
        p.connection_mwh / capacity,
        p.peak_start_mw * p.dt_h / p.connection_mwh.clamp_min(TINY),
        p.demand_fee_cny_per_mw / DEMAND_FEE_SCALE_CNY_PER_MW,
        p.ppa_price_cny_per_mwh / PRICE_SCALE_CNY_PER_MWH,
        p.export_fraction,
        p.diesel_limit_mwh / capacity,
    )
    return torch.stack(columns, -1)


def _static_link(p: Params) -> Tensor:
    """`[L, n]` capacity beside the ends' size, price, and what each class pays and may do."""
    capacity = p.capacity_mwh.sum(-1)
    smaller = torch.minimum(capacity[p.link_source], capacity[p.link_target])
    gb = p.migrate_gb_per_mwh * p.link_price_cny_per_gb.unsqueeze(-1) / PRICE_SCALE_CNY_PER_MWH
    carries = p.link_gb / (p.migrate_gb_per_mwh.mean(-1).clamp_min(1.0) * smaller)
    price = p.link_price_cny_per_gb / NETWORK_PRICE_SCALE_CNY_PER_GB
    return torch.cat((carries.log1p().unsqueeze(-1), price.unsqueeze(-1), gb, p.migrate_allowed, p.route_allowed), -1)


def _static_unit(p: Params) -> Tensor:
    """`[U, n]` energy (first) and power beside the site's size, losses, wear and kind."""
    capacity = p.capacity_mwh.sum(-1)[p.unit_region]
    columns = (
        (p.soc_max_mwh - p.soc_min_mwh) / capacity,
        p.discharge_limit_mwh / capacity,
        p.charge_limit_mwh / capacity,
        p.efficiency_charge * p.efficiency_discharge,
        p.wear_cny_per_mwh / PRICE_SCALE_CNY_PER_MWH,
        p.soc_terminal_cny_per_mwh / PRICE_SCALE_CNY_PER_MWH,
        p.is_csp,
    )
    return torch.stack(columns, -1)


def bid_kinds(parts: dict[str, tuple[int, ...]]) -> Tensor:
    """`[A]` int64: numbers the kinds of bids (block and class), whatever the region, unit or link."""
    out, first = [], 0
    for shape in parts.values():
        width = prod(shape[1:])
        out.append((first + torch.arange(width)).expand(shape[0], -1).reshape(-1))
        first += width
    return torch.cat(out)
