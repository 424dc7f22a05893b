"""The tidy table itself: `time, region` and one or more columns whose names carry their unit."""

from __future__ import annotations

from pathlib import Path

from greenhop.importers.files import bad
from greenhop.importers.layout import ClockOptions, Layout
from greenhop.importers.samples import Samples, samples
from greenhop.importers.times import read_times
from greenhop.world.pack import ARRIVALS, UNITS

ALSO = (
    "generation_mw",
    "demand_mw",
    "ghi_w_per_m2",
    "dni_w_per_m2",
    "dhi_w_per_m2",
    "cloud_share",
    "humidity_pct",
    "wind_10m_m_per_s",
    "wind_100m_m_per_s",
)


class TidyOptions(ClockOptions):
    """`zone` chooses among several regions of a file."""

    zone: str | None = None
    """The region to read, where the file holds several."""
    timezone: str | None = "UTC"
    """Zone of times without an offset."""


def read(path: Path, options: TidyOptions) -> Samples:
    """Every column besides `time` and `region` must be a known quantity."""
    sheet = options.sheet(path)
    column, quantities = sheet.find("region"), [h for h in sheet.header if h not in ("time", "region")]
    for name in quantities:
        if name not in UNITS and name not in ALSO and not ARRIVALS.fullmatch(name):
            known = ", ".join((*UNITS, "arrivals_<class>_mwh_per_mw", *ALSO))
            bad(path, 1, f"unknown column {name!r}; allowed beside time and region: {known}")
    if not quantities:
        bad(path, 1, "no quantity beside time and region")
    regions = sorted(set(sheet.texts(column)))
    zone = options.zone or (regions[0] if len(regions) == 1 else "")
    if zone not in regions:
        bad(path, None, f"options.zone = {zone!r}; the file has {', '.join(regions)}")
    sheet = sheet.only([r == zone for r in sheet.texts(column)])
    texts = sheet.texts(sheet.find("time"))
    times = read_times(texts, sheet.lines, path, options.timezone, sheet.repairs, options.time_format)
    values = {q: sheet.numbers(q) for q in quantities}
    return samples(path, sheet.lines, times, values, sheet.repairs, ending=options.ending(*quantities))


LAYOUT = Layout("tidy hourly table, CSV", TidyOptions, read)
