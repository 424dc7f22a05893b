"""Reading text files: bytes, gzip, encoding, numbers, and the one kind of error a file can cause."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from greenhop.arrays import Array, Ints
from greenhop.errors import ConfigError, DataError

Repairs = Counter[str]

MOST_BYTES = 1 << 30  # of a file after decompression
MISSING = {"", "nan", "null", "none", "na", "n/a", "n/e", "-", "--"}
FILLS = (-999.0, -9999.0, -99999.0)  # usual marks of missing values


@dataclass(frozen=True)
class Form:
    """How a text file writes its cells.

    `missing` are the cells that stand for no value, besides empty ones; with None they are unknown, so that a number
    such as −999 is taken for a mistake. With `()` it is a number like any other.
    """

    sep: str | None = None
    decimal: str = "."
    encoding: str = "utf-8"
    missing: tuple[str, ...] | None = None


PLAIN = Form()


def bad(path: Path, line: int | None, message: str) -> NoReturn:
    """Raise the one kind of error a file can cause: file, row, what is wrong."""
    raise DataError(f"{path}{'' if line is None else f', row {line}'}: {message}")


def read_text(path: Path, repairs: Repairs, form: Form = PLAIN) -> str:
    """The text of a file, unpacked if it is gzipped, without a byte order mark.

    Raises:
        ConfigError: there is no such file, or no such encoding.
        DataError: empty, damaged, too large or not in its encoding.
    """
    name = _encoding(form.encoding, path)
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            with gzip.open(path) as stream:
                data = stream.read(MOST_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        bad(path, None, f"damaged gzip file ({error})")
    except OSError as error:
        raise ConfigError(f"path = {str(path)!r}: {error.strerror or error}") from None
    if len(data) > MOST_BYTES:
        bad(path, None, f"more than {MOST_BYTES >> 30} GiB unpacked")
    if data.startswith(b"\xef\xbb\xbf"):
        repairs["byte_order_marks_removed"] += 1
        data = data[3:]
    try:
        text = data.decode(name)
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        bad(path, row, f"not {name.upper()} text; say what it is: options: {{encoding: gb18030}}, or cp1252, …")
    if not text.strip():
        bad(path, None, "the file is empty")
    return text


def _encoding(name: str, path: Path) -> str:
    try:
        "".encode(name)  # LookupError for codecs that do not encode text, too
        return codecs.lookup(name).name
    except (LookupError, ValueError):
        raise ConfigError(f"{path}: options.encoding = {name!r} is unknown; such as utf-8, gb18030, cp1252") from None


def to_numbers(cells: Iterable[object], lines: Ints, path: Path, what: str, form: Form = PLAIN) -> Array:
    """Numbers, NaN for cells that say there is none; a fill value that nobody declared is a mistake."""
    texts = ["" if cell is None else str(cell).strip() for cell in cells]
    marks = MISSING | {m.casefold() for m in form.missing or ()}
    plain = ["nan" if t.casefold() in marks else t for t in texts]
    if form.decimal != ".":
        plain = [t.replace(".", " ").replace(form.decimal, ".") for t in plain]  # no point is a decimal sign then
    try:
        out = np.array(plain, dtype=np.float64)
    except ValueError:
        i = next(i for i, t in enumerate(plain) if not _is_number(t))
        hint = "; options: {decimal: ','}?" if form.decimal == "." and _is_number(texts[i].replace(",", ".")) else ""
        bad(path, int(lines[i]), f"{what} = {texts[i]!r} is not a number{hint}")
    if (wrong := np.flatnonzero(np.isinf(out))).size:
        bad(path, int(lines[wrong[0]]), f"{what} = {texts[wrong[0]]!r} is not finite")
    fills = FILLS if form.missing is None else tuple(float(m) for m in form.missing if _is_number(m))
    found = np.isin(out, fills)
    if form.missing is not None:
        out[found] = np.nan
    elif found.any():
        text = texts[int(found.argmax())]
        bad(
            path,
            int(lines[found.argmax()]),
            f"{what} = {text} looks like a mark for a missing value; leave the cell empty, "
            f"or say what it is in options: {{missing: [{text}]}} for no value, {{missing: []}} for a number",
        )
    return out


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
