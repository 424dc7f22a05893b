"""Energy prices: administrative time-of-use, spot market, negotiated flat price, direct green supply.

All are the energy part; wires, fees and line loss are the adder of `Params` and come on top in the step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from greenhop.arrays import Array
from greenhop.scenario.sites import feed_in, tariff_rows, volume_fees
from greenhop.scenario.tables import load_table
from greenhop.world.calendar import Calendar
from greenhop.world.export import export_price
from greenhop.world.noise import ar1, correlated, pulses
from greenhop.world.streams import StreamKey

if TYPE_CHECKING:
    from greenhop.scenario.config import ScenarioConfig
    from greenhop.world.places import Place
    from greenhop.world.weather import Weather


@dataclass(frozen=True)
class Prices:
    """Arrays `[N, R]` in CNY/MWh; what bounds a market price and whether a site has one, `[R]`."""

    grid: Array
    export: Array
    floor: Array
    cap: Array
    market: NDArray[np.bool_]


def make_prices(
    scenario: ScenarioConfig,
    key: StreamKey,
    places: tuple[Place, ...],
    sites: tuple[int, ...],
    weather: Weather,
    cal: Calendar,
) -> Prices:
    """Prices of a year at every site; in every row the export price is at most the grid energy price."""
    t = load_table("stochastic")["price"]
    tariffs = tariff_rows(scenario)
    phi = 0.5 ** (cal.dt_h / t["half_life_h"])
    spot_noise = correlated(
        lambda p: ar1(key.stream("price", p.key).standard_normal(cal.rows), phi), places, sites, decay_km=800.0
    )
    grid = np.empty((cal.rows, len(sites)))
    for r, (config, tariff, i) in enumerate(zip(scenario.sites.values(), tariffs, sites, strict=True)):
        if config.tariff_mode == "spot":
            anomaly = renewable_anomaly(weather.wind[:, r], weather.solar[:, r], cal)
            jumps = price_jumps(key, places[i], cal)
            grid[:, r] = spot_price(tariff, spot_noise[i], anomaly, jumps, cal)
        elif config.tariff_mode == "negotiated":
            grid[:, r] = tariff["negotiated_cny_per_mwh"] - volume_fees(tariff)
        else:
            grid[:, r] = time_of_use(tariff, cal) * monthly_factor(key, places[i], cal)
    floor, cap = (np.array([limit(tariff, which) for tariff in tariffs]) for which in ("floor", "cap"))
    market = np.array([s.tariff_mode == "spot" for s in scenario.sites.values()])
    return Prices(grid, export_price(grid, feed_in(scenario)), floor, cap, market)


def limit(tariff: Mapping[str, Any], which: str) -> float:
    """Floor or cap of the province's spot market."""
    return float(tariff.get(f"spot_{which}_cny_per_mwh", load_table("stochastic")["price"][f"{which}_cny_per_mwh"]))


def flat_price(tariff: Mapping[str, Any]) -> Array:
    """`[12]` price of the flat period by month."""
    out = np.empty(12)
    for season in tariff["seasons"]:
        out[np.array(season["months"]) - 1] = season.get("energy_cny_per_mwh", tariff["energy_cny_per_mwh"])
    return out


def time_of_use(tariff: Mapping[str, Any], cal: Calendar) -> Array:
    """`[N]` administrative price: flat price × the ratio of the period the hour belongs to."""
    ratio = np.ones((12, 24))
    for season in tariff["seasons"]:
        for period, value in tariff["ratios"].items():
            ratio[np.ix_(np.array(season["months"]) - 1, np.array(season.get(period, []), dtype=np.int64))] = value
    out: Array = (flat_price(tariff)[:, None] * ratio)[cal.month, cal.hour]
    return out


def monthly_factor(key: StreamKey, place: Place, cal: Calendar) -> Array:
    """`[N]` purchase price of the month relative to the table; published ahead, so no forecast errs about it."""
    sd = load_table("stochastic")["price"]["monthly_sd"]
    noise = key.stream("price-month", place.row["tariff"]).standard_normal(12)
    out: Array = (1.0 + sd * np.clip(noise, -2.0, 2.0))[cal.month]
    return out


def renewable_anomaly(wind: Array, solar: Array, cal: Calendar) -> Array:
    """`[N]` how far wind and sun lie above the mean of the month and hour, each over its yearly mean and weighted."""
    t = load_table("stochastic")["price"]
    out = np.zeros(cal.rows)
    for share, weight in ((wind, t["wind_share"]), (solar, t["solar_share"])):
        cell = cal.month * 24 + cal.hour
        mean = np.bincount(cell, share) / np.bincount(cell)
        out += weight * (share - mean[cell]) / max(share.mean(), 1e-9)
    return out


def spot_price(tariff: Mapping[str, Any], latent: Array, anomaly: Array, jumps: Array, cal: Calendar) -> Array:
    """`[N]` market price: monthly level × (daily shape − renewable anomaly + noise) + jumps, clipped."""
    t = load_table("stochastic")["price"]
    base = flat_price(tariff)[cal.month]
    price = base * (spot_shape()[cal.month, cal.hour] - anomaly + t["noise_share"] * latent) + jumps
    out: Array = np.clip(price, limit(tariff, "floor"), limit(tariff, "cap"))
    return out


def spot_shape() -> Array:
    """`[12, 24]` daily shape of mean one; the midday dip is deepest in spring."""
    t = load_table("stochastic")["price"]
    hourly = np.array(t["hourly"]) / np.mean(t["hourly"])
    depth = np.array(t["midday_depth_monthly"])[:, None] * np.where(hourly < 1.0, 1.0, 0.0)
    depth = np.where((np.arange(24) >= 9) & (np.arange(24) < 16), depth, 1.0)
    shape: Array = 1.0 + (hourly - 1.0) * depth
    return np.asarray(shape + 1.0 - shape.mean(axis=1, keepdims=True), dtype=np.float64)


def price_jumps(key: StreamKey, place: Place, cal: Calendar) -> Array:
    """`[N]` short excursions of a spot price, CNY/MWh."""
    t = load_table("stochastic")["price"]
    rng = key.stream("price-jumps", place.key)
    height = t["jump_sd_cny_per_mwh"] * rng.standard_normal(400)
    return pulses(rng, cal.rows, t["jumps_per_day"] * cal.dt_h / 24, None, t["jump_hours"] / cal.dt_h, height)
