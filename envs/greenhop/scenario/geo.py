"""Distances on the sphere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from greenhop.units import EARTH_RADIUS_KM


def great_circle_km(a_deg: NDArray[np.float64], b_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    """Haversine distance; `a_deg` and `b_deg` are `[..., 2]` latitude and longitude, broadcast against each other."""
    a, b = np.radians(a_deg), np.radians(b_deg)
    lat_a, lat_b = a[..., 0], b[..., 0]
    h = np.sin((lat_b - lat_a) / 2) ** 2 + np.cos(lat_a) * np.cos(lat_b) * np.sin((b[..., 1] - a[..., 1]) / 2) ** 2
    km: NDArray[np.float64] = 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(h, 0.0, 1.0)))
    return km
