"""What surplus earns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from greenhop.scenario.sites import tariff_rows

if TYPE_CHECKING:
    from greenhop.scenario.config import ScenarioConfig

Array = NDArray[np.float64]


def feed_in(scenario: ScenarioConfig) -> Array:
    """`[R]` price paid for surplus."""
    return np.array([t["feed_in_cny_per_mwh"] for t in tariff_rows(scenario)], dtype=np.float64)


def export_price(grid: Array, feed_in_cny_per_mwh: Array) -> Array:
    """Surplus earns the feed-in price, but never more than energy costs then: no arbitrage through the meter."""
    out: Array = np.minimum(feed_in_cny_per_mwh, grid)
    return out
