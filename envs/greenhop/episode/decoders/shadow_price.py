"""The default decoder: every action corrects a price the decoder already knows.

The zero action is a sensible price-following operator, and what an agent learns can be read beside the LP's duals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from greenhop.episode.decoders.base import split_action
from greenhop.physics.dynamics.accounts import duties, worth
from greenhop.physics.dynamics.cool import facility_energy
from greenhop.physics.ops import TINY, ceiling_at, fit, mix, per_class, per_pool, sum_at
from greenhop.physics.params import FIXED_OVERHEAD_SHARE, Params
from greenhop.physics.state import Plan, Row, State
from greenhop.physics.step import phase_of, pool_room
from greenhop.scenario.config import DecoderConfig
from greenhop.world.layout import Seen

STAY_MARGIN = 4.0  # widths by which a destination must be cheaper before half the work goes there: assumption
SURPLUS_WIDTH = 0.05  # share of IT capacity over which the marginal price turns from grid to own surplus: assumption
GAIN_WIDTHS = (
    8.0  # what migration is believed to save is capped at this many widths, so that bids can overrule it: assumption
)
OFFER_WIDTHS = 4.0  # a cohort's own offer leaves today's price by no more than this many widths: assumption
OPENING = 4.0  # rate per episode at which the highest bid opens what is left of the connection: docs/actions.md
OPENING_AT_ZERO = 0.05  # ε, share of that rate which is proportional to the bid: docs/actions.md
PRESSURE_CAP = 3.0  # a closed pool counts as three times overloaded


class Prices(NamedTuple):
    """What the decoder believes electricity is worth, CNY/MWh."""

    grid: Tensor  # [B, R] bought now, carbon and accounts included
    ppa: Tensor  # [B, R] bought now, contracted green power where that is cheaper
    green: Tensor  # [B, R] own surplus now: what exporting it would earn, at least its marginal cost
    now: Tensor  # [B, R] marginal, between grid and green
    ahead: Tensor  # [B, R, leads] marginal, forecast


class Scene(NamedTuple):
    """What every part of the decoder looks at."""

    row: Row
    backlog: Tensor  # [B, R, K, S]
    slack: Tensor  # [B, 1, K, S]
    able: Tensor  # [B, R, K, S] MWh that may run in this step
    movable: Tensor  # [B, 1, K, S]
    room: Tensor  # [B, R, P]
    headroom: Tensor  # [B, R, P] room beyond an even pace of everything
    free: Tensor  # [B, R, P] room beyond the online work that arrives here
    crowd: Tensor  # [B, R, P] CNY per MWh of work that a crowded pool adds to the price of using it
    per_work: Tensor  # [B, R] facility MWh per MWh of IT
    prices: Prices


@dataclass(frozen=True)
class ShadowPriceDecoder:
    """Bids: `place` and `time` per region and deferrable class, `route` per region and online class, `storage` per
    unit, `ceiling` per region.

    All correct a price but `ceiling`, which moves the metered import that work and charging respect. At 0 optional
    work and charging keep to the peak already paid for, and work that must run may exceed it; above, the rest of the
    connection opens step by step; at −1 work that must run keeps to that peak as well.
    """

    params: Params
    config: DecoderConfig
    slack_weight: Tensor  # [period, K·S, leads] weight of each forecast lead in the mean over a slot's slack
    window_weight: Tensor  # [K, leads] the same over the whole window of a class
    day_weight: Tensor  # [leads] the same over a whole day
    busy: Tensor  # [K] IT MWh that a MWh of work adds to an idle pool
    busy_online: Tensor  # [Z] the same for online work
    unit_share: Tensor  # [U] share of a unit in its site's storage power
    held_mwh: Tensor  # [U] share of a unit in its site's reserve

    @property
    def parts(self) -> dict[str, tuple[int, ...]]:
        """Named blocks of the action."""
        r, k = len(self.params.regions), len(self.params.deferrable)
        return {
            "place": (r, k),
            "time": (r, k),
            "storage": (len(self.params.units),),
            "route": (r, len(self.params.online)),
            "ceiling": (r,),
        }

    def __call__(self, action: Tensor, state: State, row: Row, seen: Seen) -> Plan:
        """`action` `[B, A]`; zero follows prices. Values outside −1…1 are clipped."""
        p, bid = self.params, split_action(action, self.parts)
        phase = phase_of(p, state)
        scene = self._look(state, phase, row, seen)
        routed, presented = self._route(bid["route"], scene)
        paid, ceiling = self._ceiling(bid["ceiling"], state, row)
        due = self._held(bid["ceiling"], self._due(bid["time"], scene, presented), paid, presented, scene)
        left = self._left(presented, due, scene)
        load = self._load(presented, due, scene)
        wanted = self._optional(bid["time"], scene, phase, scene.able - due, load, ceiling + row.green_mwh)
        served = due + earliest_first(self._into_pools(wanted, left), scene.able - due)
        moved = self._migrate(bid["place"], scene, scene.backlog - served)
        load = self._load(presented, served, scene)
        charge, discharge = self._store(bid["storage"], scene, state, load, paid, ceiling)
        away = self._elsewhere(scene, presented, served.sum(-1))
        return Plan(routed, presented, moved, served, charge, discharge, torch.zeros_like(charge), away)

    def _look(self, state: State, phase: Tensor, row: Row, seen: Seen) -> Scene:
        """Pressure on the pools and prices, if everything ran at an even pace."""
        p = self.params
        room, slack = pool_room(p, row), p.slack.index_select(0, phase).unsqueeze(1)
        pace = (state.backlog_mwh / (slack + 1.0)).sum(-1)
        online = per_pool(row.online_mwh, p.online_pool)
        work = online + per_pool(pace, p.deferrable_pool)
        pressure = (work / room.clamp_min(TINY)).clamp_max(PRESSURE_CAP)
        start = self.config.congestion_from
        return Scene(
            row=row,
            backlog=state.backlog_mwh,
            slack=slack,
            able=state.backlog_mwh * p.rate_limit.index_select(0, phase).unsqueeze(1),
            movable=p.movable.index_select(0, phase).unsqueeze(1),
            room=room,
            headroom=(room - work).clamp_min(0.0),
            free=(room - online).clamp_min(0.0),
            crowd=self.config.congestion_cny_per_mwh * ((pressure - start) / (1.0 - start)).clamp_min(0.0),
            per_work=1.0 + (1.0 - FIXED_OVERHEAD_SHARE) * (row.pue_full - 1.0),
            prices=self._prices(work, room, state, row, seen),
        )

    def _prices(self, work: Tensor, room: Tensor, state: State, row: Row, seen: Seen) -> Prices:
        """Marginal price of electricity now and at the leads, assuming today's even-paced load.

        What a MWh changes on the accounts as they stand is part of its price.
        """
        p = self.params
        it, load = facility_energy(p, torch.minimum(work, room), room, row.pue_full)
        duty = duties(p, it, load, torch.zeros_like(load), row.green_mwh, row.ppa_mwh)
        value = worth(p, state.owed_mwh + duty)
        added = p.carbon_price_cny_per_kg * row.carbon_kg_per_mwh + value.load
        grid = row.grid_price_cny_per_mwh + p.grid_adder_cny_per_mwh + added
        used = p.own_wires_cny_per_mwh + value.load - value.own
        green = torch.maximum(row.export_price_cny_per_mwh, p.green_cost_cny_per_mwh) + used
        width = SURPLUS_WIDTH * p.capacity_mwh.sum(-1)
        surplus = torch.sigmoid((row.green_mwh - load) / width)
        later = torch.sigmoid((seen.forecast_green_mwh - load.unsqueeze(1)) / width)
        grid_later = seen.forecast_price_cny_per_mwh + (p.grid_adder_cny_per_mwh + added).unsqueeze(1)
        ahead = grid_later + (green.unsqueeze(1) - grid_later) * later
        ppa = torch.minimum(grid, p.ppa_price_cny_per_mwh + value.load - value.ppa)
        return Prices(grid, ppa, green, grid + (green - grid) * surplus, ahead.transpose(1, 2))

    def price(self, bid: Tensor) -> Tensor:
        """CNY/MWh that a bid is worth: `bid_cny_per_mwh` at its ends, near zero a third of its share of that.

        So noise on small bids costs little, and large ones can still overrule what the decoder believes.
        """
        return self.config.bid_cny_per_mwh * bid * (1.0 + 2.0 * bid * bid) / 3.0

    def opening(self, bid: Tensor) -> Tensor:
        """Share of the rest of the connection that a `ceiling` bid b > 0 opens in a step: `OPENING/T·b·(ε + (1−ε)·b²)`.

        Noise around zero opens next to nothing, and only a bid that lasts opens much.
        """
        up = bid.clamp_min(0.0)
        return (OPENING / self.params.steps * up * (OPENING_AT_ZERO + (1.0 - OPENING_AT_ZERO) * up * up)).clamp_max(1.0)

    def _route(self, bid: Tensor, scene: Scene) -> tuple[Tensor, Tensor]:
        """`[B, L, Z]` online work to route, and `[B, R, Z]` what is then presented."""
        p, online = self.params, scene.row.online_mwh
        cost = (scene.prices.now * scene.per_work).unsqueeze(-1) * self.busy_online + per_class(
            scene.crowd, p.online_pool
        )
        worth = self.price(bid) - cost
        data = p.link_price_cny_per_gb.unsqueeze(-1) * p.route_gb_per_mwh + p.latency_cny_per_mwh
        gain = worth.index_select(1, p.link_target) - worth.index_select(1, p.link_source) - data
        routed = online.index_select(1, p.link_source) * self._shares(gain, p.route_allowed).minimum(p.route_allowed)
        routed = routed * self._admitted(routed, bid, p.online_pool, scene)
        return routed, online - sum_at(routed, p.links_out) + sum_at(routed, p.links_in)

    def _admitted(self, pace: Tensor, bid: Tensor, pool: Tensor, scene: Scene) -> Tensor:
        """`[B, L, classes]` share of the arriving `pace` that the destinations take in.

        Without a bid that is what their headroom carries; the highest bid for a class counts all that online work of
        their own leaves of the pool, and puts off what waits there.
        """
        spare = per_class(scene.headroom, pool)
        most = spare + (per_class(scene.free, pool) - spare) * bid.clamp_min(0.0)
        arriving = per_class(per_pool(sum_at(pace, self.params.links_in), pool), pool)
        return fit(arriving, most).index_select(1, self.params.link_target)

    def _shares(self, gain: Tensor, allowed: Tensor) -> Tensor:
        """Softmax over {stay, links out of the source}: `[B, L, classes]` shares; `gain` in CNY/MWh over staying."""
        p = self.params
        if not p.links:
            return gain
        logit = torch.where(allowed > 0, gain / self.config.width_cny_per_mwh - STAY_MARGIN, -torch.inf)
        most = ceiling_at(logit, p.links_out).clamp_min(0.0)
        weight = torch.exp(logit - most.index_select(1, p.link_source))
        return weight / (torch.exp(-most) + sum_at(weight, p.links_out)).index_select(1, p.link_source)

    def _ceiling(self, bid: Tensor, state: State, row: Row) -> tuple[Tensor, Tensor]:
        """`[B, R]` MWh of metered import already paid for, and what optional work and charging respect."""
        p = self.params
        connection = p.connection_mwh * row.grid_availability
        paid = torch.minimum(state.peak_mw * p.dt_h, connection)
        return paid, paid + (connection - paid) * self.opening(bid)

    def _held(self, bid: Tensor, due: Tensor, paid: Tensor, presented: Tensor, scene: Scene) -> Tensor:
        """`[B, R, K, S]` due work without the share −`bid` of what would import more than is `paid` for."""
        idle = self._load(presented, torch.zeros_like(due), scene)
        more = (due.sum(-1) * self.busy).sum(-1) * scene.per_work
        spare = (paid + scene.row.green_mwh - idle).clamp_min(0.0)
        return due * (1.0 - (-bid).clamp_min(0.0) * (1.0 - fit(more, spare)))[:, :, None, None]

    def _left(self, presented: Tensor, due: Tensor, scene: Scene) -> Tensor:
        """`[B, R, P]` room that online and due work leave."""
        p = self.params
        used = per_pool(presented, p.online_pool) + per_pool(due.sum(-1), p.deferrable_pool)
        return (scene.room - used).clamp_min(0.0)

    def _load(self, presented: Tensor, served: Tensor, scene: Scene) -> Tensor:
        """`[B, R]` facility MWh if this work runs."""
        p = self.params
        work = torch.minimum(
            per_pool(presented, p.online_pool) + per_pool(served.sum(-1), p.deferrable_pool), scene.room
        )
        return facility_energy(p, work, scene.room, scene.row.pue_full)[1]

    def _into_pools(self, work: Tensor, room: Tensor) -> Tensor:
        """`[B, R, K]` work scaled to the room of its pool `[B, R, P]`."""
        pool = self.params.deferrable_pool
        return work * per_class(fit(per_pool(work, pool), room), pool)

    def _due(self, bid: Tensor, scene: Scene, presented: Tensor) -> Tensor:
        """`[B, R, K, S]` work that must run now.

        That is what would come too late if from now on the class had a share `reserve` of what its pool leaves it;
        a time bid below zero counts on more, at −1 on the whole pool. Classes that share a pool split it by their even
        pace.
        """
        p, c, pool = self.params, self.config, self.params.deferrable_pool
        left = (scene.room - per_pool(presented, p.online_pool)).clamp_min(0.0)
        pace = (scene.backlog / (scene.slack + 1.0)).sum(-1)
        part = pace / per_class(per_pool(pace, pool), pool).clamp_min(TINY)
        patience = (-bid).clamp_min(0.0)
        hopes = per_class(left, pool) * c.reserve
        hopes = hopes + (per_class(scene.room, pool) - hopes) * patience
        later = (hopes * part).unsqueeze(-1) * scene.slack
        must = (scene.backlog.cumsum(-1) - later).amax(-1).clamp_min(0.0)
        return earliest_first(self._into_pools(must, left), scene.able)

    def _optional(
        self, bid: Tensor, scene: Scene, phase: Tensor, able: Tensor, load: Tensor, allowed: Tensor
    ) -> Tensor:
        """`[B, R, K]` MWh of further work worth running: a market between cohorts and three sources of power.

        A cohort offers what it expects to pay later, corrected by the bid; what offers more than a source costs is
        served from it: from the grid under the ceiling, from contracted power, and from own surplus.
        """
        c, prices, green = self.config, scene.prices, scene.row.green_mwh
        now = prices.now[:, :, None, None]
        weight = self.slack_weight.index_select(0, phase).unsqueeze(1)
        expected = mix(prices.ahead, weight).reshape(scene.backlog.shape)
        cap = OFFER_WIDTHS * c.width_cny_per_mwh
        even = c.width_cny_per_mwh * torch.log(scene.slack.clamp_min(TINY))  # at equal prices an even pace
        offer = now + (expected - now).clamp(-cap, cap) + self.price(bid).unsqueeze(-1) - even
        energy = self.busy * scene.per_work.unsqueeze(-1)
        contracted = torch.minimum(allowed, green + scene.row.ppa_mwh)
        taken = torch.zeros_like(able[..., 0])
        for price, supply in ((prices.grid, allowed), (prices.ppa, contracted), (prices.green, green)):
            worth = leaning((offer - price[:, :, None, None]) / c.width_cny_per_mwh)
            more = ((able * worth).sum(-1) - taken).clamp_min(0.0)
            spare = (supply - load - (taken * energy).sum(-1)).clamp_min(0.0)
            taken = taken + more * fit((more * energy).sum(-1), spare).unsqueeze(-1)
        return taken

    def _elsewhere(self, scene: Scene, presented: Tensor, total: Tensor) -> Tensor:
        """`[B, R, K]` of what is served, `total`, on the alternative pool: where that is cheaper and there is room."""
        p = self.params
        if not p.diverse:
            return torch.zeros_like(total)
        price = (scene.prices.now * scene.per_work).unsqueeze(-1)
        idle = p.alternative_pool @ p.idle_share
        home = price * self.busy + per_class(scene.crowd, p.deferrable_pool)
        there = price * (1.0 - idle) * p.alternative_energy
        there = there + per_class(scene.crowd, p.alternative_pool) * p.alternative_room
        away = total * torch.sigmoid((home - there) / self.config.width_cny_per_mwh)
        used = per_pool(presented, p.online_pool) + per_pool(total, p.deferrable_pool)
        fits = fit(per_pool(away * p.alternative_room, p.alternative_pool), (scene.room - used).clamp_min(0.0))
        return away * per_class(fits, p.alternative_pool)

    def _migrate(self, bid: Tensor, scene: Scene, waiting: Tensor) -> Tensor:
        """`[B, L, K, S]` work to move: down the differences of expected price, net of the link's cost.

        A destination takes in only what it has room for at an even pace; the whole bid of difference empties a region.
        """
        p, c, pool = self.params, self.config, self.params.deferrable_pool
        price = mix(scene.prices.ahead, self.window_weight) * scene.per_work.unsqueeze(-1)
        cost = price * self.busy + per_class(scene.crowd, pool)
        there = cost.index_select(1, p.link_target)
        data = p.link_price_cny_per_gb.unsqueeze(-1) * p.migrate_gb_per_mwh
        saved = cost.index_select(1, p.link_source) - there - data - p.restart_overhead * there
        worth = self.price(bid)
        pull = worth.index_select(1, p.link_target) - worth.index_select(1, p.link_source)
        cap = GAIN_WIDTHS * c.width_cny_per_mwh
        share = self._shares(saved.clamp(-cap, cap) + pull, p.migrate_allowed)
        rate = min(1.0, c.migrate_rate_per_h * p.dt_h)
        share = share * (rate + (1.0 - rate) * (pull / c.bid_cny_per_mwh).clamp(0.0, 1.0))
        free = waiting * scene.movable
        pace = share * (free / (scene.slack + 1.0)).sum(-1).index_select(1, p.link_source)
        share = share * self._admitted(pace, bid, pool, scene)
        return free.index_select(1, p.link_source) * share.unsqueeze(-1)

    def _at_unit(self, per_region: Tensor) -> Tensor:
        """`[B, R]` → `[B, U]`."""
        return per_region.index_select(1, self.params.unit_region)

    def _share(self, per_region: Tensor) -> Tensor:
        """`[B, U]` each unit's share of what is positive of a region's quantity `[B, R]`."""
        return self._at_unit(per_region.clamp_min(0.0)) * self.unit_share

    def _store(
        self, bid: Tensor, scene: Scene, state: State, load: Tensor, paid: Tensor, ceiling: Tensor
    ) -> tuple[Tensor, Tensor]:
        """`[B, U]` charge and discharge: buy below the day's mean price, surplus first; sell above it; shave peaks.

        What the reserve needs is never sold, and bought back at once when it is missing.
        """
        p, prices, width = self.params, scene.prices, self.config.width_cny_per_mwh
        short = load - scene.row.green_mwh
        value = self._at_unit((prices.ahead * self.day_weight).sum(-1)) + self.price(bid)
        kept = p.efficiency_charge * p.efficiency_discharge * (value - p.wear_cny_per_mwh)
        own = torch.minimum(p.charge_limit_mwh.expand_as(value), self._share(-short))
        bought = torch.minimum(p.charge_limit_mwh - own, (self._share(ceiling - short) - own).clamp_min(0.0))
        charge = own * leaning((kept - self._at_unit(prices.green)) / width)
        charge = charge + bought * leaning((kept - self._at_unit(prices.grid)) / width)
        spare = (state.soc_mwh - p.soc_min_mwh) * p.firm - self.held_mwh * self._at_unit(scene.row.grid_availability)
        refill = torch.where(self.held_mwh > 0, -spare / (p.firm * p.efficiency_charge).clamp_min(TINY), 0.0)
        charge = torch.maximum(charge, torch.minimum(refill, p.charge_limit_mwh))
        may = torch.where(self.held_mwh > 0, spare.clamp_min(0.0), p.discharge_limit_mwh)
        deficit = torch.minimum(torch.minimum(may, p.discharge_limit_mwh), self._share(short))
        sell = leaning((self._at_unit(prices.grid) - p.wear_cny_per_mwh - value) / width)
        shaved = torch.minimum(deficit, self._share(short - torch.maximum(paid, ceiling)))
        net = charge - torch.maximum(deficit * sell, shaved)
        return net.clamp_min(0.0), (-net).clamp_min(0.0)


def leaning(widths: Tensor) -> Tensor:
    """Share 0…1 of what goes one way at a price advantage of so many `widths`: `½·(1 + x/√(x² + 4))`.

    Near zero it is the logistic function; its tails fall with the square instead of exponentially, so a decision that
    is settled keeps a gradient to come back by.
    """
    return 0.5 * (1.0 + widths / torch.sqrt(widths * widths + 4.0))


def earliest_first(total: Tensor, able: Tensor) -> Tensor:
    """`[B, R, K, S]`: a total per class `[B, R, K]` given to its cohorts by deadline, each up to `able`."""
    before = able.cumsum(-1) - able
    return torch.minimum((total.unsqueeze(-1) - before).clamp_min(0.0), able)


def shadow_price(params: Params, config: DecoderConfig, leads_h: Sequence[float]) -> ShadowPriceDecoder:
    """Build the default decoder: the constant tensors it needs, on the device of `params`."""
    p = params
    steps = torch.tensor([round(h / p.dt_h) for h in leads_h], dtype=p.dtype, device=p.device)
    flat = p.slack.reshape(p.period, -1)
    totals = p.discharge_limit_mwh @ p.unit_of_region
    firm = p.firm * (p.soc_max_mwh - p.soc_min_mwh)
    reserve = p.reserve_mwh / (firm @ p.unit_of_region).clamp_min(TINY)
    return ShadowPriceDecoder(
        params=p,
        config=config,
        slack_weight=_lead_weights(steps, flat),
        window_weight=_lead_weights(steps, p.slack.amax((0, 2))),
        day_weight=_lead_weights(steps, torch.full((1,), 24.0 / p.dt_h, dtype=p.dtype, device=p.device))[0],
        busy=1.0 - p.deferrable_pool @ p.idle_share,
        busy_online=1.0 - p.online_pool @ p.idle_share,
        unit_share=p.discharge_limit_mwh / totals[p.unit_region] if len(p.units) else totals[:0],
        held_mwh=firm * reserve[p.unit_region],
    )


def _lead_weights(leads: Tensor, slack: Tensor) -> Tensor:
    """`[…, leads]`: how many of the steps 1…slack each lead stands for (the steps up to itself), normalised to 1."""
    before = torch.cat((torch.zeros_like(leads[:1]), leads[:-1]))
    span = (torch.minimum(slack.unsqueeze(-1), leads) - before).clamp_min(0.0)
    span[..., 0] = torch.where(
        slack > 0, span[..., 0], torch.ones_like(slack)
    )  # nothing ahead: the next hour stands in
    return span / span.sum(-1, keepdim=True)
