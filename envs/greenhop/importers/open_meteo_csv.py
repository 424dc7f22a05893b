"""Open-Meteo CSV: a row of metadata names, a row of their values, an empty row, then `time,variable (unit),…`."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from greenhop.importers.files import bad, read_text
from greenhop.importers.layout import Layout
from greenhop.importers.open_meteo import OpenMeteoCsvOptions, canonical, convert, weather_samples
from greenhop.importers.samples import Samples, Spot
from greenhop.importers.sheet import sheet_of
from greenhop.importers.times import read_times

COLUMN = re.compile(r"(\w+)\s*\((.*)\)")


def read(path: Path, options: OpenMeteoCsvOptions) -> Samples:
    """Read metadata, then the table below."""
    repairs: Counter[str] = Counter()
    text = read_text(path, repairs, options.form).replace("\r\n", "\n")
    meta, gap, table = text.partition("\n\n")
    if not gap or not meta.startswith("latitude"):
        bad(path, 1, "expected the metadata row latitude,longitude,… and an empty row before the table")
    facts = sheet_of(f"{meta}\n", path, 1, repairs)
    sheet = sheet_of(table, path, meta.count("\n") + 3, repairs, options.form)
    lat, lon, offset = (facts.numbers(facts.find(n))[0] for n in ("latitude", "longitude", "utc_offset_seconds"))
    height = facts.look("elevation")
    times = read_times(sheet.texts(sheet.find("time")), sheet.lines, path, "UTC", repairs)
    values = {}
    for column in sheet.header:
        match = COLUMN.fullmatch(column)
        if match and (known := canonical(match[1])):
            values[known] = convert(match[1], sheet.numbers(column), match[2], path)
    times.seconds[:] -= int(offset)
    spot = Spot(float(lat), float(lon), float(facts.numbers(height)[0]) if height else 0.0)
    return weather_samples(path, sheet.lines, times, values, spot, repairs)


LAYOUT = Layout("Open-Meteo, CSV", OpenMeteoCsvOptions, read)
