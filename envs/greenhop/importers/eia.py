"""EIA v2 CSV (routes region-data and fuel-type-data): `period` is the UTC hour that ends, MWh of an hour are MW."""

from __future__ import annotations

from pathlib import Path

from greenhop.importers.files import bad
from greenhop.importers.layout import Layout, TableOptions
from greenhop.importers.samples import Samples, samples
from greenhop.importers.times import read_times

DEMAND, UNIT = "D", "megawatthours"


class EiaOptions(TableOptions):
    """`code` is the type (`D`, demand) or fuel (`SUN`, `WND`, `WAT`); `respondent` the balancing area."""

    code: str
    """Type (`D`: demand) or fuel (`SUN`, `WND`, `WAT`)."""
    respondent: str | None = None
    """Balancing area, where the file holds several."""


def read(path: Path, options: EiaOptions) -> Samples:
    """One area and one type or fuel: demand in `demand_mw`, everything else in `generation_mw`."""
    sheet = options.sheet(path)
    sheet = sheet.where({sheet.find("type", "fueltype"): options.code})
    if options.respondent is not None:
        sheet = sheet.where({"respondent": options.respondent})
    sheet.uniform("respondent")
    for line, unit in zip(sheet.lines, sheet.texts(sheet.find("value-units")), strict=True):
        if unit.casefold() != UNIT:
            bad(path, int(line), f"value-units = {unit!r}; expected {UNIT}")
    texts = sheet.texts(sheet.find("period"))
    times = read_times(texts, sheet.lines, path, "UTC", sheet.repairs, options.time_format)
    name = "demand_mw" if options.code == DEMAND else "generation_mw"
    values = {name: sheet.numbers(sheet.find("value"))}
    notes = (f"{sheet.texts(sheet.find('respondent'))[0]}, {options.code}", "periods are hours ending in UTC")
    return samples(path, sheet.lines, times, values, sheet.repairs, notes=notes, ending=[name])


LAYOUT = Layout("EIA v2 demand or generation, CSV", EiaOptions, read)
