"""Where weather is made: the rows of the site table first, always in the same order, then places of the user's own.

Correlated noise is mixed by a Cholesky factor whose row i reads only the places up to i. Therefore the series of a
table site do not depend on which sites a scenario has; those of an own place depend on the table and on own places
before it in the order of their names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import exp, sqrt
from typing import Any

import numpy as np

from greenhop.arrays import Array
from greenhop.scenario.config import ScenarioConfig
from greenhop.scenario.geo import great_circle_km
from greenhop.scenario.sites import locations_deg, table_name
from greenhop.scenario.tables import load_table, site_row

NUGGET = 1e-6  # share of noise that two places never share, so that twins at one spot do not make the factor singular


@dataclass(frozen=True)
class Place:
    """A point with a climate. `key` names its random streams."""

    key: str
    table: str
    lat_deg: float
    lon_deg: float

    @property
    def row(self) -> Mapping[str, Any]:
        """Its row in the site table."""
        return site_row(self.table, f"place {self.key}")


@cache
def table_places() -> tuple[Place, ...]:
    """One place per row of the site table."""
    return tuple(Place(name, name, r["lat_deg"], r["lon_deg"]) for name, r in load_table("sites").items())


def places_of(scenario: ScenarioConfig) -> tuple[tuple[Place, ...], tuple[int, ...]]:
    """All places weather is made for, and for each site of the scenario the index of its place."""
    known = {p.key: p for p in table_places()}
    own: dict[str, Place] = {}
    keys = []
    for (site, config), (lat, lon) in zip(scenario.sites.items(), locations_deg(scenario), strict=True):
        table = table_name(site, config)
        base = known[table]
        key = table
        if (lat, lon) != (base.lat_deg, base.lon_deg):
            key = f"{site}@{lat:.4f},{lon:.4f}"
            own[key] = Place(key, table, float(lat), float(lon))
        keys.append(key)
    places = (*known.values(), *(own[key] for key in sorted(own)))
    index = {p.key: i for i, p in enumerate(places)}
    return places, tuple(index[key] for key in keys)


@cache
def mixing(places: tuple[Place, ...], decay_km: float) -> tuple[tuple[float, ...], ...]:
    """Rows of the Cholesky factor of `exp(−d / decay_km)`; row by row, so that a row never depends on later places."""
    spots = np.array([(p.lat_deg, p.lon_deg) for p in places])
    km = great_circle_km(spots[:, None], spots[None, :])
    factor: list[tuple[float, ...]] = []
    for i in range(len(places)):
        row: list[float] = []
        for j in range(i):
            c = (1.0 - NUGGET) * exp(-float(km[i, j]) / decay_km)
            row.append((c - sum(a * b for a, b in zip(row, factor[j], strict=False))) / factor[j][j])
        row.append(sqrt(max(NUGGET, 1.0 - sum(a * a for a in row))))
        factor.append(tuple(row))
    return tuple(factor)


def correlated(
    draw: Callable[[Place], Array], places: tuple[Place, ...], wanted: Sequence[int], decay_km: float
) -> dict[int, Array]:
    """Noise of the `wanted` places, mixed from independent `draw`s so that it correlates as `exp(−d / decay_km)`.

    Summed one place after the other and never by a matrix product, whose order of summation depends on its size.
    """
    factor = mixing(places, decay_km)
    white = [draw(p) for p in places[: max(wanted) + 1]]
    out = {}
    for i in sorted(set(wanted)):
        total = factor[i][0] * white[0]
        for weight, noise in zip(factor[i][1:], white[1:], strict=False):
            total += weight * noise
        out[i] = total
    return out
