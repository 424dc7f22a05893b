"""Output of photovoltaic plants from weather, with pvlib (extra `weather`): fixed tilt, one array, no shading.

irradiance → sun at the middle of the hour → plane of array (isotropic sky) → cell temperature (Faiman) → PVWatts.
Without irradiance: clear sky (Haurwitz) × cloud cover n (0 … 1) after Kasten & Czeplak, `1 − 0.75 · n^3.4`
(Solar Energy 24, 1980). Without beam and diffuse parts: Erbs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from greenhop.arrays import Array
from greenhop.errors import ConfigError
from greenhop.importers.hourly import Hourly
from greenhop.importers.samples import Spot

CLOUD_FACTOR, CLOUD_EXPONENT = 0.75, 3.4  # Kasten & Czeplak 1980
SOLAR_CONSTANT_W_PER_M2 = 1361.0  # Kopp & Lean 2011: no beam on the ground is stronger
LOW_SUN_DEG = 87.0  # below three degrees beam = (global − diffuse) / cos(zenith) means nothing


class PvConfig(BaseModel):
    """A plant. `tilt_deg` defaults to the latitude; the azimuth to the equator's side."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    tilt_deg: Annotated[float, Field(ge=0, le=90)] | None = None
    """Tilt of the panels, degrees from level; null: the latitude."""
    azimuth_deg: Annotated[float, Field(ge=0, lt=360)] | None = None
    """Where the panels look, degrees clockwise from north; null: towards the equator."""
    temperature_per_k: float = -0.004
    """Change of power per degree of the cells above 25 °C, 1/K; crystalline silicon, assumption."""
    losses: Annotated[float, Field(ge=0, lt=1)] = 0.14
    """Losses of wires, dirt and mismatch, share; the default of PVWatts."""
    dc_to_ac: Annotated[float, Field(gt=0)] = 1.1
    """Power of the panels over that of the inverter; assumption."""
    wind_m_per_s: Annotated[float, Field(ge=0)] = 1.0
    """Wind at the panels where the file has none, m/s; assumption."""


def pv_cf(hourly: Hourly, config: PvConfig) -> tuple[Array, tuple[str, ...]]:
    """Share of (inverter) capacity in every hour, and the assumptions made.

    Raises:
        ConfigError: pvlib is not installed, or the weather does not suffice.
    """
    pvlib = _pvlib()
    lat, lon, tilt, azimuth = _geometry(hourly.spot, config)
    values = hourly.values
    if "temperature_c" not in values:
        raise ConfigError(f"{hourly.path}: pv_cf from weather needs the temperature; it has {', '.join(values)}")
    middle = hourly.time + pd.Timedelta(minutes=30)
    sun = pvlib.solarposition.get_solarposition(middle, lat, lon, hourly.spot.altitude_m)
    zenith, sun_azimuth = (np.asarray(sun[c], dtype=np.float64) for c in ("apparent_zenith", "azimuth"))
    ghi, note = _global(pvlib, values, zenith, hourly)
    dni, dhi = _parts(pvlib, values, ghi, zenith, middle)
    plane = pvlib.irradiance.get_total_irradiance(tilt, azimuth, zenith, sun_azimuth, dni, ghi, dhi, model="isotropic")
    poa = np.maximum(0.0, np.nan_to_num(np.asarray(plane["poa_global"], dtype=np.float64)))
    wind = values.get("wind_10m_m_per_s", np.full(hourly.hours, config.wind_m_per_s))
    cell = pvlib.temperature.faiman(poa, values["temperature_c"], wind)
    dc = pvlib.pvsystem.pvwatts_dc(poa, cell, config.dc_to_ac, config.temperature_per_k)
    out = np.clip(np.asarray(dc, dtype=np.float64) * (1.0 - config.losses), 0.0, 1.0)
    plant = f"tilt {tilt:g}°, azimuth {azimuth:g}°, losses {config.losses:g}, panels/inverter {config.dc_to_ac:g}"
    return out, (note, f"pvlib {pvlib.__version__}: {plant}")


def _pvlib() -> Any:
    try:
        import pvlib
    except ImportError:
        raise ConfigError("pv_cf from weather needs pvlib: pip install 'greenhop[weather]'") from None
    return pvlib


def _geometry(spot: Spot, config: PvConfig) -> tuple[float, float, float, float]:
    if spot.lat_deg is None or spot.lon_deg is None:
        raise ConfigError("pv_cf from weather needs the place: add lat_deg and lon_deg to the input")
    tilt = abs(spot.lat_deg) if config.tilt_deg is None else config.tilt_deg
    azimuth = (180.0 if spot.lat_deg >= 0 else 0.0) if config.azimuth_deg is None else config.azimuth_deg
    return spot.lat_deg, spot.lon_deg, tilt, azimuth


def _global(pvlib: Any, values: Mapping[str, Array], zenith: Array, hourly: Hourly) -> tuple[Array, str]:
    if "ghi_w_per_m2" in values:
        return values["ghi_w_per_m2"], "irradiance from the file"
    if "cloud_share" not in values:
        given = ", ".join(values)
        raise ConfigError(f"{hourly.path}: pv_cf from weather needs irradiance or cloud cover; it has {given}")
    clear = np.asarray(pvlib.clearsky.haurwitz(pd.Series(zenith))["ghi"], dtype=np.float64)
    cloud = np.clip(values["cloud_share"], 0.0, 1.0)
    share = 1.0 - CLOUD_FACTOR * cloud**CLOUD_EXPONENT
    return clear * share, "no irradiance in the file: Haurwitz clear sky × cloud cover (Kasten & Czeplak 1980)"


def _parts(
    pvlib: Any, values: Mapping[str, Array], ghi: Array, zenith: Array, middle: pd.DatetimeIndex
) -> tuple[Array, Array]:
    """Beam (normal) and diffuse irradiance: measured, the beam as what the diffuse part leaves, or both by Erbs."""
    if "dni_w_per_m2" in values and "dhi_w_per_m2" in values:
        return values["dni_w_per_m2"], values["dhi_w_per_m2"]
    high = zenith < LOW_SUN_DEG
    if "dhi_w_per_m2" in values:
        dhi = values["dhi_w_per_m2"]
        beam = np.maximum(0.0, ghi - dhi) / np.cos(np.radians(np.where(high, zenith, 0.0)))
        return np.where(high, np.minimum(beam, SOLAR_CONSTANT_W_PER_M2), 0.0), np.where(high, dhi, ghi)
    split = pvlib.irradiance.erbs(ghi, zenith, middle.day_of_year.to_numpy())
    dni, dhi = (np.nan_to_num(np.asarray(split[c], dtype=np.float64)) for c in ("dni", "dhi"))
    return np.where(high, dni, 0.0), np.where(high, dhi, ghi)
