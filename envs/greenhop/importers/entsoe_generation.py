"""ENTSO-E actual generation per type, CSV of the file library: rows of all areas and types, tab or comma separated."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from greenhop.importers.layout import Layout, TableOptions
from greenhop.importers.samples import Samples, samples
from greenhop.importers.times import read_times


class EntsoeGenerationOptions(TableOptions):
    """The area (`MapCode`) and the production types to add up, such as `[Wind Onshore, Wind Offshore]`."""

    map_code: str
    """The area (`MapCode`)."""
    production_types: list[str] = Field(min_length=1)
    """Production types to add up, such as `[Wind Onshore, Wind Offshore]`."""


def read(path: Path, options: EntsoeGenerationOptions) -> tuple[Samples, ...]:
    """The wanted types of one area, each for itself: what is missing of one is a gap of that one."""
    sheet = options.sheet(path)
    area, kind = sheet.find("MapCode"), sheet.find("ProductionType", "GenerationUnit")
    output = sheet.find("ActualGenerationOutput(MW)", "ActualGenerationOutput[MW]")
    local = sheet.where({area: options.map_code})
    local.uniform("AreaTypeCode")  # a country is also a bidding zone and a control area, each with rows of its own
    note = f"{options.map_code}: {' + '.join(options.production_types)}"
    parts = []
    for wanted in options.production_types:
        part = local.where({kind: wanted})
        starts = part.texts(part.find("DateTime(UTC)", "DateTime (UTC)"))
        times = read_times(starts, part.lines, path, "UTC", sheet.repairs, options.time_format)
        values = {"generation_mw": part.numbers(output)}
        parts.append(samples(path, part.lines, times, values, sheet.repairs, notes=(note,)))
    return tuple(parts)


LAYOUT = Layout("ENTSO-E generation per type, CSV", EntsoeGenerationOptions, read)
