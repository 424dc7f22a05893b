"""What surplus earns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def export_price(grid: Array, feed_in_cny_per_mwh: Array) -> Array:
    """Surplus earns the feed-in price, but never more than energy costs then: no arbitrage through the meter."""
    out: Array = np.minimum(feed_in_cny_per_mwh, grid)
    return out
