"""A price CSV, as of Ember and others: `Datetime (UTC)` or a local `Datetime`, and one column `Price (CUR/MWh)`."""

from __future__ import annotations

from pathlib import Path

from greenhop.importers.layout import ClockOptions, Layout, RateOptions, in_cny, price_column
from greenhop.importers.samples import Samples, samples
from greenhop.importers.times import read_times


class PriceOptions(ClockOptions, RateOptions):
    """Clock and currency."""


def read(path: Path, options: PriceOptions) -> Samples:
    """The UTC column is used where there is one. Other columns, such as a country, must have one value in all rows."""
    sheet = options.sheet(path)
    utc = sheet.look("Datetime (UTC)", "Time (UTC)")
    column = utc or sheet.find("Datetime", "time", "Datetime (Local)", "Date")
    zone = "UTC" if utc else options.timezone
    name, currency, factor = price_column(sheet)
    sheet.uniform(*(h for h in sheet.header if h not in (name, column) and not h.startswith("Datetime")))
    times = read_times(sheet.texts(column), sheet.lines, path, zone, sheet.repairs, options.time_format)
    price, note = in_cny(sheet.numbers(name) * factor, currency, options, path)
    values = {"price_cny_per_mwh": price}
    return samples(path, sheet.lines, times, values, sheet.repairs, notes=(note,), ending=options.ending(*values))


LAYOUT = Layout("prices, CSV", PriceOptions, read)
