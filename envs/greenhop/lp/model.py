"""From a `Window` to a `LinearProgram`: families numbered, coefficients collected, rows and columns scaled.

    minimise  cost·x + offset   subject to   row_lower ≤ A·x ≤ row_upper,   col_lower ≤ x ≤ col_upper

Every family is measured in a unit of its own size (the site's IT capacity, the pool, the store, the link), so that
coefficients are O(1). Units are powers of two: scaling changes no digit.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from greenhop.arrays import Array, Bools, Ints
from greenhop.lp.columns import Layout, Places, Terms, power_of_two
from greenhop.lp.constraints import FAMILIES
from greenhop.lp.constraints import masks as row_masks
from greenhop.lp.objective import columns, offset_cny
from greenhop.lp.objective import masks as column_masks
from greenhop.lp.window import Window
from greenhop.physics.params import Params


@dataclass(frozen=True)
class Pattern:
    """What all windows share that belong to one scenario and begin at one phase of its clock: all but the numbers."""

    params: Params
    phase: Ints  # [T]
    span: Ints  # [T]
    columns: Layout
    rows: Layout
    places: Places
    column_unit: Array
    row_unit: Array
    money_cny: float

    def fits(self, w: Window) -> bool:
        """Whether `w` has the same snapshots on the clock and the same parameters, the demand fee's size aside."""
        on_clock = np.array_equal(self.phase, w.phase) and np.array_equal(self.span, w.span)
        futures = self.columns["short"].shape[-1]
        return on_clock and futures == w.futures and _same_structure(self.params, w.params)


def _same_structure(a: Params, b: Params) -> bool:
    """By identity: parameters that `dataclasses.replace` made of one another share all that was not replaced."""
    fee = "demand_fee_cny_per_mw"
    rest = all(getattr(a, f.name) is getattr(b, f.name) for f in fields(a) if f.name != fee)
    return rest and bool(((getattr(a, fee) > 0) == (getattr(b, fee) > 0)).all())


@dataclass(frozen=True)
class LinearProgram:
    """A scaled linear programme and the numbering of its families. The matrix is held as column-sorted triplets."""

    columns: Layout
    rows: Layout
    row: Ints  # [N] row of each coefficient
    column: Ints  # [N] column of each coefficient, ascending
    value: Array  # [N]
    cost: Array  # [n] in `money_cny`
    col_lower: Array  # [n]
    col_upper: Array  # [n] always finite
    implied: Bools  # [n] the upper bound follows from the rows
    row_lower: Array  # [m]
    row_upper: Array  # [m]
    offset: float  # in `money_cny`
    column_unit: Array  # [n] MWh or MW per unit of a variable
    row_unit: Array  # [m] MWh or GB per unit of a row
    money_cny: float  # CNY per unit of the objective
    pattern: Pattern

    @property
    def starts(self) -> NDArray[np.int32]:
        """[n+1] where each column begins in the triplets."""
        counts = np.bincount(self.column, minlength=self.columns.size)
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)

    def times(self, x: Array) -> Array:
        """A·x."""
        return _sum_by(self.row, self.value * x[self.column], self.rows.size)

    def transposed_times(self, y: Array) -> Array:
        """Aᵀ·y."""
        return _sum_by(self.column, self.value * y[self.row], self.columns.size)

    def objective_cny(self, x: Array) -> float:
        """Cost of a solution in CNY."""
        return float(self.cost @ x + self.offset) * self.money_cny

    def same_shape(self, other: LinearProgram) -> bool:
        """Whether `other` has the same families and coefficients in the same places, so that numbers alone change."""
        if self.pattern is other.pattern:
            return True
        return np.array_equal(self.row, other.row) and np.array_equal(self.column, other.column)


def build(w: Window, pattern: Pattern | None = None) -> LinearProgram:
    """Assemble the linear programme of a window; only its numbers where an earlier one's `pattern` fits."""
    known = pattern if pattern is not None and pattern.fits(w) else None
    x = known.columns if known else _layout(column_masks(w))
    row = known.rows if known else _layout(row_masks(w))
    terms = Terms(known.places if known else None)
    lower, upper = np.zeros(row.size), np.zeros(row.size)
    for name, family in FAMILIES.items():
        sides = family(w, x, row, terms)
        row.fill(lower, name, sides.lower)
        row.fill(upper, name, sides.upper)
    places, value = terms.collect()
    known = known or Pattern(w.params, w.phase, w.span, x, row, places, *_units(w, x, row))
    i, j, money = places.row, places.column, known.money_cny
    col_unit, row_unit = known.column_unit, known.row_unit
    numbers = _column_numbers(w, x)
    return LinearProgram(
        columns=x,
        rows=row,
        row=i,
        column=j,
        value=value * col_unit[j] / row_unit[i],
        cost=numbers["cost"] * col_unit / money,
        col_lower=numbers["lower"] / col_unit,
        col_upper=numbers["upper"] / col_unit,
        implied=numbers["implied"] > 0,
        row_lower=lower / row_unit,
        row_upper=upper / row_unit,
        offset=offset_cny(w) / money,
        column_unit=col_unit,
        row_unit=row_unit,
        money_cny=money,
        pattern=known,
    )


def _sum_by(index: Ints, values: Array, size: int) -> Array:
    return np.asarray(np.bincount(index, weights=values, minlength=size), dtype=np.float64)


def _layout(masks: dict[str, Bools]) -> Layout:
    layout = Layout()
    for name, mask in masks.items():
        layout.add(name, mask)
    return layout


def _column_numbers(w: Window, x: Layout) -> dict[str, Array]:
    out: dict[str, Array] = {key: np.zeros(x.size) for key in ("cost", "lower", "upper", "implied")}
    for name, column in columns(w).items():
        for key, flat in out.items():
            x.fill(flat, name, getattr(column, key))
    return out


def _units(w: Window, x: Layout, row: Layout) -> tuple[Array, Array, float]:
    """Unit of every column, of every row, and of money."""
    pool = power_of_two(w.p.capacity_mwh)
    of_online, of_class = w.p.online_pool.argmax(axis=1), w.p.deferrable_pool.argmax(axis=1)
    site, gb = power_of_two(w.p.capacity_mwh.sum(axis=1)), power_of_two(w.p.link_gb)
    online, work = pool[:, of_online], pool[:, of_class][..., None]
    store, unit = power_of_two(w.p.soc_max_mwh), power_of_two(w.p.discharge_limit_mwh)
    per_mwh = w.p.migrate_gb_per_mwh
    link_mwh = np.where(per_mwh > 0, gb[:, None] / np.where(per_mwh > 0, per_mwh, 1.0), np.inf)
    moved = power_of_two(np.minimum(link_mwh, pool[w.p.link_source][:, of_class]))[..., None]
    episode = site * power_of_two(np.array(float(w.steps)))
    by_column: dict[str, Any] = {
        "route": online[w.p.link_source], "serve_home": online, "missed_online": online,
        "alternative": work[..., 0],
        "migrate": moved, "serve": work, "keep": work, "load": pool,
        "charge": unit, "discharge": unit, "soc": store, "peak_rise": site[:, None], "short": episode[:, None, None],
    }  # fmt: skip
    by_row: dict[str, Any] = {
        "work": work, "rate": work, "online": online, "alternative": work[..., 0], "pools": pool, "links": gb,
        "storage": store, "accounts": episode[:, None],
    }  # fmt: skip
    col_unit, row_unit = np.ones(x.size), np.ones(row.size)
    for name in x.names:
        x.fill(col_unit, name, by_column.get(name, site))
    for name in row.names:
        row.fill(row_unit, name, by_row.get(name, site))
    money = power_of_two(np.array(w.params.cost_scale_cny / w.params.n_regions))
    return col_unit, row_unit, float(money)
