"""Tables of text cells with their line numbers.

A file that was cut off while it was written often ends inside its last number, which still is a number. Its only trace
is that the last line has no line feed: that is counted, and where the last cell does not look like those above it is
an error.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from io import StringIO
from pathlib import Path

import numpy as np

from greenhop.arrays import Array, Bools, Ints
from greenhop.importers.files import PLAIN, Form, Repairs, bad, read_text, to_numbers

DECIMALS = re.compile(r"-?\d+\.(\d+)")
MOST_NAMED = 40  # values of a column in an error
FEW_ROWS = 24  # among so few, equal numbers of decimals may be chance


@dataclass(frozen=True)
class Sheet:
    """A table of text cells."""

    path: Path
    header: tuple[str, ...]
    cells: list[list[str]]
    lines: Ints  # row of the file each row of cells came from
    repairs: Repairs = field(default_factory=Counter)
    form: Form = PLAIN

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

    def numbers(self, column: str) -> Array:
        """The numbers of a column, NaN where a cell is empty."""
        return to_numbers(self.texts(column), self.lines, self.path, column, self.form)

    def only(self, keep: Sequence[bool] | Bools) -> Sheet:
        """The rows where `keep` is true."""
        mask = np.asarray(keep, dtype=bool)
        cells = [row for row, k in zip(self.cells, mask, strict=True) if k]
        return replace(self, cells=cells, lines=self.lines[mask])

    def where(self, wanted: Mapping[str, str]) -> Sheet:
        """The rows whose cells are those `wanted`, by column.

        Raises:
            DataError: no such column, or no row has the value; the error lists what there is.
        """
        sheet = self
        for name, value in wanted.items():
            column = sheet.find(name)
            texts = sheet.texts(column)
            if value not in texts:
                kinds = sorted(set(texts))
                found = ", ".join(kinds[:MOST_NAMED]) + (", …" if len(kinds) > MOST_NAMED else "")
                bad(self.path, None, f"no {value!r} in column {column}; it has {found}")
            sheet = sheet.only([t == value for t in texts])
        return sheet

    def uniform(self, *names: str) -> None:
        """Refuse a table in which one of these columns, where it is there, holds several values."""
        for column in filter(None, map(self.look, names)):
            if len(kinds := sorted(set(self.texts(column)))) > 1:
                found = ", ".join(kinds[:MOST_NAMED]) + (", …" if len(kinds) > MOST_NAMED else "")
                choice = f"options: {{where: {{{column}: {kinds[0]}}}}}"
                bad(self.path, None, f"column {column} holds {found}; choose the rows of one by {choice}")


def _plain(name: str) -> str:
    return "".join(name.casefold().replace("₂", "2").split())


def read_sheet(path: Path, form: Form = PLAIN) -> Sheet:
    """A comma, semicolon or tab separated file whose first row names the columns."""
    repairs: Repairs = Counter()
    return sheet_of(read_text(path, repairs, form), path, 1, repairs, form)


def sheet_of(text: str, path: Path, first_line: int, repairs: Repairs, form: Form = PLAIN) -> Sheet:
    """The table in `text`, whose first line is line `first_line` of the file."""
    head = text.partition("\n")[0]
    rows, lines = split_rows(text, path, first_line, form.sep or max(",;\t", key=head.count))
    if len(rows) < 2:
        bad(path, None, "holds no rows of data")
    header = tuple(rows[0])
    if len(set(header)) < len(header):
        twice = next(h for h in header if header.count(h) > 1)
        bad(path, lines[0], f"column {twice!r} is there twice")
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(header):
            bad(path, line, f"{len(row)} cells, the header has {len(header)}")
    check_last_line(text, rows[1:], path, lines[-1], repairs, form)
    return Sheet(path, header, rows[1:], np.array(lines[1:], dtype=np.int64), repairs, form)


def split_rows(text: str, path: Path, first_line: int, sep: str) -> tuple[list[list[str]], list[int]]:
    """Rows that are not empty as stripped cells, and their lines in the file."""
    reader = csv.reader(StringIO(text, newline=""), delimiter=sep, strict=True)
    rows, lines = [], []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append([cell.strip() for cell in row])
                lines.append(reader.line_num + first_line - 1)
    except csv.Error as error:
        bad(path, reader.line_num + first_line - 1, str(error))
    return rows, lines


def check_last_line(text: str, rows: list[list[str]], path: Path, line: int, repairs: Repairs, form: Form) -> None:
    """Count a last line without line feed; refuse it if its last number has fewer decimals than all above it."""
    if text.endswith(("\n", "\r")):
        return
    repairs["last_lines_without_line_feed"] += 1
    column = [DECIMALS.fullmatch(row[-1].replace(form.decimal, ".")) for row in rows if row[-1]]
    decimals = [len(m[1]) if m else 0 for m in column]
    if len(decimals) > FEW_ROWS and len(set(decimals[:-1])) == 1 and decimals[-1] < decimals[0]:
        bad(path, line, f"the last line is not complete: it ends in {rows[-1][-1]!r} without a line feed")
