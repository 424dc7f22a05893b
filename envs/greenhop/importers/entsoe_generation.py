"""ENTSO-E actual generation per type, CSV of the file library: rows of all areas and types, tab or comma separated."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from greenhop.importers.files import Sheet, bad, read_sheet
from greenhop.importers.hourly import Samples, samples
from greenhop.importers.layout import Layout, Options
from greenhop.importers.times import read_times


class EntsoeGenerationOptions(Options):
    """The area (`MapCode`) and the production types to add up, such as `[Wind Onshore, Wind Offshore]`."""

    map_code: str
    """The area (`MapCode`)."""
    production_types: list[str]
    """Production types to add up, such as `[Wind Onshore, Wind Offshore]`."""


def read(path: Path, options: EntsoeGenerationOptions) -> Samples:
    """Add up the wanted types of one area; every type must have the same times."""
    sheet = read_sheet(path)
    area, kind = sheet.find("MapCode"), sheet.find("ProductionType", "GenerationUnit")
    output = sheet.find("ActualGenerationOutput(MW)", "ActualGenerationOutput[MW]")
    local = _wanted(sheet, area, options.map_code, "map_code")
    total, first = None, None
    for wanted in options.production_types:
        part = _wanted(local, kind, wanted, "production_types")
        starts = part.texts(part.find("DateTime(UTC)", "DateTime (UTC)"))
        times = read_times(starts, part.lines, path, "UTC", sheet.repairs)
        if first is None:
            total, first = part.numbers(output), (part.lines, times)
        elif not np.array_equal(first[1].seconds, times.seconds):
            bad(path, int(part.lines[0]), f"{wanted} has other times than {options.production_types[0]}")
        else:
            assert total is not None
            total = total + part.numbers(output)
    if total is None or first is None:
        bad(path, None, "options.production_types names no type")
    note = f"{options.map_code}: {' + '.join(options.production_types)}"
    return samples(path, first[0], first[1], {"generation_mw": total}, sheet.repairs, notes=(note,))


def _wanted(sheet: Sheet, column: str, value: str, option: str) -> Sheet:
    texts = sheet.texts(column)
    if value not in texts:
        bad(
            sheet.path,
            None,
            f"no {value!r} in column {column}; options.{option} may be {', '.join(sorted(set(texts)))}",
        )
    return sheet.only([t == value for t in texts])


LAYOUT = Layout("ENTSO-E generation per type, CSV", EntsoeGenerationOptions, read)
