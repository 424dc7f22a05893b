"""Numbering of named families of columns and rows, and the triplets of the sparse matrix between them.

A family is an array of variables or constraints with named axes, for example `serve` [T, R, K, S]. Where the physics
has no such entry (a slot not in use, a link not allowed) its number is −1 and every term that mentions it vanishes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from greenhop.arrays import Array, Bools, Ints


class Layout:
    """Consecutive numbers for the entries of families; `layout["serve"]` has the family's shape, −1 where absent."""

    def __init__(self) -> None:
        self.size = 0
        self._index: dict[str, Ints] = {}
        self._part: dict[str, slice] = {}  # of a flat vector

    def add(self, name: str, mask: Bools) -> None:
        """Number the true entries of `mask` as the family `name`."""
        index = np.full(mask.shape, -1, dtype=np.int64)
        count = int(mask.sum())
        index[mask] = np.arange(self.size, self.size + count)
        self._index[name] = index
        self._part[name] = slice(self.size, self.size + count)
        self.size += count

    def __getitem__(self, name: str) -> Ints:
        return self._index[name]

    @property
    def names(self) -> tuple[str, ...]:
        """Families in the order in which they were added."""
        return tuple(self._index)

    def count(self, name: str) -> int:
        """Number of entries a family really has."""
        return int((self._index[name] >= 0).sum())

    def fill(self, out: Array, name: str, values: Array | float) -> None:
        """Write `values`, broadcast to the family's shape, into the flat vector `out`."""
        index, part = self._index[name], out[self._part[name]]
        if part.size == index.size:
            part.reshape(index.shape)[...] = values  # a view: nothing is absent
        else:
            part[:] = np.broadcast_to(values, index.shape)[index >= 0]

    def read(self, flat: Array, name: str, absent: float = 0.0) -> Array:
        """The family's part of a flat vector in the family's shape; `absent` where it has no entry."""
        index = self._index[name]
        if not self.size:
            return np.full(index.shape, absent)
        return np.where(index >= 0, flat[np.maximum(index, 0)], absent)


class Places(NamedTuple):
    """Where the coefficients of a matrix are: column by column, rows ascending within a column."""

    row: Ints  # [N]
    column: Ints  # [N]
    order: Ints  # [N] from the order in which they were added
    masks: tuple[Bools, ...]  # for each call of `Terms.add`, which of its entries exist


class Terms:
    """Collects coefficients `row, column, value` (arrays that broadcast) and leaves out absent rows and columns.

    With the `places` of an earlier collection, to which the same calls were made, only values are read.
    """

    def __init__(self, places: Places | None = None) -> None:
        self._places = places
        self._masks: list[Bools] = []
        self._numbers: list[tuple[Ints, Ints]] = []
        self._values: list[Array] = []

    def add(self, row: Ints, column: Ints, value: Array | float) -> None:
        """Add `value · x[column]` to the left-hand side of `row`, element by element."""
        if self._places is None:
            rows, columns, _ = np.broadcast_arrays(row, column, np.asarray(value))
            mask = (rows >= 0) & (columns >= 0)
            self._masks.append(mask)
            self._numbers.append((rows[mask], columns[mask]))
        else:
            mask = self._places.masks[len(self._values)]
        self._values.append(np.broadcast_to(np.asarray(value, dtype=np.float64), mask.shape)[mask])

    def collect(self) -> tuple[Places, Array]:
        """All coefficients and their places."""
        if self._places is None:
            row, column = (np.concatenate(part) for part in zip(*self._numbers, strict=True))
            order = np.lexsort((row, column))
            self._places = Places(row[order], column[order], order, tuple(self._masks))
        return self._places, np.concatenate(self._values)[self._places.order]


class Arrays:
    """Read-only view of a bundle of tensors (`Params`, `Row`) as NumPy arrays under the same names."""

    def __init__(self, bundle: Any) -> None:
        self._bundle = bundle
        self._cache: dict[str, NDArray[Any]] = {}

    def __getattr__(self, name: str) -> NDArray[Any]:
        if name not in self._cache:
            array = getattr(self._bundle, name).detach().cpu().numpy()
            self._cache[name] = array.astype(np.float64) if array.dtype.kind == "f" else array.astype(np.int64)
        return self._cache[name]


def power_of_two(value: Array) -> Array:
    """The power of two nearest to each positive value (1 where it is not): scaling by it costs no rounding."""
    positive = value > 0
    return np.where(positive, np.exp2(np.round(np.log2(np.where(positive, value, 1.0)))), 1.0)
