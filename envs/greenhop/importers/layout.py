"""What every layout offers: options, a function that reads a file, and the currencies that prices may come in."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from greenhop.arrays import Array
from greenhop.errors import ConfigError
from greenhop.importers.files import Form, bad
from greenhop.importers.sheet import Sheet, read_sheet

KWH_PER_MWH = 1000.0
PRICE_UNIT = re.compile(r"[(\[]\s*([A-Z]{3}|€|£|¥)\s*/\s*([kM]Wh)e?\s*[)\]]")
SIGNS = {"€": "EUR", "£": "GBP", "¥": "CNY"}


class Options(BaseModel):
    """Base of the options of a layout: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def marks(missing: Sequence[str | float] | None) -> tuple[str, ...] | None:
    """Cells that mean no value, as text."""
    return None if missing is None else tuple(map(str, missing))


class TextOptions(Options):
    """How a text file is written."""

    sep: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """What stands between cells; null: the comma, semicolon or tab that the first line has most of."""
    decimal: Literal[".", ","] = "."
    """Decimal sign."""
    encoding: str = "utf-8"
    """Encoding, such as gb18030 or cp1252."""
    missing: list[str | float] | None = None
    """Cells that mean no value, besides empty ones; `[]` makes −999 a number."""

    @property
    def form(self) -> Form:
        """The same as the readers take it."""
        return Form(self.sep, self.decimal, self.encoding, marks(self.missing))


class TableOptions(TextOptions):
    """A table whose first row names the columns."""

    where: dict[str, str] = Field(default_factory=dict)
    """Column → cell: only these rows are read."""
    time_format: str | None = None
    """Of times that are not ISO 8601, as in Python's `strptime`."""

    def sheet(self, path: Path) -> Sheet:
        """The file as a table."""
        return read_sheet(path, self.form).where(self.where)


class ClockOptions(TableOptions):
    """A table that does not say by itself what its times are."""

    timezone: str | None = None
    """Zone of times without an offset, such as `Europe/Berlin`."""
    hour_ending: bool = False
    """The time of a row is the end of what it holds."""

    def ending(self, *quantities: str) -> tuple[str, ...]:
        """Which of the quantities are stamped at their end."""
        return quantities if self.hour_ending else ()


class RateOptions(Options):
    """`cny_per_unit` is the rate the user states; a price in CNY needs none."""

    cny_per_unit: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """CNY for one unit of the file's currency; needed unless that is CNY."""
    rate_source: str = ""
    """Where the rate comes from; kept in the manifest."""


O = TypeVar("O", bound=Options)
R = TypeVar("R")


@dataclass(frozen=True)
class Layout(Generic[O, R]):
    """A way files are laid out."""

    what: str
    options: type[O]
    read: Callable[[Path, O], R]

    def run(self, path: Path, given: dict[str, Any]) -> R:
        """Check the options and read the file."""
        return self.read(path, self.options.model_validate(given))


def price_column(sheet: Sheet, among: Sequence[str] | None = None) -> tuple[str, str, float]:
    """Column, currency and factor to a price per MWh of the one column whose name ends in `(CUR/MWh)`."""
    found = [(h, m) for h in among or sheet.header if (m := PRICE_UNIT.search(h))]
    if len(found) != 1:
        names = ", ".join(sheet.header)
        bad(sheet.path, None, f"{len(found)} columns are prices with a unit such as (EUR/MWh); columns: {names}")
    name, match = found[0]
    return name, SIGNS.get(match[1], match[1]), KWH_PER_MWH if match[2] == "kWh" else 1.0


def in_cny(price: Array, currency: str, options: RateOptions, path: Path) -> tuple[Array, str]:
    """Prices in CNY, and the sentence about it for the manifest."""
    rate = options.cny_per_unit
    if currency == "CNY":
        if rate not in (None, 1.0):
            raise ConfigError(f"{path}: options.cny_per_unit = {rate:g}, but prices are in CNY already")
        return price, "prices in CNY"
    if rate is None:
        raise ConfigError(
            f"{path}: prices are in {currency}; state the rate in options: {{cny_per_unit: …}} (CNY for 1 {currency})"
        )
    return price * rate, f"1 {currency} = {rate:g} CNY, {options.rate_source or 'rate stated by the user'}"
