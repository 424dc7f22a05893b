"""Wind power: Gaussian AR(1) → Weibull speed → smoothed farm curve, scaled to give the monthly capacity factors."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import log_ndtr

from greenhop.arrays import Array
from greenhop.scenario.tables import load_table
from greenhop.world.calendar import Calendar

if TYPE_CHECKING:
    from greenhop.world.places import Place

SPEEDS = np.linspace(0.0, 45.0, 901)  # m/s, grid of the farm curve
SCALES = np.linspace(1.0, 20.0, 191)  # m/s, Weibull scales the calibration chooses from
QUANTILES = (np.arange(2000) + 0.5) / 2000


@cache
def farm_curve() -> Array:
    """Output over `SPEEDS` as a share of capacity: cubic up to rated speed, smeared over the turbines of a farm."""
    t = load_table("stochastic")["wind"]
    low, rated, high = t["cut_in_m_per_s"], t["rated_m_per_s"], t["cut_out_m_per_s"]
    cubic = np.clip((SPEEDS**3 - low**3) / (rated**3 - low**3), 0.0, 1.0)
    single = np.where(high > SPEEDS, cubic, 0.0)
    offset = (SPEEDS[:, None] - SPEEDS[None, :]) / t["farm_smoothing_m_per_s"]
    kernel = np.exp(-0.5 * offset**2)
    smeared: Array = kernel @ single / kernel.sum(axis=1)
    return np.where(smeared < 1e-3, 0.0, smeared)  # a calm farm feeds nothing


@cache
def expected_output(weibull_k: float) -> Array:
    """Mean output at each of `SCALES`, rising up to the scale of the largest mean."""
    unit = (-np.log1p(-QUANTILES)) ** (1.0 / weibull_k)
    mean: Array = np.array([np.interp(scale * unit, SPEEDS, farm_curve()).mean() for scale in SCALES])
    return np.asarray(np.maximum.accumulate(mean), dtype=np.float64)


def wanted_output(place: Place) -> Array:
    """`[12, 24]` mean capacity factor by month and hour: monthly table × a daily cosine."""
    wind = place.row["wind"]
    angle = 2 * np.pi * (np.arange(24) - wind["diurnal_peak_h"]) / 24
    shape = 1.0 + wind["diurnal_amplitude"] * np.cos(angle)
    return np.asarray(np.array(wind["capacity_factor_monthly"])[:, None] * shape, dtype=np.float64)


def wind_share(place: Place, latent: Array, cal: Calendar) -> Array:
    """`[N]` output as a share of capacity from standard normal `latent` `[N]`."""
    k = place.row["wind"]["weibull_k"]
    scale = np.interp(wanted_output(place), expected_output(k), SCALES)
    speed = scale[cal.month, cal.hour] * (-log_ndtr(-latent)) ** (1.0 / k)
    return np.asarray(np.interp(speed, SPEEDS, farm_curve()), dtype=np.float64)
