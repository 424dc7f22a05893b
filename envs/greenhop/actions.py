"""Decoders: a policy's small action becomes a full-resolution plan.

The default is `shadow_price`: every action corrects a price the decoder already knows, so the zero action is a sensible
price-following operator, and what an agent learns can be read beside the LP's duals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from greenhop.config import DecoderConfig
from greenhop.dynamics.cool import facility_energy
from greenhop.errors import ConfigError
from greenhop.ops import TINY, fit, per_class, sum_at
from greenhop.params import FIXED_OVERHEAD_SHARE, Params
from greenhop.state import Plan, Row, State
from greenhop.step import phase_of, pool_room
from greenhop.world.layout import LEADS_H, Seen

STAY_MARGIN = 4.0  # widths by which a destination must be cheaper before half the work goes there: assumption
SURPLUS_WIDTH = 0.05  # share of IT capacity over which the marginal price turns from grid to own surplus: assumption
PATIENT_PRESSURE = 0.95  # crowd that the most patient time bid tolerates before work must run: assumption
PRESSURE_CAP = 3.0  # a closed pool counts as three times overloaded
ADMITTED_PRESSURE = 0.9  # a pool takes in work from elsewhere up to this share of its room: assumption


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
    out, at = {}, 0
    for name, shape in parts.items():
        size = torch.Size(shape).numel()
        out[name] = action[:, at : at + size].clamp(-1.0, 1.0).reshape(action.shape[0], *shape)
        at += size
    return out


class Prices(NamedTuple):
    """What the decoder believes electricity is worth, CNY/MWh."""

    grid: Tensor  # [B, R] bought now, carbon included
    green: Tensor  # [B, R] own surplus now: what exporting it would earn, at least its marginal cost
    now: Tensor  # [B, R] marginal, between the two
    ahead: Tensor  # [B, R, leads] marginal, forecast


@dataclass(frozen=True)
class ShadowPriceDecoder:
    """Bids: `place` and `time` per region and deferrable class, `storage` per unit, `route` and `ceiling` per region.

    All correct a price but `ceiling`, which moves the metered import that optional work and charging respect:
    0 keeps it at the peak already paid for, 1 opens the whole connection, −1 halves it (demand charge management).
    """

    params: Params
    config: DecoderConfig
    slack_weight: Tensor  # [period, K·S, leads] weight of each forecast lead in the mean over a slot's slack
    day_weight: Tensor  # [leads] the same over a whole day
    unit_share: Tensor  # [U] share of a unit in its site's storage power
    link_slot: Tensor  # [L] position of each link in the flattened `links_out`

    @property
    def parts(self) -> dict[str, tuple[int, ...]]:
        """Named blocks of the action."""
        r, k = len(self.params.regions), len(self.params.deferrable)
        return {"place": (r, k), "time": (r, k), "storage": (len(self.params.units),), "route": (r,), "ceiling": (r,)}

    def __call__(self, action: Tensor, state: State, row: Row, seen: Seen) -> Plan:
        """`action` `[B, A]`; zero follows prices. Values outside −1…1 are clipped."""
        p, bid = self.params, split_action(action, self.parts)
        phase, room = phase_of(p, state), pool_room(p, row)
        slack = p.slack.index_select(0, phase)
        even = state.backlog_mwh / (slack + 1.0).unsqueeze(1)
        work = row.online_mwh @ p.online_pool + even.sum(-1) @ p.deferrable_pool
        prices = self._prices(work, room, row, seen)
        pressure = (work / room.clamp_min(TINY)).clamp_max(PRESSURE_CAP)
        congestion = self._congestion(pressure)
        per_work = 1.0 + (1.0 - FIXED_OVERHEAD_SHARE) * (row.pue_full - 1.0)
        expected = self._expected(prices.ahead, phase)
        headroom = (ADMITTED_PRESSURE * room - work).clamp_min(0.0)
        routed, presented = self._route(bid["route"], prices.now * per_work, congestion, row, headroom)
        due, left = self._due(bid["time"], slack, even, pressure, room, presented)
        allowed = self._ceiling(bid["ceiling"], state, row) + row.green_mwh
        more = self._optional(bid["time"], state, phase, slack, due, expected, prices.now)
        energy = self._load(presented, due, room, row)
        power = fit((more.sum(-1) @ self._busy()) * per_work, (allowed - energy).clamp_min(0.0))
        served = due + self._into_pools(more * power[:, :, None, None], left)
        moved = self._migrate(bid["place"], state.backlog_mwh - served, phase, expected, per_work, congestion)
        moved = moved * self._admitted(moved, slack, headroom)
        load = self._load(presented, served, room, row)
        charge, discharge = self._store(bid["storage"], prices, load, allowed, row)
        return Plan(routed, presented, moved, served, charge, discharge, torch.zeros_like(charge))

    def _prices(self, work: Tensor, room: Tensor, row: Row, seen: Seen) -> Prices:
        """Marginal price of electricity now and at the leads, assuming today's even-paced load."""
        p = self.params
        carbon = p.carbon_price_cny_per_kg * row.carbon_kg_per_mwh
        grid = row.grid_price_cny_per_mwh + p.grid_adder_cny_per_mwh + carbon
        green = torch.maximum(row.export_price_cny_per_mwh, p.green_cost_cny_per_mwh)
        _, load = facility_energy(p, torch.minimum(work, room), room, row.pue_full)
        width = SURPLUS_WIDTH * p.capacity_mwh.sum(-1)
        surplus = torch.sigmoid((row.green_mwh - load) / width)
        later = torch.sigmoid((seen.forecast_green_mwh - load.unsqueeze(1)) / width)
        grid_later = seen.forecast_price_cny_per_mwh + (p.grid_adder_cny_per_mwh + carbon).unsqueeze(1)
        ahead = grid_later + (green.unsqueeze(1) - grid_later) * later
        return Prices(grid, green, grid + (green - grid) * surplus, ahead.transpose(1, 2))

    def _congestion(self, pressure: Tensor) -> Tensor:
        """`[B, R, P]` CNY per MWh of work: what a crowded pool adds to the price of using it."""
        start = self.config.congestion_from
        return self.config.congestion_cny_per_mwh * ((pressure - start) / (1.0 - start)).clamp_min(0.0)

    def _expected(self, ahead: Tensor, phase: Tensor) -> Tensor:
        """`[B, R, K, S]` mean forecast price over the slack of each slot."""
        weight = self.slack_weight.index_select(0, phase)
        shape = (*ahead.shape[:2], *self.params.slots_used.shape)
        return torch.bmm(ahead, weight.transpose(1, 2)).reshape(shape)

    def _admitted(self, moved: Tensor, slack: Tensor, headroom: Tensor) -> Tensor:
        """`[B, L, K, 1]` share of the migration each destination takes: its even pace must fit into the headroom."""
        p = self.params
        pace = sum_at((moved / (slack + 1.0).unsqueeze(1)).sum(-1), p.links_in) @ p.deferrable_pool
        share = per_class(fit(pace, headroom), p.deferrable_pool)
        return share.index_select(1, p.link_target).unsqueeze(-1)

    def _route(
        self, bid: Tensor, price: Tensor, congestion: Tensor, row: Row, headroom: Tensor
    ) -> tuple[Tensor, Tensor]:
        """`[B, L, Z]` online work to route, and `[B, R, Z]` what is then presented."""
        p = self.params
        busy = 1.0 - p.online_pool @ p.idle_share
        cost = price.unsqueeze(-1) * busy + congestion @ p.online_pool.T
        worth = self.config.bid_cny_per_mwh * bid.unsqueeze(-1) - cost
        data = p.link_price_cny_per_gb.unsqueeze(-1) * p.route_gb_per_mwh
        gain = worth.index_select(1, p.link_target) - worth.index_select(1, p.link_source) - data
        share = self._shares(gain, p.route_allowed)
        routed = row.online_mwh.index_select(1, p.link_source) * share
        fits = per_class(fit(sum_at(routed, p.links_in) @ p.online_pool, headroom), p.online_pool)
        routed = routed * fits.index_select(1, p.link_target)
        presented = row.online_mwh - sum_at(routed, p.links_out) + sum_at(routed, p.links_in)
        return routed, presented

    def _shares(self, gain: Tensor, allowed: Tensor) -> Tensor:
        """Softmax over {stay, links out of the source}: `[B, L, …]` shares; `gain` in CNY/MWh over staying."""
        p = self.params
        logit = torch.where(allowed > 0, gain / self.config.width_cny_per_mwh - STAY_MARGIN, -torch.inf)
        rest = logit.shape[2:]
        pad = torch.full_like(logit[:, :1], -torch.inf)
        regions, depth = p.links_out.shape
        by_region = torch.cat((logit, pad), 1).index_select(1, p.links_out.reshape(-1))
        by_region = by_region.reshape(gain.shape[0], regions, depth, *rest)
        stay = torch.zeros_like(by_region[:, :, :1])
        share = torch.softmax(torch.cat((stay, by_region), 2), dim=2)[:, :, 1:]
        return share.reshape(gain.shape[0], regions * depth, *rest).index_select(1, self.link_slot)

    def _ceiling(self, bid: Tensor, state: State, row: Row) -> Tensor:
        """`[B, R]` MWh of metered import that optional work and charging respect."""
        p = self.params
        paid = torch.minimum(state.peak_mw * p.dt_h, p.connection_mwh * row.grid_availability)
        opened = (p.connection_mwh * row.grid_availability - paid) * bid.clamp_min(0.0)
        return paid * (1.0 + 0.5 * bid.clamp_max(0.0)) + opened

    def _load(self, presented: Tensor, served: Tensor, room: Tensor, row: Row) -> Tensor:
        """`[B, R]` facility MWh if this work runs."""
        p = self.params
        work = torch.minimum(presented @ p.online_pool + served.sum(-1) @ p.deferrable_pool, room)
        return facility_energy(p, work, room, row.pue_full)[1]

    def _busy(self) -> Tensor:
        """`[K]` IT MWh that a MWh of work adds to an idle pool."""
        return 1.0 - self.params.deferrable_pool @ self.params.idle_share

    def _into_pools(self, work: Tensor, room: Tensor) -> Tensor:
        """`[B, R, K, S]` work scaled to the room of its pool `[B, R, P]`."""
        pool = self.params.deferrable_pool
        return work * per_class(fit(work.sum(-1) @ pool, room), pool).unsqueeze(-1)

    def _due(
        self, bid: Tensor, slack: Tensor, even: Tensor, pressure: Tensor, room: Tensor, presented: Tensor
    ) -> tuple[Tensor, Tensor]:
        """`[B, R, K, S]` work that must run now, and the room `[B, R, P]` it leaves.

        That is what is due, and the even pace of everything to the degree its pool is crowded; a time bid below zero
        tolerates more of a crowd before it hurries.
        """
        p, start = self.params, self.config.hurry_from
        patient = start + (PATIENT_PRESSURE - start) * (-bid).clamp_min(0.0)
        crowd = (per_class(pressure, p.deferrable_pool) - patient) / (1.0 - patient)
        hurry = crowd.clamp(0.0, 1.0).unsqueeze(-1)
        must = torch.where((slack == 0).unsqueeze(1), torch.ones_like(hurry), hurry) * even
        left = (room - presented @ p.online_pool).clamp_min(0.0)
        due = self._into_pools(must, left)
        return due, (left - due.sum(-1) @ p.deferrable_pool).clamp_min(0.0)

    def _optional(
        self, bid: Tensor, state: State, phase: Tensor, slack: Tensor, due: Tensor, expected: Tensor, price: Tensor
    ) -> Tensor:
        """`[B, R, K, S]` further work worth running now: even pace at an even price, more when today is cheaper."""
        c = self.config
        gain = expected - price[:, :, None, None] + c.bid_cny_per_mwh * bid.unsqueeze(-1)
        eager = torch.sigmoid(gain / c.width_cny_per_mwh - torch.log(slack.clamp_min(TINY)).unsqueeze(1))
        limit = self.params.rate_limit.index_select(0, phase).unsqueeze(1)
        return (state.backlog_mwh * torch.minimum(eager, limit) - due).clamp_min(0.0)

    def _migrate(
        self, bid: Tensor, waiting: Tensor, phase: Tensor, expected: Tensor, per_work: Tensor, congestion: Tensor
    ) -> Tensor:
        """`[B, L, K, S]` work to move: down the differences of expected price, net of the link's cost."""
        p, c = self.params, self.config
        busy = self._busy().unsqueeze(-1)
        cost = expected * per_work[:, :, None, None] * busy + (congestion @ p.deferrable_pool.T).unsqueeze(-1)
        worth = c.bid_cny_per_mwh * bid.unsqueeze(-1) - cost
        target = worth.index_select(1, p.link_target)
        data = (p.link_price_cny_per_gb.unsqueeze(-1) * p.migrate_gb_per_mwh).unsqueeze(-1)
        restart = p.restart_overhead.unsqueeze(-1) * cost.index_select(1, p.link_target)
        gain = target - worth.index_select(1, p.link_source) - data - restart
        share = self._shares(gain, p.migrate_allowed.unsqueeze(-1)) * p.movable.index_select(0, phase).unsqueeze(1)
        rate = min(1.0, c.migrate_rate_per_h * p.dt_h)
        return waiting.index_select(1, p.link_source) * share * rate

    def _at_unit(self, per_region: Tensor) -> Tensor:
        """`[B, R]` → `[B, U]`."""
        return per_region.index_select(1, self.params.unit_region)

    def _share(self, per_region: Tensor) -> Tensor:
        """`[B, U]` each unit's share of what is positive of a region's quantity `[B, R]`."""
        return self._at_unit(per_region.clamp_min(0.0)) * self.unit_share

    def _store(self, bid: Tensor, prices: Prices, load: Tensor, allowed: Tensor, row: Row) -> tuple[Tensor, Tensor]:
        """`[B, U]` charge and discharge: buy below the day's mean price, surplus first; sell above it; shave peaks."""
        p, width = self.params, self.config.width_cny_per_mwh
        value = self._at_unit(prices.ahead @ self.day_weight) + self.config.bid_cny_per_mwh * bid
        kept = p.efficiency_charge * p.efficiency_discharge * (value - p.wear_cny_per_mwh)
        own = torch.minimum(p.charge_limit_mwh.expand_as(value), self._share(row.green_mwh - load))
        bought = torch.minimum(p.charge_limit_mwh - own, (self._share(allowed - load) - own).clamp_min(0.0))
        charge = own * torch.sigmoid((kept - self._at_unit(prices.green)) / width)
        charge = charge + bought * torch.sigmoid((kept - self._at_unit(prices.grid)) / width)
        deficit = torch.minimum(p.discharge_limit_mwh.expand_as(value), self._share(load - row.green_mwh))
        sell = torch.sigmoid((self._at_unit(prices.grid) - p.wear_cny_per_mwh - value) / width)
        shaved = torch.minimum(deficit, self._share(load - allowed))
        return charge, torch.maximum(deficit * sell, shaved)


def shadow_price(params: Params, config: DecoderConfig) -> ShadowPriceDecoder:
    """Build the default decoder: the constant tensors it needs, on the device of `params`."""
    p = params
    steps = torch.tensor([round(h / p.dt_h) for h in LEADS_H], dtype=p.dtype, device=p.device)
    flat = p.slack.reshape(p.period, -1)
    totals = p.discharge_limit_mwh @ p.unit_of_region
    slots = p.links_out.reshape(-1).tolist()
    return ShadowPriceDecoder(
        params=p,
        config=config,
        slack_weight=_lead_weights(steps, flat),
        day_weight=_lead_weights(steps, torch.full((1,), 24.0 / p.dt_h, dtype=p.dtype, device=p.device))[0],
        unit_share=p.discharge_limit_mwh / totals[p.unit_region] if len(p.units) else totals[:0],
        link_slot=torch.tensor([slots.index(i) for i in range(len(p.links))], dtype=torch.int64, device=p.device),
    )


def _lead_weights(leads: Tensor, slack: Tensor) -> Tensor:
    """`[…, leads]`: how many of the steps 1…slack each lead stands for (the steps up to itself), normalised to 1."""
    before = torch.cat((torch.zeros_like(leads[:1]), leads[:-1]))
    span = (torch.minimum(slack.unsqueeze(-1), leads) - before).clamp_min(0.0)
    span[..., 0] = torch.where(
        slack > 0, span[..., 0], torch.ones_like(slack)
    )  # nothing ahead: the next hour stands in
    return span / span.sum(-1, keepdim=True)


@dataclass(frozen=True)
class FullDecoder:
    """For research on large action spaces: shares of every cohort, link and unit; 0 means half."""

    params: Params

    @property
    def parts(self) -> dict[str, tuple[int, ...]]:
        """Named blocks of the action."""
        p = self.params
        r, z, links = len(p.regions), len(p.online), len(p.links)
        return {
            "route": (links, z),
            "serve": (r, *p.slots_used.shape),
            "migrate": (links, *p.slots_used.shape),
            "storage": (len(p.units),),
        }

    def __call__(self, action: Tensor, state: State, row: Row, seen: Seen) -> Plan:
        """−1…1 maps to shares 0…1; a storage action is charging (> 0) or discharging (< 0) as a share of power."""
        p, part = self.params, split_action(action, self.parts)
        share = {name: (x + 1.0) / 2.0 for name, x in part.items()}
        served = state.backlog_mwh * share["serve"]
        routed = row.online_mwh.index_select(1, p.link_source) * share["route"] * p.route_allowed
        moved = (state.backlog_mwh - served).index_select(1, p.link_source) * share["migrate"]
        charge = part["storage"].clamp_min(0.0) * p.charge_limit_mwh
        discharge = (-part["storage"]).clamp_min(0.0) * p.discharge_limit_mwh
        arriving = row.online_mwh + sum_at(routed, p.links_in)
        return Plan(routed, arriving, moved, served, charge, discharge, torch.zeros_like(charge))


DECODERS: dict[str, Callable[[Params, DecoderConfig], Decoder]] = {
    "shadow_price": shadow_price,
    "full": lambda params, _: FullDecoder(params),
}


def build_decoder(params: Params, config: DecoderConfig) -> Decoder:
    """The decoder registered under `config.name`."""
    if config.name not in DECODERS:
        raise ConfigError(f"decoder.name = {config.name!r} is unknown; allowed: {', '.join(sorted(DECODERS))}")
    return DECODERS[config.name](params, config)
