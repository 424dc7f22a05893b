"""EIA v2 CSV (routes region-data and fuel-type-data): `period` is the UTC hour that ends, MWh of an hour are MW."""

from __future__ import annotations

from pathlib import Path

from greenhop.importers.files import Sheet, bad, read_sheet
from greenhop.importers.hourly import Samples, samples
from greenhop.importers.layout import Layout, Options
from greenhop.importers.times import read_times

DEMAND, UNIT = "D", "megawatthours"


class EiaOptions(Options):
    """`code` is the type (`D`, demand) or fuel (`SUN`, `WND`, `WAT`); `respondent` the balancing area."""

    code: str
    """Type (`D`: demand) or fuel (`SUN`, `WND`, `WAT`)."""
    respondent: str | None = None
    """Balancing area, where the file holds several."""


def read(path: Path, options: EiaOptions) -> Samples:
    """One area and one type or fuel: demand in `demand_mw`, everything else in `generation_mw`."""
    sheet = read_sheet(path)
    sheet = _only(sheet, sheet.find("type", "fueltype"), options.code, "code")
    sheet = _only(sheet, sheet.find("respondent"), options.respondent, "respondent")
    for line, unit in zip(sheet.lines, sheet.texts(sheet.find("value-units")), strict=True):
        if unit.casefold() != UNIT:
            bad(path, int(line), f"value-units = {unit!r}; expected {UNIT}")
    times = read_times(sheet.texts(sheet.find("period")), sheet.lines, path, "UTC", sheet.repairs)
    times.seconds[:] -= 3600
    name = "demand_mw" if options.code == DEMAND else "generation_mw"
    values = {name: sheet.numbers(sheet.find("value"))}
    notes = (f"{sheet.texts(sheet.find('respondent'))[0]}, {options.code}", "periods are hours ending in UTC")
    return samples(path, sheet.lines, times, values, sheet.repairs, notes=notes)


def _only(sheet: Sheet, column: str, wanted: str | None, option: str) -> Sheet:
    texts = sheet.texts(column)
    kinds = sorted(set(texts))
    if wanted is None and len(kinds) == 1:
        return sheet
    if wanted not in kinds:
        bad(sheet.path, None, f"options.{option} = {wanted!r}; the file has {', '.join(kinds)}")
    return sheet.only([t == wanted for t in texts])


LAYOUT = Layout("EIA v2 demand or generation, CSV", EiaOptions, read)
