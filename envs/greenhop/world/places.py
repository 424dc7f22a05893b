"""Where weather is made: the rows of the site table first, always in the same order, then places of the user's own.

Therefore the series of a table site do not depend on which sites a scenario has (see `noise.correlated`); those of an
own place depend on the table and on own places before it in the order of their names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from greenhop.scenario.sites import locations_deg, table_name
from greenhop.scenario.tables import load_table, site_row

if TYPE_CHECKING:
    from greenhop.scenario.config import ScenarioConfig


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
