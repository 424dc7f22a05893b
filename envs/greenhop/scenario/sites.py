"""What the tables say of a scenario's sites."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from greenhop.scenario.config import ScenarioConfig, SiteConfig
from greenhop.scenario.tables import load_table, site_row

if TYPE_CHECKING:
    from numpy.typing import NDArray


def table_name(site: str, config: SiteConfig) -> str:
    """Name of the row in the site table that describes `site`."""
    return config.like or site


def it_capacity_mw(scenario: ScenarioConfig) -> NDArray[np.float64]:
    """[R] IT nameplate of each site: the scenario's own figure, else the table's for the scenario's capacity year."""
    key = f"it_capacity_{scenario.capacity_year}_mw"
    return np.array(
        [c.it_capacity_mw or site_row(table_name(s, c), f"sites.{s}")[key] for s, c in scenario.sites.items()],
        dtype=np.float64,
    )


def tariff_rows(scenario: ScenarioConfig) -> list[dict[str, Any]]:
    """The tariff of each site, in site order."""
    tariffs = load_table("tariffs")["provinces"]
    return [tariffs[site_row(table_name(s, c), f"sites.{s}")["tariff"]] for s, c in scenario.sites.items()]


def spared_wires(scenario: ScenarioConfig) -> NDArray[np.float64]:
    """[R] CNY/MWh of wires' fee that a site does not pay per energy: the province's under direct green supply, else 0.

    Such sites pay the wires by connected capacity instead (Document 1192 of 2025).
    """
    fee = [t["td_cny_per_mwh"] for t in tariff_rows(scenario)]
    direct = [site.tariff_mode == "direct_green" for site in scenario.sites.values()]
    return np.where(direct, fee, 0.0)


def locations_deg(scenario: ScenarioConfig) -> NDArray[np.float64]:
    """[R, 2] latitude and longitude of each site."""
    out = []
    for s, c in scenario.sites.items():
        row = site_row(table_name(s, c), f"sites.{s}")
        lat = row["lat_deg"] if c.lat_deg is None else c.lat_deg
        lon = row["lon_deg"] if c.lon_deg is None else c.lon_deg
        out.append((lat, lon))
    return np.array(out, dtype=np.float64)
