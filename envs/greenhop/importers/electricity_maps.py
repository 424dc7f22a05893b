"""Electricity Maps hourly CSV, in both generations of its header. gCO₂eq/kWh is kg/MWh."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from greenhop.importers.files import bad
from greenhop.importers.layout import Layout, TableOptions
from greenhop.importers.samples import Samples, samples
from greenhop.importers.times import read_times

UNIT = "gCO2eq/kWh"
COLUMNS = {
    "direct": (f"Carbon Intensity {UNIT} (direct)",),
    "life_cycle": (f"Carbon Intensity {UNIT} (LCA)", f"Carbon intensity {UNIT} (Life cycle)"),
}


class ElectricityMapsOptions(TableOptions):
    """Direct emissions of power stations, or their life cycle."""

    accounting: Literal["direct", "life_cycle"] = "direct"
    """Direct emissions of power stations, or those of their life cycle."""


def read(path: Path, options: ElectricityMapsOptions) -> Samples:
    """One zone per file."""
    sheet = options.sheet(path)
    column = sheet.find(*COLUMNS[options.accounting])
    zones = sheet.texts(sheet.find("Zone Id"))
    if (other := next((i for i, z in enumerate(zones) if z != zones[0]), None)) is not None:
        bad(path, int(sheet.lines[other]), f"zone {zones[other]} in a file of zone {zones[0]}; one zone per file")
    texts = sheet.texts(sheet.find("Datetime (UTC)"))
    times = read_times(texts, sheet.lines, path, "UTC", sheet.repairs, options.time_format)
    values = {"carbon_kg_per_mwh": sheet.numbers(column)}
    estimated = sheet.look("Data Estimated")
    count = 0 if estimated is None else sum(x.casefold() == "true" for x in sheet.texts(estimated))
    notes = (
        f"zone {zones[0]}",
        f"{options.accounting} emissions",
        f"{count} of {len(zones)} rows estimated by the source",
    )
    return samples(path, sheet.lines, times, values, sheet.repairs, notes=notes)


LAYOUT = Layout("Electricity Maps, CSV", ElectricityMapsOptions, read)
