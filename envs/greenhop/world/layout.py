"""Where each quantity sits in a packed world row: the part a step reads, then the part that is only observed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from greenhop.physics.params import Params
from greenhop.physics.state import Row
from greenhop.scenario.config import ForecastConfig

CALENDAR = ("hour_sin", "hour_cos", "weekday_sin", "weekday_cos", "season_sin", "season_cos")


class Seen(NamedTuple):
    """What an agent sees of a row beyond the row itself."""

    temperature_c: Tensor  # [B, R]
    calendar: Tensor  # [B, 6] sine and cosine of hour, weekday, season
    forecast_green_mwh: Tensor  # [B, leads, R]
    forecast_price_cny_per_mwh: Tensor  # [B, leads, R]
    forecast_arrivals_mwh: Tensor  # [B, leads, R] all work, online and deferrable


@dataclass(frozen=True)
class RowLayout:
    """Named columns of a packed row. `shapes` lists every field in order."""

    shapes: tuple[tuple[str, tuple[int, ...]], ...]

    @property
    def width(self) -> int:
        """Columns of a packed row (C)."""
        return sum(prod(shape) for _, shape in self.shapes)

    def slices(self) -> dict[str, slice]:
        """The columns of each field."""
        out, at = {}, 0
        for name, shape in self.shapes:
            out[name] = slice(at, at + prod(shape))
            at += prod(shape)
        return out

    def unpack(self, packed: Tensor) -> tuple[Row, Seen]:
        """Views into packed rows `[B, C]`."""
        columns = torch.split(packed, [prod(shape) for _, shape in self.shapes], dim=1)
        parts = {
            name: column if len(shape) == 1 else column.reshape(packed.shape[0], *shape)
            for (name, shape), column in zip(self.shapes, columns, strict=True)
        }
        return (
            Row(**{name: parts[name] for name in Row._fields}),
            Seen(**{name: parts[name] for name in Seen._fields}),
        )


def rows_ahead(forecast: ForecastConfig, dt_h: float) -> list[range]:
    """How many rows ahead lies what each lead shows: its own row, or all since the lead before it, to be averaged."""
    leads = [round(h / dt_h) for h in forecast.leads_h]
    return [range(before + 1 if forecast.averaged else lead, lead + 1) for before, lead in pairwise([0, *leads])]


def row_layout(params: Params, leads: int) -> RowLayout:
    """The layout for a scenario whose rows hold forecasts at `leads` leads."""
    r, k, z = len(params.regions), len(params.deferrable), len(params.online)
    per_region = (
        "green_mwh",
        "ppa_mwh",
        "pue_full",
        "grid_price_cny_per_mwh",
        "export_price_cny_per_mwh",
        "carbon_kg_per_mwh",
        "site_availability",
        "grid_availability",
    )
    return RowLayout(
        (
            *((name, (r,)) for name in per_region),
            ("online_mwh", (r, z)),
            ("next_arrivals_mwh", (r, k)),
            ("link_availability", (len(params.links),)),
            ("inflow_mwh", (len(params.units),)),
            ("temperature_c", (r,)),
            ("calendar", (len(CALENDAR),)),
            ("forecast_green_mwh", (leads, r)),
            ("forecast_price_cny_per_mwh", (leads, r)),
            ("forecast_arrivals_mwh", (leads, r)),
        )
    )
