"""`WorldYear`: everything exogenous in one year of a scenario, and `generate_year`, which makes it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from greenhop.arrays import Array
from greenhop.errors import ConfigError
from greenhop.scenario.config import SPLITS, ScenarioConfig
from greenhop.world.calendar import Calendar, calendar
from greenhop.world.carbon import carbon_kg_per_mwh
from greenhop.world.demand import make_arrivals
from greenhop.world.energy import energy_mwh, inflow_mwh, ppa_mwh, site_pue
from greenhop.world.events import make_events
from greenhop.world.given import given_series
from greenhop.world.places import Place, places_of
from greenhop.world.streams import DEFAULT_WORLD, StreamKey
from greenhop.world.tariffs import Prices, make_prices
from greenhop.world.weather import Weather, make_weather


@dataclass(frozen=True)
class WorldYear:
    """Arrays over N rows (a year and 48 h), R sites, Z and K classes, L directed links, U storage units."""

    split: str
    year_id: int
    cal: Calendar
    places: tuple[Place, ...]  # of the sites, in site order
    weather: Weather
    prices: Prices
    pv_mwh: Array  # [N, R]
    wind_mwh: Array  # [N, R]
    hydro_mwh: Array  # [N, R]
    ppa_mwh: Array  # [N, R]
    temperature_c: Array  # [N, R]
    pue_full: Array  # [N, R]
    grid_price_cny_per_mwh: Array  # [N, R]
    export_price_cny_per_mwh: Array  # [N, R]
    carbon_kg_per_mwh: Array  # [N, R]
    site_availability: Array  # [N, R]
    grid_availability: Array  # [N, R]
    online_mwh: Array  # [N, R, Z]
    arrivals_mwh: Array  # [N, R, K]
    link_availability: Array  # [N, L]
    inflow_mwh: Array  # [N, U]

    @property
    def green_mwh(self) -> Array:
        """`[N, R]` own wind, sun and water."""
        return self.wind_mwh + self.pv_mwh + self.hydro_mwh


def generate_year(scenario: ScenarioConfig, split: str, year_id: int) -> WorldYear:
    """Generate year `year_id` of `split` in float64.

    The bits depend on (scenario.seed, split, year_id), the tables and the pack, never on how many years or in which
    order they are made. Streams of different splits are disjoint because the split is part of every stream's key.
    A pack (`scenario.world`) replaces the series it holds, before events strike; the others stay as they would be.
    Weather, spot noise and monthly price factors of a table site are the same in every scenario with the same seed,
    whatever its sites, plants and storage are; work depends on which sites share it.

    Args:
        scenario: checked.
        split: `train`, `val` or `test`.
        year_id: from 0.

    Raises:
        ConfigError: a split or year that does not exist.
    """
    if split not in SPLITS:
        raise ConfigError(f"split = {split!r} is unknown; allowed: {', '.join(SPLITS)}")
    if year_id < 0:
        raise ConfigError(f"year_id = {year_id} must not be negative")
    key = StreamKey(scenario.seed, DEFAULT_WORLD, split, year_id)
    cal = calendar(scenario.dt_h)
    places, sites = places_of(scenario)
    at_sites = tuple(places[i] for i in sites)
    events = make_events(scenario, key, cal)
    given = given_series(scenario, split, year_id, cal)
    weather = _with_calm(given.weather(make_weather(key, places, sites, cal)), events.weather)
    prices = given.prices(make_prices(scenario, key, places, sites, weather, cal))
    configs = list(scenario.sites.values())
    online, deferrable = list(scenario.online), list(scenario.deferrable)
    demand = events.demand[:, :, None]
    return WorldYear(
        split=split,
        year_id=year_id,
        cal=cal,
        places=at_sites,
        weather=weather,
        prices=prices,
        pv_mwh=energy_mwh(weather.solar, [s.pv_mw for s in configs], cal.dt_h),
        wind_mwh=energy_mwh(weather.wind, [s.wind_mw for s in configs], cal.dt_h),
        hydro_mwh=energy_mwh(weather.hydro, [s.hydro_mw for s in configs], cal.dt_h),
        ppa_mwh=ppa_mwh(weather.wind, weather.base_solar, configs, cal.dt_h),
        temperature_c=weather.temperature_c,
        pue_full=site_pue(at_sites, configs, weather.temperature_c),
        grid_price_cny_per_mwh=prices.grid,
        export_price_cny_per_mwh=prices.export,
        carbon_kg_per_mwh=given.carbon(carbon_kg_per_mwh(list(at_sites), weather, scenario.market.marginal_carbon)),
        site_availability=events.site,
        grid_availability=events.grid,
        online_mwh=given.arrivals(make_arrivals(scenario, key, online, cal), online) * demand,
        arrivals_mwh=given.arrivals(make_arrivals(scenario, key, deferrable, cal), deferrable) * demand,
        link_availability=events.link,
        inflow_mwh=inflow_mwh(weather.beam, scenario),
    )


def _with_calm(weather: Weather, left: Array) -> Weather:
    """Weather with wind, sun and beam lowered to the share `left` `[N, R]`."""
    return replace(
        weather,
        wind=weather.wind * left,
        solar=weather.solar * left,
        base_solar=weather.base_solar * left,
        beam=weather.beam * left,
    )
