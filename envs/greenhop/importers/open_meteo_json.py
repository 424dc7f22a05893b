"""Open-Meteo JSON: `hourly.{time, variable}` beside `hourly_units`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from greenhop.importers.files import bad, read_text, to_numbers
from greenhop.importers.layout import Layout
from greenhop.importers.open_meteo import OpenMeteoOptions, canonical, convert, weather_samples
from greenhop.importers.samples import Samples, Spot
from greenhop.importers.times import read_times


def read(path: Path, options: OpenMeteoOptions) -> Samples:
    """Rows in errors are positions in the lists, counted from 1."""
    repairs: Counter[str] = Counter()
    data = _parsed(read_text(path, repairs), path)
    hourly, units = data["hourly"], data["hourly_units"]
    texts = hourly.get("time")
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        bad(path, None, "hourly.time is no list of times")
    lines = np.arange(1, len(texts) + 1)
    offset = data.get("utc_offset_seconds")
    if not isinstance(offset, int):
        bad(path, None, "utc_offset_seconds is missing")
    times = read_times(texts, lines, path, "UTC", repairs)
    values = {}
    for name, series in hourly.items():
        known = canonical(name)
        if known is None:
            continue
        if not isinstance(series, list) or len(series) != len(texts):
            bad(path, None, f"hourly.{name} has another length than hourly.time ({len(texts)})")
        numbers = to_numbers(series, lines, path, name)
        values[known] = convert(name, numbers, str(units.get(name, "")), path)
    times.seconds[:] -= offset
    return weather_samples(path, lines, times, values, _spot(data, path), repairs)


def _parsed(text: str, path: Path) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        bad(path, getattr(error, "lineno", None), f"not JSON ({getattr(error, 'msg', error)})")
    for key in ("hourly", "hourly_units"):
        if not isinstance(data, dict) or not isinstance(data.get(key), dict):
            bad(path, None, f"no {key!r}: not an Open-Meteo answer with hourly variables")
    assert isinstance(data, dict)
    return data


def _spot(data: dict[str, Any], path: Path) -> Spot:
    try:
        return Spot(float(data["latitude"]), float(data["longitude"]), float(data.get("elevation") or 0.0))
    except (KeyError, TypeError, ValueError):
        bad(path, None, "latitude and longitude are missing")


LAYOUT = Layout("Open-Meteo, JSON", OpenMeteoOptions, read)
