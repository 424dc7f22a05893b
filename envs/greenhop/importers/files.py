"""Reading text tables: bytes, gzip, byte order mark, cells with their line numbers, and numbers."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from greenhop.errors import ConfigError, DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Repairs = Counter[str]

MOST_BYTES = 1 << 30  # of a file after decompression
MISSING = {"", "nan", "null", "none", "na", "n/a", "n/e", "-", "--"}
FILLS = (-999.0, -9999.0, -99999.0)  # usual marks of missing values


def bad(path: Path, line: int | None, message: str) -> NoReturn:
    """Raise the one kind of error a file can cause: file, row, what is wrong."""
    raise DataError(f"{path}{'' if line is None else f', row {line}'}: {message}")


def read_text(path: Path, repairs: Repairs) -> str:
    """The text of a file, unpacked if it is gzipped, without a byte order mark.

    Raises:
        ConfigError: there is no such file.
        DataError: empty, damaged, too large or not UTF-8.
    """
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
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        bad(path, data.count(b"\n", 0, error.start) + 1, "not UTF-8 text")
    if not text.strip():
        bad(path, None, "the file is empty")
    return text


@dataclass(frozen=True)
class Sheet:
    """A table of text cells."""

    path: Path
    header: tuple[str, ...]
    cells: list[list[str]]
    lines: Ints  # row of the file each row of cells came from
    repairs: Repairs = field(default_factory=Counter)

    def find(self, *names: str) -> str:
        """The first of `names` that is a column; cases, blanks and the subscript of CO₂ do not matter."""
        found = self.look(*names)
        if found is None:
            near = get_close_matches(names[0], self.header, n=1, cutoff=0.4)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            bad(self.path, None, f"no column {names[0]!r}; columns: {', '.join(self.header)}{hint}")
        return found

    def look(self, *names: str) -> str | None:
        """Like `find`, but `None` if there is no such column."""
        plain = {_plain(h): h for h in self.header}
        return next((plain[_plain(n)] for n in names if _plain(n) in plain), None)

    def texts(self, column: str) -> list[str]:
        """The cells of a column."""
        i = self.header.index(column)
        return [row[i] for row in self.cells]

    def numbers(self, column: str) -> Floats:
        """The numbers of a column, NaN where a cell is empty."""
        return to_numbers(self.texts(column), self.lines, self.path, column)

    def only(self, keep: Sequence[bool] | Bools) -> Sheet:
        """The rows where `keep` is true."""
        mask = np.asarray(keep, dtype=bool)
        cells = [row for row, k in zip(self.cells, mask, strict=True) if k]
        return Sheet(self.path, self.header, cells, self.lines[mask], self.repairs)


def _plain(name: str) -> str:
    return "".join(name.casefold().replace("₂", "2").split())


def read_sheet(path: Path) -> Sheet:
    """A comma, semicolon or tab separated file whose first row names the columns."""
    repairs: Repairs = Counter()
    return sheet_of(read_text(path, repairs), path, 1, repairs)


def sheet_of(text: str, path: Path, first_line: int, repairs: Repairs) -> Sheet:
    """The table in `text`, whose first line is line `first_line` of the file."""
    head = text.partition("\n")[0]
    reader = csv.reader(StringIO(text, newline=""), delimiter=max(",;\t", key=head.count))
    rows, lines = [], []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append([cell.strip() for cell in row])
                lines.append(reader.line_num + first_line - 1)
    except csv.Error as error:
        bad(path, reader.line_num + first_line - 1, str(error))
    if len(rows) < 2:
        bad(path, None, "holds no rows of data")
    header = tuple(rows[0])
    if len(set(header)) < len(header):
        twice = next(h for h in header if header.count(h) > 1)
        bad(path, lines[0], f"column {twice!r} is there twice")
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(header):
            bad(path, line, f"{len(row)} cells, the header has {len(header)}")
    return Sheet(path, header, rows[1:], np.array(lines[1:], dtype=np.int64), repairs)


def to_numbers(cells: Iterable[object], lines: Ints, path: Path, what: str) -> Floats:
    """Numbers, NaN for cells that say there is none; a fill value such as −999 is not a number but a mistake."""
    texts = ["" if cell is None else str(cell).strip() for cell in cells]
    try:
        out = np.array(["nan" if t.casefold() in MISSING else t for t in texts], dtype=np.float64)
    except ValueError:
        i = next(i for i, t in enumerate(texts) if not _is_number(t))
        bad(path, int(lines[i]), f"{what} = {texts[i]!r} is not a number")
    if (wrong := np.flatnonzero(np.isinf(out))).size:
        bad(path, int(lines[wrong[0]]), f"{what} = {texts[wrong[0]]!r} is not finite")
    if (wrong := np.flatnonzero(np.isin(out, FILLS))).size:
        text = texts[wrong[0]]
        bad(path, int(lines[wrong[0]]), f"{what} = {text} looks like a mark for a missing value; leave the cell empty")
    return out


def _is_number(text: str) -> bool:
    try:
        float("nan" if text.casefold() in MISSING else text)
    except ValueError:
        return False
    return True
