"""A price CSV: `Datetime (UTC)` or a local `Datetime`, and one column `Price (CUR/MWh)`."""

from __future__ import annotations

from pathlib import Path

from greenhop.importers.files import bad, read_sheet
from greenhop.importers.hourly import Samples, samples
from greenhop.importers.layout import Layout, PriceOptions, in_cny, price_column
from greenhop.importers.times import read_times


def read(path: Path, options: PriceOptions) -> Samples:
    """The UTC column is used where there is one; others may stand beside it."""
    sheet = read_sheet(path)
    utc = sheet.look("Datetime (UTC)", "Time (UTC)")
    column = utc or sheet.find("Datetime", "time", "Datetime (Local)", "Date")
    zone = "UTC" if utc else options.timezone
    name, currency, factor = price_column(sheet)
    if unknown := [h for h in sheet.header if h not in (name, column) and not h.startswith("Datetime")]:
        bad(path, 1, f"unknown column {unknown[0]!r}; a price file holds times and one price")
    times = read_times(sheet.texts(column), sheet.lines, path, zone, sheet.repairs)
    price, note = in_cny(sheet.numbers(name) * factor, currency, options, path)
    return samples(path, sheet.lines, times, {"price_cny_per_mwh": price}, sheet.repairs, notes=(note,))


LAYOUT = Layout("prices, CSV", PriceOptions, read)
