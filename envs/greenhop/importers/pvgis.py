"""PVGIS hourly radiation, JSON or CSV of its `seriescalc`, read with pvlib's own reader (extra `weather`).

Values are those of one moment in the hour, when the satellite looked; they are taken for the mean of the hour that
holds it (assumption). Radiation must be that of a horizontal plane: the plant's own tilt comes later.
"""

from __future__ import annotations

from collections import Counter
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from greenhop.arrays import Array
from greenhop.errors import ConfigError
from greenhop.importers.files import bad, read_text
from greenhop.importers.layout import Layout, Options
from greenhop.importers.samples import Samples, Spot, samples
from greenhop.importers.steps import HOUR_S
from greenhop.importers.times import Times

PARTS = ("poa_direct", "poa_sky_diffuse", "poa_ground_diffuse")  # pvlib's names; on a level plane the last is zero
OTHERS = {"temp_air": "temperature_c", "wind_speed": "wind_10m_m_per_s"}


class PvgisOptions(Options):
    """Everything is in the file."""


def read(path: Path, options: PvgisOptions) -> Samples:
    """Rows in errors are rows of a CSV file, or positions in the list of a JSON file, counted from 1."""
    repairs: Counter[str] = Counter()
    text = read_text(path, repairs)
    data, about = _parsed(text, path)
    head = text.partition("\ntime,")[0]
    lines = np.arange(len(data)) + (1 if text.lstrip().startswith("{") else head.count("\n") + 3)
    seconds = pd.DatetimeIndex(data.index).tz_convert(None).to_numpy("datetime64[s]").astype(np.int64)
    minutes = sorted(set((seconds % HOUR_S // 60).tolist()))
    times = Times(seconds - seconds % HOUR_S, np.zeros(len(data), dtype=np.bool_))
    values = {ours: data[theirs].to_numpy(np.float64) for theirs, ours in OTHERS.items() if theirs in data}
    notes = [f"values of minute {', '.join(map(str, minutes))} taken for the hour"]
    if (slope := _slope_deg(about["inputs"])) == 0.0:
        values |= _radiation(data)
    else:
        notes.append(f"radiation on a plane of {slope:g}° is left out")
    if "Int" in data:
        notes.append(f"{int(data['Int'].sum())} of {len(data)} rows reconstructed by the source")
    if not values:
        bad(path, None, f"none of the columns that can be used; it has {', '.join(map(str, data.columns))}")
    return samples(path, lines, times, values, repairs, _spot(about["inputs"], path), tuple(notes))


def _parsed(text: str, path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    try:
        from pvlib.iotools import read_pvgis_hourly
    except ImportError:
        raise ConfigError("reading PVGIS needs pvlib: pip install 'greenhop[weather]'") from None
    kind = "json" if text.lstrip().startswith("{") else "csv"
    try:
        data, about = read_pvgis_hourly(StringIO(text), pvgis_format=kind)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        bad(path, None, f"not an hourly answer of PVGIS ({type(error).__name__}: {' '.join(str(error).split())[:80]})")
    return data, about


def _radiation(data: pd.DataFrame) -> dict[str, Array]:
    """Global and diffuse irradiance of a level plane."""
    if all(part in data for part in PARTS):
        direct, sky, ground = (data[part].to_numpy(np.float64) for part in PARTS)
        return {"ghi_w_per_m2": direct + sky + ground, "dhi_w_per_m2": sky + ground}
    return {"ghi_w_per_m2": data["poa_global"].to_numpy(np.float64)} if "poa_global" in data else {}


def _slope_deg(inputs: dict[str, Any]) -> float:
    """Tilt of the plane; of CSV files it stands in words."""
    if "mounting_system" in inputs:
        return float(inputs["mounting_system"].get("fixed", {}).get("slope", {}).get("value", np.nan))
    return float(str(inputs.get("Slope", "nan")).split()[0])


def _spot(inputs: dict[str, Any], path: Path) -> Spot:
    place = inputs.get("location", inputs)
    try:
        return Spot(float(place["latitude"]), float(place["longitude"]), float(place.get("elevation") or 0.0))
    except (KeyError, TypeError, ValueError):
        bad(path, None, "latitude and longitude are missing")


LAYOUT = Layout("PVGIS hourly, JSON or CSV", PvgisOptions, read)
