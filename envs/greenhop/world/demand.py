"""Work that arrives: how much of each class, from which origin, at which site and when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from greenhop.scenario.config import ScenarioConfig
from greenhop.scenario.geo import great_circle_km
from greenhop.scenario.sites import it_capacity_mw, locations_deg
from greenhop.scenario.tables import load_table
from greenhop.world.calendar import Calendar
from greenhop.world.noise import ar1, pulses
from greenhop.world.streams import StreamKey

Array = NDArray[np.float64]


def make_arrivals(scenario: ScenarioConfig, key: StreamKey, names: list[str], cal: Calendar) -> Array:
    """`[N, R, len(names)]` MWh of the classes `names` (online or deferrable) arriving in each row."""
    split = origin_split(scenario)
    total_mwh = it_capacity_mw(scenario).sum() * scenario.demand.mean_loading * scenario.demand.multiplier * cal.dt_h
    shares = {name: c.energy_share for name, c in scenario.online.items()}
    shares |= {name: c.energy_share for name, c in scenario.deferrable.items()}
    out = np.empty((cal.rows, len(scenario.sites), len(names)))
    for k, name in enumerate(names):
        shape = calendar_shape(class_row(name), cal) * shares[name] * total_mwh
        origins = np.stack([bursts(key, name, origin, cal) for origin in origins_table()], axis=1)  # [N, O]
        for r, site in enumerate(scenario.sites):
            mixed = (origins * split[:, r]).sum(axis=1)
            out[:, r, k] = shape * mixed * noise(key, name, site, cal)
    return out


def class_row(name: str) -> Mapping[str, Any]:
    """The workload table's row of a class; classes it does not know get the row `other`."""
    rows = load_table("workload")["classes"]
    row = rows[name if name in rows and name != "source" else "other"]
    assert isinstance(row, Mapping)
    return row


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
    capacity = it_capacity_mw(scenario)
    spots = np.array([(o["lat_deg"], o["lon_deg"]) for o in rows])
    km = great_circle_km(spots[:, None], locations_deg(scenario)[None, :])
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


def calendar_shape(row: Mapping[str, Any], cal: Calendar) -> Array:
    """`[N]` hour of day × weekend, mean one over a week."""
    hourly = np.array(row["hourly"], dtype=np.float64)
    weekend = float(row["weekend"])
    week = np.where(cal.weekday >= 5, weekend, 1.0) / ((5.0 + 2.0 * weekend) / 7.0)
    out: Array = hourly[cal.hour] / hourly.mean() * week
    return out


def noise(key: StreamKey, name: str, site: str, cal: Calendar) -> Array:
    """`[N]` lognormal AR noise of mean one: the heavy upper tail of what customers send."""
    sd = float(class_row(name)["noise_sd"])
    phi = load_table("workload")["noise"]["phi_per_h"] ** cal.dt_h
    latent = ar1(key.stream("arrivals", name, site).standard_normal(cal.rows), phi)
    out: Array = np.exp(sd * latent - sd * sd / 2)
    return out


def bursts(key: StreamKey, name: str, origin: str, cal: Calendar) -> Array:
    """`[N]` multiplier of one class from one origin, expected value one."""
    t = load_table("workload")["bursts"]
    rng = key.stream("bursts", name, origin)
    hours = t["duration_h_median"] * np.exp(t["duration_log_sd"] * rng.standard_normal(300))
    extra = rng.uniform(t["extra_min"], t["extra_max"], 300)
    high = pulses(rng, cal.rows, t["per_week"] * cal.dt_h / 168, hours / cal.dt_h, 0.0, extra)
    mean_hours = t["duration_h_median"] * np.exp(t["duration_log_sd"] ** 2 / 2)
    mean = t["per_week"] / 168 * mean_hours * (t["extra_min"] + t["extra_max"]) / 2
    out: Array = (1.0 + high) / (1.0 + mean)
    return out
