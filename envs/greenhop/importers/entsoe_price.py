"""ENTSO-E day-ahead prices, CSV of the transparency platform: one row per market time unit, in local or UTC time."""

from __future__ import annotations

import re
from pathlib import Path

from greenhop.importers.files import bad
from greenhop.importers.layout import Layout, RateOptions, TableOptions, in_cny, price_column
from greenhop.importers.samples import Samples, samples
from greenhop.importers.sheet import Sheet
from greenhop.importers.times import read_times

ZONES = {"CET/CEST": "Europe/Brussels", "UTC": "UTC", "WET/WEST": "Europe/Lisbon", "EET/EEST": "Europe/Helsinki"}
UNIT = re.compile(r"MTU \((.+)\)")


class EntsoePriceOptions(TableOptions, RateOptions):
    """`sequence` keeps one auction where a file holds several."""

    sequence: str | None = None
    """The auction to keep, where the file holds several."""


def read(path: Path, options: EntsoePriceOptions) -> Samples:
    """Times are the starts of the ranges in the MTU column; intraday prices beside the day-ahead ones are not read."""
    sheet = options.sheet(path)
    if options.sequence is not None:
        sheet = sheet.where({"Sequence": options.sequence})
    sheet.uniform("Sequence", "Area")
    column = next((h for h in sheet.header if UNIT.fullmatch(h)), None)
    zone = None if column is None else ZONES.get(column[5:-1].strip())
    if column is None or zone is None:
        bad(path, 1, f"no column such as MTU (CET/CEST); known clocks: {', '.join(ZONES)}")
    starts = [t.partition(" - ")[0] for t in sheet.texts(column)]
    times = read_times(starts, sheet.lines, path, zone, sheet.repairs, options.time_format or _form(starts[0]))
    name, currency, factor = price_column(sheet, [h for h in sheet.header if "intraday" not in h.casefold()])
    price, note = in_cny(sheet.numbers(name) * factor, currency, options, path)
    _check_currency(sheet, currency)
    values = {"price_cny_per_mwh": price}
    return samples(path, sheet.lines, times, values, sheet.repairs, notes=(note, f"clock {zone}"))


def _form(first: str) -> str:
    day = "%d.%m.%Y" if "." in first else "%d/%m/%Y"
    return f"{day} %H:%M:%S" if first.count(":") == 2 else f"{day} %H:%M"


def _check_currency(sheet: Sheet, currency: str) -> None:
    column = sheet.look("Currency")
    if column is None:
        return
    for line, given in zip(sheet.lines, sheet.texts(column), strict=True):
        if given not in (currency, ""):
            bad(sheet.path, int(line), f"currency {given} in a file of prices in {currency}")


LAYOUT = Layout("ENTSO-E day-ahead prices, CSV", EntsoePriceOptions, read)
