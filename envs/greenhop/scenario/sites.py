"""What the tables say of a scenario's sites."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from greenhop.scenario.tables import load_table, site_row

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from greenhop.scenario.config import ScenarioConfig, SiteConfig


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


def volume_fees(tariff: Mapping[str, Any]) -> float:
    """Everything per MWh besides energy; a negotiated price includes it."""
    common = load_table("tariffs")["common"]
    return float(tariff["td_cny_per_mwh"] + sum(v for key, v in common.items() if key != "source"))


def spared_wires(scenario: ScenarioConfig) -> NDArray[np.float64]:
    """[R] CNY/MWh of wires' fee that a site does not pay per energy: the province's under direct green supply, else 0.

    Such sites pay the wires by connected capacity instead (Document 1192 of 2025), unless the market says otherwise.
    """
    fee = [t["td_cny_per_mwh"] for t in tariff_rows(scenario)]
    by_capacity = scenario.market.wires_by_capacity
    direct = [by_capacity and site.tariff_mode == "direct_green" for site in scenario.sites.values()]
    return np.where(direct, fee, 0.0)


def pue_caps(scenario: ScenarioConfig) -> NDArray[np.float64]:
    """[R] what the mean PUE of a site may be: by side of the country for hubs, else by the kind of centre."""
    caps = load_table("cooling")["caps"]
    sides = [site_row(table_name(s, c), f"sites.{s}")["side"] for s, c in scenario.sites.items()]
    kinds = [
        f"hub_{side}" if site.centre == "hub" else site.centre
        for side, site in zip(sides, scenario.sites.values(), strict=True)
    ]
    return np.array([caps[kind] for kind in kinds], dtype=np.float64)


def locations_deg(scenario: ScenarioConfig) -> NDArray[np.float64]:
    """[R, 2] latitude and longitude of each site."""
    out = []
    for s, c in scenario.sites.items():
        row = site_row(table_name(s, c), f"sites.{s}")
        lat = row["lat_deg"] if c.lat_deg is None else c.lat_deg
        lon = row["lon_deg"] if c.lon_deg is None else c.lon_deg
        out.append((lat, lon))
    return np.array(out, dtype=np.float64)


def feed_in(scenario: ScenarioConfig) -> NDArray[np.float64]:
    """`[R]` price paid for surplus."""
    return np.array([t["feed_in_cny_per_mwh"] for t in tariff_rows(scenario)], dtype=np.float64)
