"""NASA POWER hourly CSV: a header between two marks, then `YEAR,MO,DY,HR,parameter,…`; −999 is a missing value.

Hours are taken as the means of the hour they begin (assumption). Local solar time (LST, the default of the service) is
turned into UTC by the whole hours of the longitude, `round(longitude / 15)`.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

from greenhop.importers.files import bad, read_text
from greenhop.importers.layout import Layout, TextOptions
from greenhop.importers.samples import Samples, Spot, samples
from greenhop.importers.sheet import Sheet, sheet_of
from greenhop.importers.times import read_times

FILL = "-999"  # the documented mark
BEGIN, END = "-BEGIN HEADER-", "-END HEADER-"
NUMBER = r"(-?\d+(?:\.\d+)?)"
ENERGY = {"Wh/m^2": 1.0, "W/m^2": 1.0, "MJ/hr": 1e6 / 3600, "MJ/m^2/hr": 1e6 / 3600, "kW-hr/m^2": 1000.0}
PARAMETERS: dict[str, tuple[str, dict[str, float]]] = {
    "T2M": ("temperature_c", {"C": 1.0}),
    "RH2M": ("humidity_pct", {"%": 1.0}),
    "WS10M": ("wind_10m_m_per_s", {"m/s": 1.0}),
    "WS50M": ("wind_50m_m_per_s", {"m/s": 1.0}),
    "ALLSKY_SFC_SW_DWN": ("ghi_w_per_m2", ENERGY),
    "ALLSKY_SFC_SW_DNI": ("dni_w_per_m2", ENERGY),
    "ALLSKY_SFC_SW_DIFF": ("dhi_w_per_m2", ENERGY),
}


class NasaPowerOptions(TextOptions):
    """What is not in the file: how it was saved again."""


def read(path: Path, options: NasaPowerOptions) -> Samples:
    """Read the header for clock, place and units, then the table."""
    repairs: Counter[str] = Counter()
    form = options.form if options.missing is not None else replace(options.form, missing=(FILL,))
    text = read_text(path, repairs, form)
    head, end, table = text.partition(END)
    if BEGIN not in head or not end:
        bad(path, 1, f"no header between {BEGIN} and {END}")
    line = head.count("\n") + 2
    sheet = sheet_of(table.lstrip("\r\n"), path, line, repairs, form)
    lat, lon, height = _place(head, path)
    lst = _is_lst(head, path)
    hour = [f"{y}-{m.zfill(2)}-{d.zfill(2)}T{h.zfill(2)}" for y, m, d, h in _dates(sheet)]
    times = read_times(hour, sheet.lines, path, "UTC", repairs)
    offset_h = round(lon / 15.0) if lst else 0
    times.seconds[:] -= offset_h * 3600
    values = {}
    for column in sheet.header:
        if column in PARAMETERS:
            name, units = PARAMETERS[column]
            values[name] = sheet.numbers(column) * _factor(head, column, units, path)
    if not values:
        bad(path, line, f"none of the parameters that can be used: {', '.join(PARAMETERS)}")
    note = f"local solar time, {offset_h:+d} h" if lst else "UTC"
    return samples(path, sheet.lines, times, values, repairs, Spot(lat, lon, height), (note,))


def _dates(sheet: Sheet) -> list[tuple[str, ...]]:
    return list(zip(*(sheet.texts(sheet.find(c)) for c in ("YEAR", "MO", "DY", "HR")), strict=True))


def _factor(head: str, column: str, units: dict[str, float], path: Path) -> float:
    match = re.search(rf"^{column}\b.*\(([^()]*)\)\s*$", head, re.MULTILINE)
    if match is None or match[1].strip() not in units:
        given = "without unit" if match is None else repr(match[1])
        bad(path, None, f"{column} is {given} in the header; allowed: {', '.join(units)}")
    return units[match[1].strip()]


def _place(head: str, path: Path) -> tuple[float, float, float]:
    match = re.search(rf"latitude\s+{NUMBER}\s+longitude\s+{NUMBER}", head, re.IGNORECASE)
    if match is None:
        bad(path, None, "the header does not give latitude and longitude")
    height = re.search(rf"elevation.*=\s*{NUMBER}\s*m", head, re.IGNORECASE)
    return float(match[1]), float(match[2]), float(height[1]) if height else 0.0


def _is_lst(head: str, path: Path) -> bool:
    match = re.search(r"^dates?\b.*\bin (LST|UTC)\b", head, re.IGNORECASE | re.MULTILINE)
    if match is None:
        bad(path, None, "the header does not say whether dates are in UTC or LST")
    return match[1].upper() == "LST"


LAYOUT = Layout("NASA POWER hourly, CSV", NasaPowerOptions, read)
