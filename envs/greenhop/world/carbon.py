"""Carbon intensity of grid power: the site table's yearly average with mild renewable weather, or the marginal unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from greenhop.arrays import Array
from greenhop.scenario.tables import load_table

if TYPE_CHECKING:
    from greenhop.world.places import Place
    from greenhop.world.weather import Weather


def carbon_kg_per_mwh(places: list[Place], weather: Weather, marginal: bool) -> Array:
    """`[N, R]`; `places` are those of the sites, in site order."""
    if marginal:
        return np.full_like(weather.wind, load_table("carbon")["marginal_kg_per_mwh"])
    return np.stack(
        [_average(p, *(x[:, r] for x in (weather.wind, weather.solar, weather.hydro))) for r, p in enumerate(places)],
        axis=1,
    )


def _average(place: Place, wind: Array, solar: Array, hydro: Array) -> Array:
    """`[N]`: less carbon in hours with more wind, sun and water than the year's mean, by their shares of generation."""
    t, row = load_table("carbon")["modulation"], place.row
    burnt = 1.0 - row["wind_share"] - row["solar_share"] - row["hydro_share"]
    variable = t["variable"] / burnt
    weights = (variable * row["wind_share"], variable * row["solar_share"], t["hydro"] * row["hydro_share"])
    more = sum(w * (x / max(x.mean(), 1e-9) - 1.0) for w, x in zip(weights, (wind, solar, hydro), strict=True))
    out: Array = row["carbon_kg_per_mwh"] * np.maximum(t["floor_share"], 1.0 - more)
    return out
