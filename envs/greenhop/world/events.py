"""Disturbances that recur at random.

| kind | what `magnitude` m does while it lasts |
|---|---|
| `site_outage` | computing capacity of one site × (1 − m) |
| `link_cut` | both directions of one link × (1 − m) |
| `dunkelflaute` | wind and sun at all listed sites × (1 − m) |
| `demand_surge` | arrivals at all listed sites × (1 + m) |
| `curtailment_order` | grid connection of all listed sites × (1 − m): load curtailment in a shortage |

`sites` empty means every site. Kinds that hit one site or link choose it among those listed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from greenhop.arrays import Array
from greenhop.scenario.config import EventConfig, ScenarioConfig
from greenhop.units import HOURS_PER_YEAR
from greenhop.world.calendar import Calendar
from greenhop.world.streams import StreamKey


@dataclass(frozen=True)
class Events:
    """Multipliers: `[N, R]`, of links `[N, L]` (directed)."""

    site: Array
    grid: Array
    weather: Array
    demand: Array
    link: Array


def make_events(scenario: ScenarioConfig, key: StreamKey, cal: Calendar) -> Events:
    """All events of a year."""
    sites = (cal.rows, len(scenario.sites))
    events = Events(
        site=np.ones(sites),
        grid=np.ones(sites),
        weather=np.ones(sites),
        demand=np.ones(sites),
        link=np.ones((cal.rows, 2 * len(scenario.links))),
    )
    for name, config in scenario.events.items():
        rng = key.stream("event", name)
        for first, last in spells(config, rng, cal):
            _strike(scenario, config, events, slice(first, last), rng)
    return events


def spells(config: EventConfig, rng: Generator, cal: Calendar) -> list[tuple[int, int]]:
    """Row ranges of the year's events, in order of drawing."""
    count = rng.poisson(config.per_year * cal.rows * cal.dt_h / HOURS_PER_YEAR)
    length = max(1, round(config.duration_h / cal.dt_h))
    return [(int(first), int(first) + length) for first in rng.integers(0, cal.rows, count)]


def _strike(scenario: ScenarioConfig, config: EventConfig, events: Events, rows: slice, rng: Generator) -> None:
    """Apply one event to the arrays in place; overlapping events take the worse of both."""
    names = list(scenario.sites)
    listed = [names.index(s) for s in (config.sites or names)]
    left = max(0.0, 1.0 - config.magnitude)
    match config.kind:
        case "site_outage":
            _lower(events.site, rows, [int(rng.choice(listed))], left)
        case "link_cut":
            chosen = {names[r] for r in listed}
            touched = [i for i, link in enumerate(scenario.links) if chosen & set(link.between)]
            if touched:
                i = int(rng.choice(touched))
                _lower(events.link, rows, [2 * i, 2 * i + 1], left)
        case "dunkelflaute":
            _lower(events.weather, rows, listed, left)
        case "curtailment_order":
            _lower(events.grid, rows, listed, left)
        case "demand_surge":
            events.demand[rows, listed] = np.maximum(events.demand[rows, listed], 1.0 + config.magnitude)


def _lower(target: Array, rows: slice, columns: list[int], level: float) -> None:
    target[rows, columns] = np.minimum(target[rows, columns], level)
