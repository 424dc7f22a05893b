"""Small files in the layouts the importers read, and shortcuts to read them."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from greenhop.importers.hourly import Hourly
from greenhop.importers.spec import parse_import, read_input

START = datetime(2023, 1, 2, tzinfo=UTC)  # a Monday
SHARED = Path(__file__).resolve().parents[2].parent / "shared"
REAL, CASES = SHARED / "data" / "real", SHARED / "cases" / "importers"


def hours(count: int, start: datetime = START, form: str = "%Y-%m-%dT%H:%M", minutes: int = 60) -> list[str]:
    """Times as text."""
    return [(start + timedelta(minutes=minutes * i)).strftime(form) for i in range(count)]


def write(path: Path, text: str) -> Path:
    """A UTF-8 file; gzipped if its name says so."""
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def table(path: Path, header: str, *columns: Any) -> Path:
    """A CSV from columns of equal length."""
    rows = [",".join(str(cell) for cell in row) for row in zip(*columns, strict=True)]
    return write(path, "\n".join([header, *rows]) + "\n")


def open_meteo(path: Path, series: dict[str, list[Any]], units: dict[str, str], offset_s: int = 0, **more: Any) -> Path:
    """An Open-Meteo JSON answer."""
    count = len(next(iter(series.values())))
    data = {
        "latitude": 50.0,
        "longitude": 8.6,
        "elevation": 110.0,
        "utc_offset_seconds": offset_s,
        "hourly_units": {"time": "iso8601", **units},
        "hourly": {"time": hours(count), **series},
        **more,
    }
    return write(path, json.dumps(data))


def tidy(path: Path, region: str, quantity: str, values: NDArray[np.float64] | list[Any], **when: Any) -> Path:
    """A tidy table."""
    times = hours(len(values), **when)
    return table(path, f"time,region,{quantity}", times, [region] * len(values), values)


def read(layout: str, path: Path | list[Path], quantity: str, **rest: Any) -> Hourly:
    """One input through the front door."""
    files = [str(p) for p in path] if isinstance(path, list) else str(path)
    entry = {"layout": layout, "path": files, "region": "horinger", "quantity": quantity, **rest}
    return read_input(parse_import({"inputs": [entry]}, "test").inputs[0])


def values(layout: str, path: Path, quantity: str, **rest: Any) -> NDArray[np.float64]:
    """The one series that an input gives."""
    return np.asarray(read(layout, path, quantity, **rest).values[quantity])
