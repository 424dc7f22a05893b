"""The layout of `city57`: cities on lines to their regional node, rings within a region, a mesh between regions."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations, pairwise
from math import atan2, cos, radians
from typing import Any

import numpy as np

from greenhop.scenario.geo import great_circle_km
from greenhop.scenario.tables import load_table

HEADER = """\
# Seven regional nodes and fifty city nodes: the scaling test. Three levels of links: a line from every city to its
# regional node, a ring through the cities of a region, a mesh between the regional nodes.
# Made by `python scripts/make_city57.py` from envs/greenhop/data/cities.yaml, where every assumption stands.
defaults: [common, _self_]
name: city57
description: Seven regional and fifty city nodes on three levels of links.
years: {train: 4, val: 1, test: 2}  # a year is six times as wide as one of hub10
market: {green_penalty_cny_per_mwh: 0}  # the rule of 80 % binds the national hubs; cities buy certificates
"""


def city57_yaml() -> str:
    """The scenario file `configs/scenario/city57.yaml`."""
    lines = [HEADER.rstrip(), "sites:"]
    lines += [f"  {name}: {_flow(site)}" for name, site in city_sites().items()]
    lines += ["links:"]
    lines += [f"  {name}: {_flow(link)}" for name, link in city_links().items()]
    lines += ["storage:"]
    lines += [f"  {name}: {_flow(unit)}" for name, unit in city_storage().items()]
    return "\n".join(lines) + "\n"


def nodes(kind: str) -> dict[str, Mapping[str, Any]]:
    """Rows of the city table: `regional` or `city`."""
    return {name: row for name, row in load_table("cities")[kind].items() if name != "source"}


def city_sites() -> dict[str, dict[str, Any]]:
    """Regional nodes of one size, cities by their people; climate, tariff and carbon of the nearest cluster."""
    t = load_table("cities")["layout"]
    cities = nodes("city")
    people = sum(c["people_m"] for c in cities.values())
    sizes = dict.fromkeys(nodes("regional"), t["regional_it_mw"])
    sizes |= {name: t["cities_it_mw"] * c["people_m"] / people for name, c in cities.items()}
    places = nodes("regional") | cities
    return {name: _site(places[name], mw, t) for name, mw in sizes.items()}


def _site(place: Mapping[str, Any], it_mw: float, layout: Mapping[str, Any]) -> dict[str, Any]:
    like = nearest_cluster(place["lat_deg"], place["lon_deg"])
    site = {"like": like, "lat_deg": place["lat_deg"], "lon_deg": place["lon_deg"], "it_capacity_mw": round(it_mw, 1)}
    if like in layout["windy"]:
        plants = {"wind_mw": layout["windy_wind"], "pv_mw": layout["windy_pv"]}
    else:
        plants = {key: layout[f"other_{key.removesuffix('_mw')}"] for key in ("pv_mw", "ppa_wind_mw", "ppa_pv_mw")}
        site["cooling"] = "cold_plate_liquid_80pct"
    return site | {key: round(share * it_mw, 1) for key, share in plants.items()}


def nearest_cluster(lat_deg: float, lon_deg: float) -> str:
    """The row of the site table closest to a place."""
    rows = load_table("sites")
    spots = np.array([(r["lat_deg"], r["lon_deg"]) for r in rows.values()])
    return list(rows)[int(great_circle_km(spots, np.array([lat_deg, lon_deg])).argmin())]


def city_links() -> dict[str, dict[str, Any]]:
    """Lines, rings and mesh. A ring of two cities would be their line twice, so it takes three."""
    t, regional = load_table("cities")["layout"], nodes("regional")
    links = {}
    for hub, spot in regional.items():
        members = [name for name, row in nodes("city").items() if row["region"] == hub]
        links.update(_named([(hub, city) for city in members], t["line_gbps"]))
        around = sorted(members, key=lambda city, spot=spot: _bearing(spot, nodes("city")[city]))  # type: ignore[misc]
        closing = [(around[-1], around[0])] if len(around) > 2 else []
        links.update(_named([*pairwise(around), *closing], t["ring_gbps"]))
    return links | _named(list(combinations(regional, 2)), t["mesh_gbps"])


def _named(pairs: list[tuple[str, str]], gbps: float) -> dict[str, dict[str, Any]]:
    return {f"{a}_{b}": {"between": [a, b], "bandwidth_gbps": gbps} for a, b in pairs}


def _bearing(centre: Mapping[str, Any], place: Mapping[str, Any]) -> float:
    """Angle of `place` seen from `centre`, on a plane touching the earth there."""
    east = (place["lon_deg"] - centre["lon_deg"]) * cos(radians(centre["lat_deg"]))
    return atan2(place["lat_deg"] - centre["lat_deg"], east)


def city_storage() -> dict[str, dict[str, Any]]:
    """A battery at every regional node."""
    t = load_table("cities")["layout"]
    power = t["storage_power"] * t["regional_it_mw"]
    return {f"{name}_battery": {"site": name, "power_mw": power} for name in nodes("regional")}


def _flow(values: Mapping[str, Any]) -> str:
    """One line of YAML."""
    shown = (f"{key}: [{', '.join(v)}]" if isinstance(v, list) else f"{key}: {v}" for key, v in values.items())
    return "{" + ", ".join(shown) + "}"
