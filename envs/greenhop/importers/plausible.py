"""Values that no measurement can have, found in the rows of the file before anything is averaged.

One wrong digit is enough to spoil an hour, a mean and with it a whole series, so it is an error that names the row.
"""

from __future__ import annotations

import numpy as np

from greenhop.arrays import Array
from greenhop.importers.files import bad
from greenhop.importers.samples import Samples
from greenhop.world.pack import limits

SUN = (
    -20.0,
    1700.0,
)  # W/m²: pyranometers read a little below zero at night, and above the solar constant beside clouds
WIND = (0.0, 120.0)  # m/s; the record gust is 113 (WMO)
LIMITS = {  # of what files hold beside the quantities of a pack
    "ghi_w_per_m2": SUN,
    "dhi_w_per_m2": SUN,
    "dni_w_per_m2": SUN,
    "humidity_pct": (0.0, 110.0),  # sensors overshoot
    "cloud_share": (0.0, 1.01),
    "demand_mw": (0.0, 3e6),  # twice the peak of China in 2024
    "generation_mw": (-1e5, 4e6),  # more than all power stations of any country
}
SHARES = ("pv_cf", "wind_cf", "hydro_cf")
SLACK = 0.05  # of capacity: how far below zero or above it an output is still clipped and not an error, assumption
MOST_OF_MEDIAN = 10.0  # demand of a region or a site over its median, assumption
NEVER_FAR_FROM_MEDIAN = ("demand_mw", "demand_shape")


def check_plausible(rows: Samples, capacity_mw: float | None) -> None:
    """Refuse the first row with a value outside what is possible for its quantity.

    Raises:
        DataError: names file, row, value and limits.
    """
    for name, v in rows.values.items():
        low, high = _limits(name, v, capacity_mw)
        if (wrong := np.flatnonzero((v < low) | (v > high))).size:
            at = int(wrong[0])
            suspect = "capacity_mw or the unit" if name in ("generation_mw", *SHARES) else "the value or the unit"
            bad(rows.path, int(rows.lines[at]), f"{name} = {v[at]:g} is outside {low:g}…{high:g}; is {suspect} wrong?")


def _limits(name: str, v: Array, capacity_mw: float | None) -> tuple[float, float]:
    if name == "generation_mw" and capacity_mw is not None:
        return -SLACK * capacity_mw, (1.0 + SLACK) * capacity_mw
    if name in SHARES:
        return -SLACK, 1.0 + SLACK
    if name.startswith("wind_"):
        return WIND
    low, high = LIMITS[name] if name in LIMITS else (0.0, 1e9) if name == "demand_shape" else limits(name)
    if name in NEVER_FAR_FROM_MEDIAN and (v > 0.0).any() and (median := float(np.nanmedian(v))) > 0.0:
        high = min(high, MOST_OF_MEDIAN * median)
    return low, high
