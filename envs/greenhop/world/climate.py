"""Outdoor temperature and run-of-river water: a seasonal curve with correlated weather on top."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from greenhop.arrays import Array
from greenhop.scenario.tables import load_table
from greenhop.world.calendar import Calendar, monthly

if TYPE_CHECKING:
    from greenhop.world.places import Place


def temperature_c(place: Place, latent: Array, cal: Calendar) -> Array:
    """`[N]` dry bulb: monthly normals, a daily cosine that follows the sun, an anomaly from normal `latent` `[N]`."""
    t, climate = load_table("stochastic")["temperature"], place.row["climate"]
    sun_h = cal.mid_h + (place.lon_deg - 120.0) / 15.0
    day = climate["diurnal_range_k"] / 2 * np.cos(2 * np.pi * (sun_h - t["warmest_hour"]) / 24)
    out: Array = monthly(climate["temperature_monthly_c"], cal) + day + t["anomaly_sd_k"] * latent
    return out


def hydro_share(place: Place, latent: Array, cal: Calendar) -> Array:
    """`[N]` run-of-river output as a share of capacity: the regime's season × lognormal flow of mean one."""
    t = load_table("stochastic")["hydro"]
    season = monthly(t["capacity_factor_monthly"][place.row["hydro"]["regime"]], cal)
    sd = t["log_sd"]
    out: Array = np.minimum(1.0, season * np.exp(sd * latent - sd * sd / 2))
    return out
