"""From what a file holds to what a pack holds: shares of capacity, shapes, weather models; values that cannot be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from greenhop.arrays import Array
from greenhop.errors import ConfigError
from greenhop.importers.files import bad
from greenhop.importers.hourly import Hourly
from greenhop.importers.inputs import InputConfig
from greenhop.importers.plausible import SHARES, SLACK
from greenhop.importers.pv import pv_cf
from greenhop.importers.turbine import wind_cf
from greenhop.world.pack import limits


def quantity_of(hourly: Hourly, config: InputConfig) -> Hourly:
    """The series of `config.quantity` and the notes about how it came about.

    Raises:
        ConfigError: the file does not hold what the quantity needs.
        DataError: values outside anything possible; most often the unit is wrong.
    """
    name, notes = config.quantity, hourly.notes
    if name in hourly.values:
        values = hourly.values[name]
    elif name in SHARES and "generation_mw" in hourly.values:
        values, more = _share(hourly, config)
        notes += more
    elif name == "demand_shape" and "demand_mw" in hourly.values:
        values = hourly.values["demand_mw"]
    elif name == "pv_cf":
        values, more = pv_cf(hourly, config.pv)
        notes += more
    elif name == "wind_cf":
        values, more = wind_cf(hourly, config.wind)
        notes += more
    else:
        raise ConfigError(f"{hourly.path}: {name} cannot be had from {', '.join(hourly.values)}")
    if name in SHARES:
        values = _clipped(values, hourly, name)
    if name == "demand_shape":
        if values.mean() <= 0.0:
            bad(hourly.path, None, "demand_shape has a mean of zero")
        values, notes = values / values.mean(), (*notes, "divided by its mean")
    check_range(values, hourly, name)
    return replace(hourly, values={name: values}, notes=notes)


def _share(hourly: Hourly, config: InputConfig) -> tuple[Array, tuple[str, ...]]:
    if config.capacity_mw is None:
        raise ConfigError(
            f"{hourly.path}: {config.quantity} from MW needs the plants' size: add capacity_mw to the input"
        )
    return hourly.values["generation_mw"] / config.capacity_mw, (f"divided by {config.capacity_mw:g} MW",)


def _clipped(values: Array, hourly: Hourly, name: str) -> Array:
    """Bring what lies a little outside 0 … 1 back, counted."""
    wrong = np.flatnonzero((values < -SLACK) | (values > 1.0 + SLACK))
    if len(wrong):
        at = int(wrong[0])
        hourly.refuse(at, f"{name} = {values[at]:.3g} of capacity; is capacity_mw or the unit wrong?")
    for what, count in (("zero", (values < 0.0).sum()), ("one", (values > 1.0).sum())):
        if count:
            hourly.repairs[f"values_clipped_to_{what}"] += int(count)
    return np.clip(values, 0.0, 1.0)


def check_range(values: Array, hourly: Hourly, name: str) -> None:
    """Refuse values, and means, that only a wrong unit explains."""
    low, high = limits(name)
    wrong = np.flatnonzero((values < low) | (values > high))
    if len(wrong):
        at = int(wrong[0])
        hourly.refuse(at, f"{name} = {values[at]:g} is outside {low:g}…{high:g}; is the value or the unit wrong?")
    size = float(np.abs(values).mean())
    if name in ("price_cny_per_mwh", "carbon_kg_per_mwh") and 0.0 < size < 2.0:
        hint = "CNY/kWh" if name.startswith("price") else "kg/kWh or t/MWh"
        bad(hourly.path, None, f"{name} has a mean size of {size:.3g}; this looks like {hint}")
