"""Work that arrives: how much of each class, from which origin, at which site and when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from greenhop.arrays import Array
from greenhop.scenario.config import ScenarioConfig
from greenhop.scenario.sites import it_capacity_mw
from greenhop.scenario.tables import load_table
from greenhop.scenario.users import origin_split, origins_table
from greenhop.world.calendar import Calendar
from greenhop.world.noise import ar1, pulses
from greenhop.world.streams import StreamKey


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
