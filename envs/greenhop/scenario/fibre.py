"""What light in fibre makes of a distance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from greenhop.scenario.tables import load_table


def latency_ms(km: NDArray[np.float64]) -> NDArray[np.float64]:
    """One-way latency of a fibre over `km` as the crow flies (routing factor and equipment: network table)."""
    t = load_table("network")
    latency: NDArray[np.float64] = km * t["fibre_ms_per_km"] * t["routing_factor"] + t["equipment_ms"]
    return latency
