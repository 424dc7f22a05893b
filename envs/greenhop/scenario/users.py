"""Where work comes from: its origins, the hubs it arrives at, and which users another site is near enough to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from greenhop.arrays import Array
from greenhop.scenario.config import ScenarioConfig
from greenhop.scenario.fibre import latency_ms
from greenhop.scenario.geo import great_circle_km
from greenhop.scenario.sites import it_capacity_mw, locations_deg
from greenhop.scenario.tables import load_table


def origins_table() -> dict[str, Mapping[str, Any]]:
    """Places where work comes from."""
    return {name: row for name, row in load_table("workload")["origins"].items() if name != "source"}


def origin_split(scenario: ScenarioConfig) -> Array:
    """`[O, R]` shares of all work by origin and site, summing to one.

    Gravity: origin o prefers site r by capacity × exp(−distance / origin_decay_km). A site that would be loaded above
    `max_site_loading` on average passes the rest on to the others in the same proportions (before any multiplier: a
    surge does not rearrange where customers are). If nobody has room left, the remainder is spread by capacity.
    """
    rows, demand = list(origins_table().values()), scenario.demand
    capacity, km = it_capacity_mw(scenario), _user_km(scenario)
    pull = capacity * np.exp(-km / demand.origin_decay_km) + 1e-12 * capacity
    room = demand.max_site_loading * capacity / (max(demand.mean_loading, 1e-12) * capacity.sum())
    left = np.array([o["share"] for o in rows])
    left = left / left.sum()
    placed = np.zeros_like(pull)
    for _ in range(len(capacity)):
        is_open = room > 1e-12
        if left.sum() < 1e-12 or not is_open.any():
            break
        wish = left[:, None] * pull * is_open / (pull * is_open).sum(axis=1, keepdims=True)
        taken = wish * np.minimum(1.0, room / np.maximum(wish.sum(axis=0), 1e-15))
        placed, room, left = placed + taken, room - taken.sum(axis=0), left - taken.sum(axis=1)
    out: Array = placed + np.maximum(left, 0.0)[:, None] * capacity / capacity.sum()
    return out


def near(scenario: ScenarioConfig, source: NDArray[np.int64], link_ms: Array, budget_ms: Array) -> Array:
    """`[L, Z]` share of a hub's users whose round trip user–hub–site over a link stays within the budget of a class.

    Args:
        scenario: where the hubs are and who their users are.
        source: `[L]` hub at which the work of each link arrives.
        link_ms: `[L]` one-way latency of the links.
        budget_ms: `[Z]` round trip that each online class allows.
    """
    users = origin_split(scenario)
    users = users / np.maximum(users.sum(axis=0), 1e-15)
    round_trip_ms = 2.0 * (latency_ms(_user_km(scenario))[:, source] + link_ms)  # [O, L]
    within = round_trip_ms[:, :, None] <= budget_ms
    share: Array = (users[:, source, None] * within).sum(axis=0)
    return np.minimum(share, 1.0)


def _user_km(scenario: ScenarioConfig) -> Array:
    """`[O, R]` distance from each origin to each site."""
    spots = np.array([(o["lat_deg"], o["lon_deg"]) for o in origins_table().values()])
    return great_circle_km(spots[:, None], locations_deg(scenario)[None, :])
