"""Observations: a flat vector with named slices, scaled by physical constants: no running normaliser needed."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from greenhop.physics.ops import TINY, per_pool
from greenhop.physics.params import Params
from greenhop.physics.state import Row, State
from greenhop.physics.step import phase_of, pool_room
from greenhop.world.layout import Seen

PRICE_SCALE_CNY_PER_MWH = 500.0  # a typical all-in industrial price
CARBON_SCALE_KG_PER_MWH = 1000.0
TEMPERATURE_SCALE_C = 40.0
OBS_LIMIT = 100.0  # features are of order one; the limit makes the space finite and is never met in a sane episode


@dataclass(frozen=True)
class Observer:
    """Builds observations `[B, O]` for one scenario."""

    params: Params
    capacity_mwh: Tensor  # [R] IT capacity per step
    storage_scale_mwh: Tensor  # [U]
    priced: Tensor  # int64 accounts that cost something at some site
    closing: Tensor  # [period, K] steps until a class's first slot closes, this one included, over its quantum
    leads: int  # forecasts of each quantity that a row holds

    @property
    def region_parts(self) -> dict[str, int]:
        """Features of one region and how many numbers each has, in order."""
        p, leads = self.params, self.leads
        return {
            "green": 1,
            "ppa": 1,
            "price": 1,
            "export_price": 1,
            "carbon": 1,
            "pue": 1,
            "temperature": 1,
            "site_availability": 1,
            "grid_availability": 1,
            "online": len(p.online),
            "pressure": len(p.pools),
            "backlog": prod(p.slots_used.shape),
            "peak": 1,
            "peak_floor": 1,
            "accounts": self.priced.shape[0],
            "size": 1,
            "forecast_green": leads,
            "forecast_price": leads,
            "forecast_arrivals": leads,
        }

    @property
    def parts(self) -> dict[str, tuple[int, ...]]:
        """Named blocks of an observation and their shapes, in order."""
        p = self.params
        return {
            "region": (len(p.regions), sum(self.region_parts.values())),
            "soc": (len(p.units),),
            "link_availability": (len(p.links),),
            "calendar": (6,),
            "deadlines": (len(p.deferrable),),
            "progress": (1,),
        }

    @property
    def size(self) -> int:
        """O: length of an observation."""
        return sum(prod(shape) for shape in self.parts.values())

    def slices(self) -> dict[str, slice]:
        """Columns of every block and, within `region`, of every feature as `region.<feature>` (of one region's row)."""
        out, at = {}, 0
        for name, shape in self.parts.items():
            out[name] = slice(at, at + prod(shape))
            at = at + prod(shape)  # a sum of its own: sizes are tensors where a network is traced
        at = 0
        for name, width in self.region_parts.items():
            out[f"region.{name}"] = slice(at, at + width)
            at = at + width
        return out

    def split(self, obs: Tensor) -> dict[str, Tensor]:
        """Blocks of observations `[B, O]`, each `[B, *shape]`."""
        where = self.slices()
        return {name: obs[:, where[name]].reshape(obs.shape[0], *shape) for name, shape in self.parts.items()}

    def __call__(self, state: State, row: Row, seen: Seen) -> Tensor:
        """`[B, O]`: every feature carries the timestamp of `row`."""
        p = self.params
        region = torch.cat(list(self._region(state, row, seen).values()), dim=-1)
        progress = (state.t.to(p.dtype) / p.steps).unsqueeze(-1)
        blocks = (
            region.flatten(1),
            (state.soc_mwh - p.soc_min_mwh) / self.storage_scale_mwh,
            row.link_availability,
            seen.calendar,
            self.closing.index_select(0, phase_of(p, state)),
            progress,
        )
        return torch.cat(blocks, dim=-1).clamp(-OBS_LIMIT, OBS_LIMIT)

    def _region(self, state: State, row: Row, seen: Seen) -> dict[str, Tensor]:
        """Features `[B, R, n]` in the order of `region_parts`."""
        p, cap = self.params, self.capacity_mwh
        even = state.backlog_mwh / (p.slack.index_select(0, phase_of(p, state)) + 1.0).unsqueeze(1)
        work = per_pool(row.online_mwh, p.online_pool) + per_pool(even.sum(-1), p.deferrable_pool)
        price = row.grid_price_cny_per_mwh + p.grid_adder_cny_per_mwh
        owed = state.owed_mwh * (p.owed_price_cny_per_mwh > 0)
        floor = (p.peak_start_mw * p.dt_h / p.connection_mwh.clamp_min(TINY)).clamp_max(1.0)
        later = seen.forecast_price_cny_per_mwh + p.grid_adder_cny_per_mwh
        return {
            "green": _one(row.green_mwh / cap),
            "ppa": _one(row.ppa_mwh / cap),
            "price": _one(price / PRICE_SCALE_CNY_PER_MWH),
            "export_price": _one(row.export_price_cny_per_mwh / PRICE_SCALE_CNY_PER_MWH),
            "carbon": _one(row.carbon_kg_per_mwh / CARBON_SCALE_KG_PER_MWH),
            "pue": _one(row.pue_full - 1.0),
            "temperature": _one(seen.temperature_c / TEMPERATURE_SCALE_C),
            "site_availability": _one(row.site_availability),
            "grid_availability": _one(row.grid_availability),
            "online": row.online_mwh / cap.unsqueeze(-1),
            "pressure": (work / pool_room(p, row).clamp_min(TINY)).clamp_max(3.0),
            "backlog": (state.backlog_mwh / cap[:, None, None]).flatten(2),
            "peak": _one(state.peak_mw * p.dt_h / p.connection_mwh.clamp_min(TINY)).clamp_max(1.0),
            "peak_floor": _one(floor).expand(state.t.shape[0], -1, -1),
            "accounts": owed.index_select(-1, self.priced) / (cap * p.steps).unsqueeze(-1),
            "size": _one(cap / cap.mean()).expand(state.t.shape[0], -1, -1),
            "forecast_green": _by_region(seen.forecast_green_mwh / cap),
            "forecast_price": _by_region(later / PRICE_SCALE_CNY_PER_MWH),
            "forecast_arrivals": _by_region(seen.forecast_arrivals_mwh / cap),
        }


def _one(per_region: Tensor) -> Tensor:
    """`[B, R]` → `[B, R, 1]`."""
    return per_region.unsqueeze(-1)


def _by_region(per_lead: Tensor) -> Tensor:
    """`[B, leads, R]` → `[B, R, leads]`."""
    return per_lead.transpose(1, 2)


def build_observer(params: Params, leads: int) -> Observer:
    """The observer of a scenario whose rows hold forecasts at `leads` leads, on the device of `params`."""
    first = params.slack[:, :, 0] + 1.0
    return Observer(
        params=params,
        capacity_mwh=params.capacity_mwh.sum(-1),
        storage_scale_mwh=params.soc_max_mwh - params.soc_min_mwh,
        priced=(params.owed_price_cny_per_mwh > 0).any(0).nonzero().flatten(),
        closing=first / first.amax(0),
        leads=leads,
    )
