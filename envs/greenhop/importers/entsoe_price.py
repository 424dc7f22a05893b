"""ENTSO-E day-ahead prices, CSV of the transparency platform: one row per market time unit, in local or UTC time."""

from __future__ import annotations

import re
from pathlib import Path

from greenhop.importers.files import Sheet, bad, read_sheet
from greenhop.importers.hourly import Samples, samples
from greenhop.importers.layout import Layout, PriceOptions, in_cny, price_column
from greenhop.importers.times import read_times

ZONES = {"CET/CEST": "Europe/Brussels", "UTC": "UTC", "WET/WEST": "Europe/Lisbon", "EET/EEST": "Europe/Helsinki"}
UNIT = re.compile(r"MTU \((.+)\)")
MARK = re.compile(r"\s*\((?:CET|CEST|UTC)\)\s*$")  # newer files tell the two passes through an hour apart by it


class EntsoePriceOptions(PriceOptions):
    """`sequence` keeps one auction where a file holds several."""

    sequence: str | None = None
    """The auction to keep, where the file holds several."""


def read(path: Path, options: EntsoePriceOptions) -> Samples:
    """Times are the starts of the ranges in the MTU column."""
    sheet = _one_auction(read_sheet(path), options.sequence)
    column = next((h for h in sheet.header if UNIT.fullmatch(h)), None)
    zone = None if column is None else ZONES.get(column[5:-1].strip())
    if column is None or zone is None:
        bad(path, 1, f"no column such as MTU (CET/CEST); known clocks: {', '.join(ZONES)}")
    starts = [MARK.sub("", t.partition(" - ")[0]) for t in sheet.texts(column)]
    times = read_times(starts, sheet.lines, path, zone, sheet.repairs, _form(starts[0]))
    name, currency, factor = price_column(sheet)
    price, note = in_cny(sheet.numbers(name) * factor, currency, options, path)
    _check_currency(sheet, currency)
    values = {"price_cny_per_mwh": price}
    return samples(path, sheet.lines, times, values, sheet.repairs, notes=(note, f"clock {zone}"))


def _form(first: str) -> str:
    day = "%d.%m.%Y" if "." in first else "%d/%m/%Y"
    return f"{day} %H:%M:%S" if first.count(":") == 2 else f"{day} %H:%M"


def _one_auction(sheet: Sheet, wanted: str | None) -> Sheet:
    column = sheet.look("Sequence")
    if column is None:
        return sheet
    kinds = sorted(set(sheet.texts(column)))
    if len(kinds) > 1 and wanted not in kinds:
        bad(sheet.path, None, f"several auctions; choose one with options: {{sequence: …}}: {', '.join(kinds)}")
    return sheet if len(kinds) == 1 else sheet.only([s == wanted for s in sheet.texts(column)])


def _check_currency(sheet: Sheet, currency: str) -> None:
    column = sheet.look("Currency")
    if column is None:
        return
    for line, given in zip(sheet.lines, sheet.texts(column), strict=True):
        if given not in (currency, ""):
            bad(sheet.path, int(line), f"currency {given} in a file of prices in {currency}")


LAYOUT = Layout("ENTSO-E day-ahead prices, CSV", EntsoePriceOptions, read)
