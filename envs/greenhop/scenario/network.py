"""Links become arrays: what they carry and cost, who may use them, and what replicas send over them."""

from __future__ import annotations

from typing import Any

import numpy as np

from greenhop.arrays import Array, Ints
from greenhop.physics.ops import gather_ends
from greenhop.scenario.config import LinkConfig, ScenarioConfig
from greenhop.scenario.fibre import latency_ms
from greenhop.scenario.geo import great_circle_km
from greenhop.scenario.sites import locations_deg
from greenhop.scenario.tables import load_table
from greenhop.scenario.users import near
from greenhop.units import GB_PER_HOUR_PER_GBPS


def network_arrays(scenario: ScenarioConfig) -> dict[str, Any]:
    """The fields of `Params` that belong to links; every fibre is two directed links, one after the other."""
    names, table = list(scenario.sites), load_table("network")
    both_ways = [(link, *ends) for link in scenario.links for ends in (link.between, link.between[::-1])]
    source = np.array([names.index(a) for _, a, _ in both_ways], dtype=np.int64)
    target = np.array([names.index(b) for _, _, b in both_ways], dtype=np.int64)
    places = locations_deg(scenario)
    link_ms = latency_ms(great_circle_km(places[source], places[target]))
    links = [link for link, _, _ in both_ways]
    slice_gbps = table["tenant_slice_gbps"] * table["migration_share_of_slice"]
    gbps = [slice_gbps if link.bandwidth_gbps is None else link.bandwidth_gbps for link in links]
    price = [table["price_cny_per_gb"] if link.price_cny_per_gb is None else link.price_cny_per_gb for link in links]
    return {
        "links": tuple((a, b) for _, a, b in both_ways),
        "link_source": source,
        "link_target": target,
        "links_out": gather_ends(source.tolist(), len(names)),
        "links_in": gather_ends(target.tolist(), len(names)),
        "link_gb": np.array(gbps, dtype=np.float64) * GB_PER_HOUR_PER_GBPS * scenario.dt_h,
        "link_price_cny_per_gb": np.array(price, dtype=np.float64),
        **_routing(scenario, source, link_ms),
        **_migration(scenario, links, [b for _, _, b in both_ways], link_ms),
    }


def _routing(scenario: ScenarioConfig, source: Ints, link_ms: Array) -> dict[str, Array]:
    """Online work: whose users are near enough, and what the way costs."""
    online = list(scenario.online.values())
    budget_ms = np.array([c.latency_budget_ms for c in online], dtype=np.float64)
    loss = np.array([c.latency_cny_per_ms_mwh for c in online], dtype=np.float64)
    return {
        "route_allowed": near(scenario, source, link_ms, budget_ms),
        "route_gb_per_mwh": np.array([c.gb_per_mwh for c in online], dtype=np.float64),
        "latency_cny_per_mwh": 2.0 * link_ms[:, None] * loss,
    }


def _migration(
    scenario: ScenarioConfig, links: list[LinkConfig], target: list[str], link_ms: Array
) -> dict[str, Array]:
    """Deferrable work: where it may go, what travels with it, and what keeps its replicas fresh."""
    classes, whitelist = scenario.deferrable, scenario.demand.migration_whitelist
    allowed = [
        [float(ms <= c.latency_budget_ms and (k not in whitelist or b in whitelist[k])) for k, c in classes.items()]
        for ms, b in zip(link_ms, target, strict=True)
    ]
    gb = np.array([c.gb_per_mwh for c in classes.values()], dtype=np.float64)
    sync = np.array([c.replica_sync or 0.0 for c in classes.values()])
    replicated = np.array([float(c.replica_sync is not None) for c in classes.values()])
    staged = np.array([link.staged for link in links], dtype=np.float64)[:, None]
    return {
        "migrate_allowed": np.array(allowed, dtype=np.float64).reshape(len(links), len(classes)),
        "migrate_gb_per_mwh": (1.0 - staged * replicated) * gb,
        "sync_gb_per_mwh": staged * replicated * sync * gb,
        "restart_overhead": np.array([c.restart_overhead for c in classes.values()]),
    }
