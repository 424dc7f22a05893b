"""Power usage effectiveness at full load from the outdoor temperature."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from greenhop.arrays import Array
from greenhop.scenario.tables import load_table

if TYPE_CHECKING:
    from greenhop.world.places import Place


def pue_full(place: Place, cooling: str, temperature_c: Array) -> Array:
    """PUE at full IT load, same shape as `temperature_c`: the technology's curve plus the adder of humid sites."""
    t = load_table("cooling")
    pue = np.interp(temperature_c, t["dry_bulb_c"], t["curves"][cooling])
    humid = t["humid"]
    if place.row["climate"]["humidity_pct"] >= humid["from_humidity_pct"]:
        pue = pue + humid["adder_per_k"] * np.maximum(0.0, temperature_c - humid["above_c"])
    out: Array = np.asarray(pue, dtype=np.float64)
    return out
