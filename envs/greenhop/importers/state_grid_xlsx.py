"""Plants of the China State Grid competition (Chen & Xu 2022, doi 10.1038/s41597-022-01696-6), XLSX."""

from __future__ import annotations

import zipfile
from collections import Counter
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from greenhop.errors import ConfigError
from greenhop.importers.files import bad, to_numbers
from greenhop.importers.hourly import Samples, samples
from greenhop.importers.layout import Layout, Options
from greenhop.importers.times import read_times

TIME, POWER = "Time(year-month-day h:m:s)", "Power (MW)"


class StateGridOptions(Options):
    """Times are those of Beijing (assumption: the source does not say)."""

    timezone: str = "Asia/Shanghai"
    """Zone of the times; Beijing's is an assumption, for the source does not say."""


def read(path: Path, options: StateGridOptions) -> Samples:
    """Power of the plant, `generation_mw`, and the air temperature where it was measured."""
    header, rows = _cells(path)
    for name in (TIME, POWER):
        if name not in header:
            bad(path, 1, f"no column {name!r}; columns: {', '.join(header)}")
    lines = np.arange(2, len(rows) + 2)
    texts = [_time(row[header.index(TIME)]) for row in rows]
    repairs: Counter[str] = Counter()
    times = read_times(texts, lines, path, options.timezone, repairs)
    values = {"generation_mw": to_numbers([row[header.index(POWER)] for row in rows], lines, path, POWER)}
    air = next((h for h in header if h.startswith("Air temperature")), None)
    if air is not None:
        values["temperature_c"] = to_numbers([row[header.index(air)] for row in rows], lines, path, air)
    return samples(path, lines, times, values, repairs, notes=(f"clock {options.timezone}, an assumption",))


def _time(cell: Any) -> str:
    return cell.isoformat() if isinstance(cell, datetime) else str(cell)


def _cells(path: Path) -> tuple[list[str], list[tuple[Any, ...]]]:
    try:
        from openpyxl import load_workbook
        from openpyxl.utils.exceptions import InvalidFileException
    except ImportError:
        raise ConfigError("reading XLSX needs openpyxl: pip install 'greenhop[weather]'") from None
    try:
        book = load_workbook(BytesIO(path.read_bytes()), read_only=True, data_only=True)
        rows = [r for r in book.worksheets[0].iter_rows(values_only=True) if any(c is not None for c in r)]
    except OSError as error:
        raise ConfigError(f"path = {str(path)!r}: {error.strerror or error}") from None
    except (zipfile.BadZipFile, InvalidFileException, KeyError, ValueError, IndexError, SyntaxError) as error:
        bad(path, None, f"not an XLSX workbook ({type(error).__name__})")
    if len(rows) < 2:
        bad(path, None, "holds no rows of data")
    return [str(c).strip() for c in rows[0] if c is not None], rows[1:]


LAYOUT = Layout("China State Grid plant, XLSX", StateGridOptions, read)
