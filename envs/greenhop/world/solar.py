"""Sun: clear sky × index from a daily Markov chain with hourly noise, bent to give the monthly capacity factors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from greenhop.arrays import Array
from greenhop.scenario.tables import load_table
from greenhop.world.calendar import Calendar

if TYPE_CHECKING:
    from greenhop.world.places import Place

BENDS = np.geomspace(0.02, 12.0, 300)  # exponents the calibration chooses from
DARKEST = 0.03  # clear-sky index under the thickest cloud: assumption


@dataclass(frozen=True)
class ClearSky:
    """Cloudless output `[N]`: of panels as a share of capacity, and of the beam as a share of design irradiance."""

    panel: Array
    beam: Array


def clear_sky(place: Place, cal: Calendar) -> ClearSky:
    """Panels tilted by the latitude towards south, Meinel's clear sky; solar time follows from the longitude."""
    t, csp = load_table("stochastic")["solar"], load_table("stochastic")["csp"]
    angle = 2 * np.pi * (cal.day_of_year - 80) / 365  # from the spring equinox
    declination = np.radians(23.45) * np.sin(angle)
    hour_angle = np.radians(15.0) * (cal.mid_h - 12.0) + np.radians(place.lon_deg - 120.0)  # UTC+8 is true at 120° east
    lat = np.radians(place.lat_deg)
    height = np.sin(lat) * np.sin(declination) + np.cos(lat) * np.cos(declination) * np.cos(hour_angle)
    up = height > 0.02  # below about one degree nothing useful arrives
    air_mass = 1.0 / np.where(up, height, 1.0)
    beam = np.where(up, t["solar_constant_w_per_m2"] * t["transmittance"] ** (air_mass ** t["air_mass_exponent"]), 0.0)
    on_panel = np.maximum(0.0, np.cos(declination) * np.cos(hour_angle))
    plane = beam * (on_panel + t["diffuse_share"] * np.where(up, height, 0.0))
    return ClearSky(
        panel=np.minimum(1.0, t["performance_ratio"] * plane / 1000.0),  # rated at 1000 W/m²
        beam=np.minimum(1.0, beam / csp["design_irradiance_w_per_m2"]),
    )


def day_states(sky: str, latent: Array) -> NDArray[np.int64]:
    """`[days]` states of the daily chain of climate `sky`, driven by standard normal `latent` `[days]`."""
    transition = np.array(load_table("stochastic")["solar"]["transition"][sky])
    ladder = np.cumsum(transition, axis=1)
    u = ndtr(latent)
    state = int(np.searchsorted(np.cumsum(stationary(sky)), u[0]))
    out = np.empty(len(u), dtype=np.int64)
    for day, x in enumerate(u):
        out[day] = state
        state = min(2, int(np.searchsorted(ladder[state], x)))
    return np.minimum(out, 2)


@cache
def stationary(sky: str) -> Array:
    """`[3]` long-run shares of the daily states."""
    transition = np.array(load_table("stochastic")["solar"]["transition"][sky])
    out: Array = np.linalg.matrix_power(transition, 200)[0]
    return out


def sky_index(sky: str, days: Array, hourly: Array, cal: Calendar) -> Array:
    """`[N]` clear-sky index before bending, from daily `[days]` and per-row `[N]` standard normal noise."""
    t = load_table("stochastic")["solar"]
    state = day_states(sky, days)[cal.day]
    return _index(np.array(t["index_mean"])[state], np.array(t["index_sd"])[state], hourly)


def _index(mean: Any, sd: Any, noise: Array) -> Array:
    out: Array = np.clip(mean + sd * noise, DARKEST, 1.0)
    return out


@cache
def bent_means(sky: str) -> Array:
    """Expected `index ** bend` for each of `BENDS`, falling."""
    t = load_table("stochastic")["solar"]
    nodes, weights = np.polynomial.hermite_e.hermegauss(41)
    index = np.stack([_index(m, s, nodes) for m, s in zip(t["index_mean"], t["index_sd"], strict=True)])  # [3, 41]
    share = stationary(sky)[:, None] * weights / weights.sum()
    return np.array([(share * index**bend).sum() for bend in BENDS])


def bends(place: Place, wanted: Array, clear: Array, cal: Calendar) -> Array:
    """`[12]` exponents that give the `wanted` monthly capacity factors `[12]` under the `clear` sky `[N]`."""
    mean_clear = np.array([clear[cal.month == m].mean() for m in range(12)])
    share = wanted / mean_clear
    return np.asarray(np.interp(-share, -bent_means(place.row["solar"]["sky"]), BENDS), dtype=np.float64)


def solar_share(place: Place, index: Array, clear: ClearSky, cal: Calendar, supply_base: bool = False) -> Array:
    """`[N]` output as a share of capacity, of panels at the place or of its province's supply base."""
    solar = place.row["solar"]
    wanted = np.array(solar["capacity_factor_monthly"], dtype=np.float64)
    if supply_base:
        wanted = wanted * (solar["supply_base_capacity_factor"] / wanted.mean())
    bend = bends(place, wanted, clear.panel, cal)
    out: Array = clear.panel * index ** bend[cal.month]
    return out


def beam_share(index: Array, clear: ClearSky) -> Array:
    """`[N]` heat of a mirror field as a share of its rating."""
    out: Array = clear.beam * index ** load_table("stochastic")["csp"]["beam_exponent"]
    return out
