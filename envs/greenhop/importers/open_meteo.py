"""What the two Open-Meteo layouts share: variables, their units, and the clock.

Times are local at one fixed offset (`utc_offset_seconds`) all year, summer time is not applied. Radiation is the mean
of the hour before its time, everything else is the value at its time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from greenhop.arrays import Array, Ints
from greenhop.importers.files import Repairs, bad
from greenhop.importers.layout import Options, TextOptions
from greenhop.importers.samples import Samples, Spot, samples
from greenhop.importers.times import Times

SPEED = {"km/h": 1 / 3.6, "m/s": 1.0, "mp/h": 0.44704, "mph": 0.44704, "kn": 0.514444}
# our name, units as factors to ours
VARIABLES: dict[str, tuple[str, dict[str, float]]] = {
    "temperature_2m": ("temperature_c", {"°C": 1.0, "°F": 5 / 9}),
    "relative_humidity_2m": ("humidity_pct", {"%": 1.0}),
    "wind_speed_10m": ("wind_10m_m_per_s", SPEED),
    "wind_speed_80m": ("wind_80m_m_per_s", SPEED),
    "wind_speed_100m": ("wind_100m_m_per_s", SPEED),
    "wind_speed_120m": ("wind_120m_m_per_s", SPEED),
    "shortwave_radiation": ("ghi_w_per_m2", {"W/m²": 1.0}),
    "direct_normal_irradiance": ("dni_w_per_m2", {"W/m²": 1.0}),
    "diffuse_radiation": ("dhi_w_per_m2", {"W/m²": 1.0}),
    "cloud_cover": ("cloud_share", {"%": 0.01}),
}
LEGACY = {
    "cloudcover": "cloud_cover",
    "relativehumidity_2m": "relative_humidity_2m",
    **{f"windspeed_{h}m": f"wind_speed_{h}m" for h in (10, 80, 100, 120)},
}
PRECEDING_HOUR = ("ghi_w_per_m2", "dni_w_per_m2", "dhi_w_per_m2")
HEIGHT_WIND = re.compile(r"wind_(\d+)m_m_per_s")


class OpenMeteoOptions(Options):
    """Everything is in the file."""


class OpenMeteoCsvOptions(TextOptions):
    """What is not in the file: how it was saved again."""


def canonical(name: str) -> str | None:
    """Our name of a variable of theirs; `None` for variables that are of no use here."""
    entry = VARIABLES.get(LEGACY.get(name, name))
    return None if entry is None else entry[0]


def convert(name: str, values: Array, unit: str, path: Path) -> Array:
    """Values of a variable in our unit."""
    allowed = VARIABLES[LEGACY.get(name, name)][1]
    unit = unit.replace("W/m2", "W/m²").strip()
    if unit not in allowed:
        bad(path, None, f"{name} is in {unit!r}; allowed: {', '.join(allowed)}")
    shifted = values - 32.0 if unit == "°F" else values
    return shifted * allowed[unit]


def weather_samples(
    path: Path, lines: Ints, times: Times, values: Mapping[str, Array], spot: Spot, repairs: Repairs
) -> Samples:
    """Rows of weather; radiation belongs to the hour before its time."""
    if not values:
        bad(path, None, f"none of the variables that can be used: {', '.join(VARIABLES)}")
    ending = [name for name in PRECEDING_HOUR if name in values]
    notes = ("radiation is the mean of the hour before its time",)
    return samples(path, lines, times, values, repairs, spot, notes, ending)
