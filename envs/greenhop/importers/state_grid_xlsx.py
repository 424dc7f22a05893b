"""Plants of the China State Grid competition (Chen & Xu 2022, doi 10.1038/s41597-022-01696-6), XLSX."""

from __future__ import annotations

import zipfile
from collections import Counter
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from greenhop.arrays import Ints
from greenhop.errors import ConfigError
from greenhop.importers.files import Form, bad, to_numbers
from greenhop.importers.layout import Layout, Options, marks
from greenhop.importers.samples import Samples, samples
from greenhop.importers.times import read_times

TIME, POWER = "Time(year-month-day h:m:s)", "Power (MW)"


class StateGridOptions(Options):
    """A workbook of one plant."""

    sheet: str | int = 1
    """Name of the sheet, or its number from 1 on."""
    timezone: str = "Asia/Shanghai"
    """Zone of the times; Beijing's is an assumption, for the source does not say."""
    time_format: str | None = None
    """Of times that stand as text and are not ISO 8601, as in Python's `strptime`."""
    hour_ending: bool = False
    """The time of a row is the end of what it holds."""
    missing: list[str | float] | None = None
    """Cells that mean no value, besides empty ones; `[]` makes −999 a number."""


def read(path: Path, options: StateGridOptions) -> Samples:
    """Power of the plant, `generation_mw`, and the air temperature where it was measured."""
    header, rows, lines = _cells(path, options.sheet)
    form = Form(missing=marks(options.missing))
    for name in (TIME, POWER):
        if name not in header:
            bad(path, 1, f"no column {name!r}; columns: {', '.join(header)}")
    cells = [row[header.index(TIME)] for row in rows]
    texts = [c.isoformat() if isinstance(c, datetime) else str(c) for c in cells]
    form_of_times = None if isinstance(cells[0], datetime) else options.time_format
    repairs: Counter[str] = Counter()
    times = read_times(texts, lines, path, options.timezone, repairs, form_of_times)
    values = {"generation_mw": to_numbers([row[header.index(POWER)] for row in rows], lines, path, POWER, form)}
    air = next((h for h in header if h.startswith("Air temperature")), None)
    if air is not None:
        values["temperature_c"] = to_numbers([row[header.index(air)] for row in rows], lines, path, air, form)
    notes = (f"clock {options.timezone}, an assumption",)
    return samples(path, lines, times, values, repairs, notes=notes, ending=values if options.hour_ending else ())


def _cells(path: Path, sheet: str | int) -> tuple[list[str], list[list[Any]], Ints]:
    """Header, rows that are not empty, and their numbers."""
    try:
        from openpyxl import load_workbook
        from openpyxl.utils.exceptions import InvalidFileException
    except ImportError:
        raise ConfigError("reading XLSX needs openpyxl: pip install 'greenhop[weather]'") from None
    try:
        book = load_workbook(BytesIO(path.read_bytes()), read_only=True, data_only=True)
        names = [str(n) for n in book.sheetnames]
        if sheet not in names and sheet not in range(1, len(names) + 1):
            raise ConfigError(f"{path}: options.sheet = {sheet!r}; there are {', '.join(names)}")
        page = book[sheet] if isinstance(sheet, str) else book.worksheets[sheet - 1]
        rows = list(page.iter_rows(values_only=True))
    except ConfigError:
        raise
    except OSError as error:
        raise ConfigError(f"path = {str(path)!r}: {error.strerror or error}") from None
    except (zipfile.BadZipFile, InvalidFileException, KeyError, ValueError, IndexError, SyntaxError) as error:
        bad(path, None, f"not an XLSX workbook ({type(error).__name__})")
    filled = [i for i, row in enumerate(rows) if any(c is not None for c in row)]
    if len(filled) < 2:
        bad(path, None, "holds no rows of data")
    header = ["" if c is None else str(c).strip() for c in rows[filled[0]]]
    body = [[*rows[i], *[None] * (len(header) - len(rows[i]))] for i in filled[1:]]  # short rows end in empty cells
    return header, body, np.array(filled[1:], dtype=np.int64) + 1


LAYOUT = Layout("China State Grid plant, XLSX", StateGridOptions, read)
