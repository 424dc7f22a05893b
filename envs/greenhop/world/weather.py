"""The weather of a year at every site of a scenario: what the generators of wind, sun, water and temperature share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from greenhop.arrays import Array
from greenhop.scenario.tables import load_table
from greenhop.world.calendar import Calendar
from greenhop.world.climate import hydro_share, temperature_c
from greenhop.world.noise import ar1, correlated
from greenhop.world.solar import beam_share, clear_sky, sky_index, solar_share
from greenhop.world.streams import StreamKey
from greenhop.world.wind import wind_share

if TYPE_CHECKING:
    from greenhop.world.places import Place


@dataclass(frozen=True)
class Weather:
    """Arrays `[N, R]`. Shares are of installed capacity (beam: of the rating of a mirror field)."""

    wind: Array
    solar: Array
    base_solar: Array  # of the province's supply base
    hydro: Array
    beam: Array
    clear: Array  # cloudless panels, the ceiling of both kinds of solar
    clear_beam: Array  # cloudless beam
    temperature_c: Array


def make_weather(key: StreamKey, places: tuple[Place, ...], sites: tuple[int, ...], cal: Calendar) -> Weather:
    """Weather at `sites`, indices into `places`."""
    t = load_table("stochastic")
    dt = cal.dt_h

    def noise(name: str, rows: int, phi: float) -> dict[int, Array]:
        kind = name.partition("-")[0]
        return correlated(
            lambda p: ar1(key.stream(name, p.key).standard_normal(rows), phi), places, sites, t[kind]["decay_km"]
        )

    def per_place(make: Callable[[int], Array]) -> Array:
        made = {i: make(i) for i in sorted(set(sites))}
        return np.stack([made[i] for i in sites], axis=1)

    wind = noise("wind", cal.rows, t["wind"]["phi_per_h"] ** dt)
    days = noise("solar-days", int(cal.day[-1]) + 1, 0.0)
    cloud = noise("solar-hours", cal.rows, t["solar"]["phi_per_h"] ** dt)
    water = noise("hydro", cal.rows, t["hydro"]["phi_per_day"] ** (dt / 24))
    warmth = noise("temperature", cal.rows, t["temperature"]["phi_per_day"] ** (dt / 24))
    clear = {i: clear_sky(places[i], cal) for i in sites}
    index = {i: sky_index(places[i].row["solar"]["sky"], days[i], cloud[i], cal) for i in sites}
    return Weather(
        wind=per_place(lambda i: wind_share(places[i], wind[i], cal)),
        solar=per_place(lambda i: solar_share(places[i], index[i], clear[i], cal)),
        base_solar=per_place(lambda i: solar_share(places[i], index[i], clear[i], cal, supply_base=True)),
        hydro=per_place(lambda i: hydro_share(places[i], water[i], cal)),
        beam=per_place(lambda i: beam_share(index[i], clear[i])),
        clear=per_place(lambda i: clear[i].panel),
        clear_beam=per_place(lambda i: clear[i].beam),
        temperature_c=per_place(lambda i: temperature_c(places[i], warmth[i], cal)),
    )
