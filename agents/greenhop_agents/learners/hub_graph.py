"""The hub graph as networks see it: features of regions, links and units, and how to send numbers between them.

Regions, links and units come first, the batch second: what links tell regions is then one product for a whole batch.
Everything here follows the order of a scenario's regions, links and units and nothing depends on which comes first, so
networks built on it are equivariant to renumbering.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from greenhop.episode.decoders.base import AXES
from greenhop.episode.observations import PRICE_SCALE_CNY_PER_MWH, Observer
from greenhop.episode.simulator import Simulator
from greenhop.errors import ConfigError
from greenhop.physics.ops import TINY
from greenhop.physics.params import Params
from greenhop_agents.learners.layout import Layout, build_layout

COMMON = ("calendar", "deadlines", "progress")  # blocks of an observation that every region sees
NETWORK_PRICE_SCALE_CNY_PER_GB = 1.0
DEMAND_FEE_SCALE_CNY_PER_MW = 10_000.0  # a monthly fee of about 40 CNY/kW prorated to a week
DENSE_REGIONS = 16  # up to here a product with the matrix of ends costs less than picking and adding: measured


class Ends(nn.Module):
    """The two ends of every link: links are `[L, B, M]`, regions as sources and then as targets `[2·R, B, M]`.

    Few regions, and a GPU (where the derivative of picking would add one number at a time), multiply by a matrix of
    ones and zeros.
    """

    def __init__(self, params: Params) -> None:
        super().__init__()
        regions = len(params.regions)
        self.register_buffer("source", params.link_source, persistent=False)  # [L]
        self.register_buffer("target", params.link_target + regions, persistent=False)  # [L]
        hot = [nn.functional.one_hot(end, 2 * regions).float() for end in (self.source, self.target)]
        self.register_buffer("at", hot[0] + hot[1], persistent=False)  # [L, 2·R]
        self.small = regions <= DENSE_REGIONS

    source: Tensor
    target: Tensor
    at: Tensor

    def dense(self, x: Tensor) -> bool:
        """Whether a product with a matrix of ones and zeros is the quicker way."""
        return self.small or x.is_cuda

    def tell(self, links: Tensor, regions: Tensor) -> Tensor:
        """What both ends of links say, added to `links` `[L, B, M]` in place where that is quicker."""
        if self.dense(links):
            return links.flatten(1).addmm_(self.at, regions.flatten(1)).view(links.shape)
        return links + regions.index_select(0, self.source) + regions.index_select(0, self.target)

    def hear(self, links: Tensor) -> tuple[Tensor, Tensor]:
        """Sums `[R, B, M]` over the links that leave a region, and over those that enter it."""
        rows, (_, batch, width) = self.at.shape[1], links.shape
        if self.dense(links):
            heard = (self.at.T @ links.flatten(1)).view(rows, batch, width)
        else:
            heard = links.new_zeros(rows, batch, width).index_add(0, self.source, links)
            heard = heard.index_add(0, self.target, links)
        leaving, entering = torch.split(heard, rows // 2)
        return leaving, entering


class Graph(nn.Module):
    """Constant tensors of one scenario, kept out of the weights: the same weights load on every other."""

    def __init__(
        self,
        params: Params,
        observer: Observer,
        parts: dict[str, tuple[int, ...]],
        decoder: str,
        leads_h: Sequence[float],
    ) -> None:
        super().__init__()
        if decoder not in AXES:
            raise ConfigError(f"network.kind = 'region' knows decoders {', '.join(AXES)}, not {decoder!r}; use 'mlp'")
        self.observer, self.parts, self.axes = observer, parts, AXES[decoder]
        layout = build_layout(params, observer, leads_h)
        unit = _static_unit(params)
        constants = {
            "unit_region": params.unit_region,
            "unit_at": params.unit_of_region.float(),  # [U, R]
            "energy_at": params.unit_of_region * unit[:, :1],  # [U, R]
            "place": _placed(layout, observer).to(params.device),
            "static_region": torch.cat((_static_region(params), params.unit_of_region.T @ unit), -1),
            "static_link": _static_link(params, layout),
            "static_unit": unit,
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)
        self.ends = Ends(params)
        self.unit_features, self.link_features = unit.shape[1] + 1, self.static_link.shape[1] + 1
        self.region_features = self.place.shape[0] + self.static_region.shape[1]
        self.width: dict[str, int] = {}  # outputs of each axis (region, unit, link), in any scenario
        columns: dict[str, list[Tensor]] = {}
        for name, axis in self.axes.items():
            column, count = layout.columns(name)
            if name in parts:
                columns.setdefault(axis, []).append(column + self.width.get(axis, 0))
            self.width[axis] = self.width.get(axis, 0) + count
        for axis, found in columns.items():  # those of them that are bids here
            self.register_buffer(f"bids_{axis}", torch.cat(found).to(params.device), persistent=False)

    unit_region: Tensor
    unit_at: Tensor
    energy_at: Tensor
    place: Tensor
    static_region: Tensor
    static_link: Tensor
    static_unit: Tensor

    def observed(self, obs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """`[B, O]` → what is observed of regions `[R, B, F]`, and of links `[L, B]` and units `[U, B]`.

        `F` are a scenario's own features; `weights_of` fits weights to them.
        """
        part = self.observer.split(obs)
        common = torch.cat([part[name] for name in COMMON], -1)
        stored = (part["soc"] @ self.energy_at).T.unsqueeze(-1)
        regions = part["region"].transpose(0, 1)
        seen = torch.cat((regions, stored, common.expand(regions.shape[0], -1, -1)), -1)
        available = part["link_availability"].detach()  # no decision changes it
        return seen, {"link": available.T.contiguous(), "unit": part["soc"].T.contiguous()}

    def weights_of(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Weights `[H, region_features]` as weights of what is observed of a region, and of `static_region`."""
        observed, static = torch.split(weight, [self.place.shape[0], self.static_region.shape[1]], 1)
        return observed @ self.place, static

    def at(self, axis: str, h: Tensor) -> Tensor:
        """Regions `[R, B, H]` where they are, of units `[U, B, H]`, or source and target of links `[L, B, 2·H]`."""
        if axis == "unit":
            return (self.unit_at @ h.flatten(1)).view(-1, *h.shape[1:]) if self.ends.dense(h) else h[self.unit_region]
        return h if axis == "region" else torch.cat((h[self.ends.source], h[self.ends.target - h.shape[0]]), -1)

    def static(self, axis: str) -> Tensor:
        """`[N, n]` what never changes about links or units."""
        return self.static_unit if axis == "unit" else self.static_link

    def bids(self, axis: str) -> Tensor:
        """`[n]` int64: the outputs of an axis that are bids in this scenario."""
        return getattr(self, f"bids_{axis}")  # type: ignore[no-any-return]

    def flat(self, by_axis: dict[str, Tensor]) -> Tensor:
        """Bids `[axis, B, n]` → actions `[B, A]` in the decoder's order."""
        at, blocks = dict.fromkeys(by_axis, 0), []
        for name, shape in self.parts.items():
            axis, width = self.axes[name], prod(shape[1:])
            blocks.append(by_axis[axis][..., at[axis] : at[axis] + width].transpose(0, 1).flatten(1))
            at[axis] += width
        return torch.cat(blocks, dim=-1)


def build_graph(sim: Simulator) -> Graph:
    """The graph of a simulator's scenario."""
    scenario = sim.scenario
    return Graph(sim.params, sim.observer, sim.decoder.parts, scenario.decoder.name, scenario.forecast.leads_h)


def build_kinds(sim: Simulator) -> tuple[Tensor, int]:
    """`[A]` int64 which kind (block and class) every bid is of, whatever its region, unit or link; and how many are.

    A decoder that region networks do not know has kinds of its own.
    """
    parts, common = sim.decoder.parts, AXES.get(sim.scenario.decoder.name)
    layout = common and build_layout(sim.params, sim.observer, sim.scenario.forecast.leads_h)
    out, first = [], 0
    for name in common or parts:
        shape = parts.get(name)
        width = prod(shape[1:]) if shape else 1
        column, count = layout.columns(name, width) if layout else (torch.arange(width), width)
        if shape:
            out.append((first + column).expand(shape[0], -1).reshape(-1))
        first += count
    return torch.cat(out), first


def _placed(layout: Layout, observer: Observer) -> Tensor:
    """`[common, F]`: from what is observed of a region here, its stored energy and the calendar included."""
    blocks = (layout.region(observer), torch.ones(1, 1), layout.common())
    return torch.block_diag(*blocks).T  # type: ignore[no-untyped-call, no-any-return]


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


def _static_link(p: Params, layout: Layout) -> Tensor:
    """`[L, n]` capacity beside the ends' size, price, and what each class pays and may do."""
    capacity = p.capacity_mwh.sum(-1)
    smaller = torch.minimum(capacity[p.link_source], capacity[p.link_target])
    gb = p.migrate_gb_per_mwh * p.link_price_cny_per_gb.unsqueeze(-1) / PRICE_SCALE_CNY_PER_MWH
    usual_gb = p.migrate_gb_per_mwh.mean(-1).nan_to_num(0.0)  # without a class there is no mean
    carries = p.link_gb / (usual_gb.clamp_min(1.0) * smaller)
    price = p.link_price_cny_per_gb / NETWORK_PRICE_SCALE_CNY_PER_GB
    deferrable, online = layout.deferrable.to(p.device), layout.online.to(p.device)
    classes = (gb @ deferrable, p.migrate_allowed @ deferrable, p.route_allowed @ online)
    return torch.cat((carries.log1p().unsqueeze(-1), price.unsqueeze(-1), *classes), -1)


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
