"""Putting the series of a pack on the calendar of a simulated year.

A simulated year starts on a Monday at 00:00 of the UTC+8 clock and is filled week by week. For week i the weeks of a
pack that belong to the split are searched for the one nearest in season; year ids go through the years of the record
one after the other. So weekdays, hours and seasons stay in place, series recorded together stay together, and no hour
of one split is ever seen in another. With one year of record a split owns part of its weeks and repeats them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from greenhop.arrays import Array, Ints
from greenhop.errors import ConfigError
from greenhop.scenario.config import ScenarioConfig
from greenhop.scenario.sites import feed_in, it_capacity_mw
from greenhop.world.calendar import Calendar
from greenhop.world.export import export_price
from greenhop.world.pack import ARRIVALS, Pack, SeriesInfo, SplitPlan, load_pack

if TYPE_CHECKING:
    from greenhop.world.tariffs import Prices
    from greenhop.world.weather import Weather

CLOCK_H = 8  # the simulator's clock is UTC+8
WEEK_H = 168
MONDAY_H = 96  # hours from 1970-01-01, a Thursday, to the first Monday
WEEKS_PER_YEAR = 52


@dataclass(frozen=True)
class GivenSeries:
    """The series of a pack for one simulated year `[N]` by (site index, quantity); empty without a pack."""

    scenario: ScenarioConfig
    cal: Calendar
    series: dict[tuple[int, str], Array]

    def weather(self, made: Weather) -> Weather:
        """Weather with the pack's series in place of the generated ones.

        Panels of the supply base (contracts) follow `pv_cf` too. The ceiling of forecasts is the highest output of the
        month at that hour. The beam of mirror fields stays generated.
        """
        solar = self._put(made.solar, "pv_cf")
        top = self._put(made.clear, "pv_cf", self._ceiling)
        return replace(
            made,
            wind=self._put(made.wind, "wind_cf"),
            solar=solar,
            base_solar=self._put(made.base_solar, "pv_cf"),
            hydro=self._put(made.hydro, "hydro_cf"),
            clear=top,
            temperature_c=self._put(made.temperature_c, "temperature_c"),
        )

    def prices(self, made: Prices) -> Prices:
        """Prices with the pack's, which are market prices: forecasts of them err, between their own extremes."""
        given = [r for r, name in self.series if name == "price_cny_per_mwh"]
        if not given:
            return made
        grid = self._put(made.grid, "price_cny_per_mwh")
        floor, cap, market = made.floor.copy(), made.cap.copy(), made.market.copy()
        floor[given], cap[given], market[given] = grid[:, given].min(axis=0), grid[:, given].max(axis=0), True
        export = export_price(grid, feed_in(self.scenario))
        return replace(made, grid=grid, export=export, floor=floor, cap=cap, market=market)

    def carbon(self, made: Array) -> Array:
        """`[N, R]` carbon intensity, average or marginal as the source had it."""
        return self._put(made, "carbon_kg_per_mwh")

    def arrivals(self, made: Array, names: list[str]) -> Array:
        """`[N, R, len(names)]` work: `demand_shape` × the generated mean, or a trace × IT capacity."""
        out, capacity = made.copy(), it_capacity_mw(self.scenario)
        for (r, name), values in self.series.items():
            trace = ARRIVALS.fullmatch(name)
            if name == "demand_shape":
                out[:, r] = made[:, r].mean(axis=0) * values[:, None]
            elif trace and trace[1] in names:
                mw = capacity[r] * self.scenario.demand.multiplier
                out[:, r, names.index(trace[1])] = values * mw * self.cal.dt_h
        return out

    def _put(self, made: Array, quantity: str, change: Callable[[Array], Array] = lambda x: x) -> Array:
        out = made.copy()
        for (r, name), values in self.series.items():
            if name == quantity:
                out[:, r] = change(values)
        return out

    def _ceiling(self, values: Array) -> Array:
        cell = self.cal.month * 24 + self.cal.hour
        top = np.zeros(12 * 24)
        np.maximum.at(top, cell, values)
        return np.asarray(top[cell], dtype=np.float64)


def given_series(scenario: ScenarioConfig, split: str, year_id: int, cal: Calendar) -> GivenSeries:
    """The series that `scenario.world` gives for this year.

    Raises:
        ConfigError: no pack there, none of its regions is a site, or a split has no complete week.
        DataError: the pack is damaged.
    """
    if scenario.world is None:
        return GivenSeries(scenario, cal, {})
    pack = _pack(scenario, scenario.world)
    names = list(scenario.sites)
    known = {*scenario.online, *scenario.deferrable}
    if not set(names) & {i.region for i in pack.manifest.arrays.values()}:
        regions = sorted({i.region for i in pack.manifest.arrays.values()})
        raise ConfigError(
            f"world = {scenario.world!r}: its regions {', '.join(regions)} are no sites of {scenario.name}; "
            f"sites: {', '.join(names)}"
        )
    series = {}
    for r, region in enumerate(names):
        for quantity, info in pack.of(region).items():
            trace = ARRIVALS.fullmatch(quantity)
            if trace and trace[1] not in known:
                raise ConfigError(
                    f"world = {scenario.world!r}: {region}/{quantity}: {scenario.name} has no class {trace[1]!r}; "
                    f"classes: {', '.join(sorted(known))}"
                )
            series[r, quantity] = _on_calendar(pack, info, split, year_id, cal)
    return GivenSeries(scenario, cal, series)


def _pack(scenario: ScenarioConfig, world: str) -> Pack:
    try:
        return load_pack(world)
    except ConfigError as error:
        real = f"greenhop import fetch=nasa_power scenario={scenario.name} 'years=[2022,2023]' output={world}"
        raise ConfigError(f"{error} of your files, or of real weather: {real}") from None


def pack_checksum(scenario: ScenarioConfig) -> str | None:
    """What tells a cache that a pack has changed."""
    if scenario.world is None:
        return None
    manifest = _pack(scenario, scenario.world).manifest
    return manifest.sha256 + manifest.model_dump_json(include={"splits", "regions", "arrays"})


def _on_calendar(pack: Pack, info: SeriesInfo, split: str, year_id: int, cal: Calendar) -> Array:
    values = pack.arrays[f"{info.region}/{info.quantity}"]
    first, weeks = complete_weeks(info, pack.manifest.regions[info.region].shift_h)
    owned = weeks[split_of(weeks, pack.manifest.splits) == split]
    if not len(owned):
        raise ConfigError(f"{info.region}/{info.quantity} has no complete week in split {split!r}; give it more weeks")
    chosen = choose_weeks(owned, year_id, -(-cal.hours // WEEK_H))
    hours = (chosen[:, None] * WEEK_H + np.arange(WEEK_H) - first).reshape(-1)[: cal.hours]
    return np.repeat(values[hours].astype(np.float64), cal.per_hour)


def complete_weeks(info: SeriesInfo, shift_h: int) -> tuple[int, Ints]:
    """Hour of the first value on the clock (hour 0 is Monday 1970-01-05 00:00), and the weeks that lie fully inside."""
    first = info.first_hour + CLOCK_H + shift_h - MONDAY_H
    return first, np.arange(-(-first // WEEK_H), (first + info.hours) // WEEK_H, dtype=np.int64)


def week_date(weeks: Ints) -> tuple[Ints, Ints, Ints]:
    """Year, week of the year (0 … 52) and month (0 … 11) of the Thursday of each week."""
    thursday = (np.datetime64("1970-01-08", "D") + weeks * 7).astype("datetime64[D]")
    year = thursday.astype("datetime64[Y]")
    month = thursday.astype("datetime64[M]").astype(np.int64) % 12
    return year.astype(np.int64) + 1970, (thursday - year).astype(np.int64) // 7, month


def split_of(weeks: Ints, plan: SplitPlan) -> NDArray[np.str_]:
    """The split each week belongs to; empty where it belongs to none."""
    year, week, month = week_date(weeks)
    if plan.by == "years":
        return np.array([plan.years.get(int(y), "") for y in year], dtype=np.str_)
    pattern = np.array(plan.pattern, dtype=np.str_)
    return pattern[month if plan.by == "months" else week % len(pattern)]


def choose_weeks(owned: Ints, year_id: int, count: int) -> Ints:
    """`[count]` for each week of a simulated year the week nearest in season among one year of those `owned`.

    Years of record with less than half as many weeks as the fullest one are left out.
    """
    year, week, _ = week_date(owned)
    years, often = np.unique(year, return_counts=True)
    years = years[2 * often >= often.max()]
    of_year = year == years[year_id % len(years)]
    apart = np.abs(week[of_year] - np.arange(count)[:, None]) % WEEKS_PER_YEAR
    return np.asarray(owned[of_year][np.minimum(apart, WEEKS_PER_YEAR - apart).argmin(axis=1)], dtype=np.int64)
