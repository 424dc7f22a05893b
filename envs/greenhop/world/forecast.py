"""What agents and MPC are told about the future.

| mode | forecast of a row h hours ahead |
|---|---|
| `noisy` | the truth plus an error that grows with the lead and is revised consistently, see `forecast_error.py` |
| `perfect` | the truth |
| `persistence` | the value of the same hour on the latest day already seen (in the first day of a year: the present) |
| `none` | climatology: mean of the month, hour and weekday or weekend over the first training years |

The present is always exact. Administrative, negotiated and direct prices are known schedules and never err. Outages
come as a surprise: availabilities are forecast to stay as they are now. Errors live on whole hours of lead, so with
quarter-hour rows the rest of the current clock hour is known. Ints past the end of the year's pad repeat its last row.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from greenhop.arrays import Array, Ints
from greenhop.scenario.config import ScenarioConfig
from greenhop.scenario.sites import feed_in
from greenhop.world.calendar import Calendar
from greenhop.world.energy import energy_mwh, inflow_mwh, ppa_mwh, site_pue
from greenhop.world.export import export_price
from greenhop.world.forecast_bounds import spread, typical_spread, widen, widened
from greenhop.world.forecast_error import error_cube, error_sd
from greenhop.world.places import places_of
from greenhop.world.streams import DEFAULT_WORLD, StreamKey
from greenhop.world.year import WorldYear, generate_year

CLIMATOLOGY_YEARS = 3  # training years averaged for mode `none`
CELLS = 12 * 24 * 2  # month × hour × weekday or weekend


P = ParamSpec("P")
T = TypeVar("T")


def once_for_each(make: Callable[Concatenate[Forecast, P], T]) -> Callable[Concatenate[Forecast, P], T]:
    """A method of names whose results the forecast keeps.

    `functools.cache` of a bound method would refer back to the forecast, so that every year of the world waits for the
    garbage collector, which is in no hurry, and a bank of many years holds them all.
    """

    @wraps(make)
    def kept(self: Forecast, *names: P.args, **none: P.kwargs) -> T:
        key = (make.__name__, *names)
        if key not in self._made:
            self._made[key] = make(self, *names, **none)
        return cast(T, self._made[key])

    return cast("Callable[Concatenate[Forecast, P], T]", kept)


class Forecast:
    """Forecasts of one world year. Everything is a function of (row of issue, row that is forecast)."""

    def __init__(self, scenario: ScenarioConfig, year: WorldYear, max_lead_h: int | None = None) -> None:
        """`max_lead_h` bounds the leads that may be asked for; default: the scenario's horizon, at least 24 h."""
        self.scenario = scenario
        self.year = year
        self.max_lead_h = max(24, scenario.forecast.horizon_h) if max_lead_h is None else max_lead_h
        self._truth = truth(year)
        self._sites = list(scenario.sites.values())
        self._capacity = {name: [getattr(s, f"{name}_mw") for s in self._sites] for name in ("wind", "pv", "hydro")}
        self._spot = year.prices.market
        self._made: dict[tuple[object, ...], Any] = {}

    def at(self, row: int, horizon: int) -> dict[str, Array]:
        """The forecast issued in `row` for `row … row + horizon`: arrays `[horizon + 1, ...]`, index 0 the present.

        Keys: `green_mwh, ppa_mwh, pue_full, grid_price_cny_per_mwh, export_price_cny_per_mwh, carbon_kg_per_mwh,
        temperature_c, site_availability, grid_availability` `[·, R]`, `online_mwh` `[·, R, Z]`, `arrivals_mwh`
        `[·, R, K]`, `link_availability` `[·, L]`, `inflow_mwh` `[·, U]`.
        """
        target = self._inside(row + np.arange(horizon + 1))
        issue = np.full_like(target, row)
        year, price = self.year, self._price(issue, target)
        temperature = self._value("temperature", issue, target)
        return {
            "green_mwh": self._green(issue, target),
            "ppa_mwh": ppa_mwh(
                self._value("wind", issue, target), self._value("base_solar", issue, target), self._sites, year.cal.dt_h
            ),
            "pue_full": site_pue(year.places, self._sites, temperature),
            "grid_price_cny_per_mwh": price,
            "export_price_cny_per_mwh": export_price(price, feed_in(self.scenario)),
            "carbon_kg_per_mwh": self._value("carbon", issue, target),
            "temperature_c": temperature,
            "site_availability": year.site_availability[issue],
            "grid_availability": year.grid_availability[issue],
            "online_mwh": self._work(list(self.scenario.online), "online", issue, target),
            "arrivals_mwh": self._work(list(self.scenario.deferrable), "deferrable", issue, target),
            "link_availability": year.link_availability[issue],
            "inflow_mwh": inflow_mwh(self._value("beam", issue, target), self.scenario),
        }

    def table(self, leads: tuple[int, ...]) -> dict[str, Array]:
        """`[N, len(leads), R]` for every row at leads given in rows: green, grid price and all arriving work."""
        issue = np.repeat(np.arange(self.year.cal.rows)[:, None], len(leads), axis=1)
        target = self._inside(issue + np.array(leads))
        online = self._work(list(self.scenario.online), "online", issue, target)
        deferrable = self._work(list(self.scenario.deferrable), "deferrable", issue, target)
        return {
            "green_mwh": self._green(issue, target),
            "grid_price_cny_per_mwh": self._price(issue, target),
            "arrivals_mwh": total_work(online, deferrable),
        }

    def _inside(self, rows: Ints) -> Ints:
        return np.minimum(rows, self.year.cal.rows - 1)

    def _green(self, issue: Ints, target: Ints) -> Array:
        """Wind, sun and water of own plants, added in the order of `WorldYear.green_mwh`."""
        dt_h = self.year.cal.dt_h
        wind, sun, water = (
            energy_mwh(self._value(share, issue, target), self._capacity[plant], dt_h)
            for share, plant in (("wind", "wind"), ("solar", "pv"), ("hydro", "hydro"))
        )
        return wind + sun + water

    def _price(self, issue: Ints, target: Ints) -> Array:
        """Spot prices are forecast, within their floor and cap; all others are known."""
        if not self._spot.any():
            return self._truth["price"][target]
        prices = self.year.prices
        guess = np.clip(self._value("price", issue, target), prices.floor, prices.cap)
        return np.where(self._spot, guess, self._truth["price"][target])

    def _work(self, names: list[str], kind: str, issue: Ints, target: Ints) -> Array:
        """`[..., R, len(names)]`."""
        shape = (*issue.shape, len(self._sites), len(names))
        out = np.empty(shape)
        for k in range(len(names)):
            out[..., k] = np.maximum(0.0, self._value(f"{kind}-{k}", issue, target))
        return out

    def _value(self, name: str, issue: Ints, target: Ints) -> Array:
        """`[..., R]` forecast of one quantity in the scenario's mode."""
        actual = self._truth[name][target]
        match self.scenario.forecast.mode:
            case "perfect":
                return actual
            case "persistence":
                return self._truth[name][seen_before(issue, target, 24 * self.year.cal.per_hour)]
            case "none":
                mean = climatology(self.scenario.model_dump_json())[name][cell(self.year.cal)[target]]
                return np.where((issue == target)[..., None], actual, mean)
            case "noisy":
                return self._noisy(name, actual, issue, target)

    def _noisy(self, name: str, actual: Array, issue: Ints, target: Ints) -> Array:
        per_hour = self.year.cal.per_hour
        hour = target // per_hour
        lead = hour - issue // per_hour
        if lead.max() > self.max_lead_h:
            raise ValueError(f"lead of {lead.max()} h is beyond max_lead_h = {self.max_lead_h} of this forecast")
        guess: Array = actual + self._error(name)[lead, hour] * self._weight(name)[target]
        return np.clip(guess, 0.0, self._ceiling(name)[target]) if name in CEILINGS else guess

    @once_for_each
    def _error(self, name: str) -> NDArray[np.float32]:
        """`[max_lead_h + 1, hours, R]` errors in the unit of `_weight`; those of shares allow for clipping."""
        scale, (size, variable) = self.scenario.forecast.error_scale, error_of(name)
        raw = self._raw_error(size, variable)
        if name not in CEILINGS:
            return np.float32(scale) * raw
        sd = error_sd(size, self.max_lead_h)
        return widened(raw, sd, widen(self._truth[name], self._ceiling(name), scale * sd))

    @once_for_each
    def _raw_error(self, size: str, variable: str) -> NDArray[np.float32]:
        s, year = self.scenario, self.year
        key = StreamKey(s.seed, DEFAULT_WORLD, year.split, year.year_id)
        return error_cube(key, size, variable, *places_of(s), year.cal.hours, self.max_lead_h)

    @once_for_each
    def _weight(self, name: str) -> Array:
        """`[N, R]` what an error of one means in the quantity's unit at each row; root mean square = the table's unit.

        Shares err most halfway to their ceiling and little near either end, see `forecast_bounds.py`; work errs in
        proportion; prices and carbon by a share of their mean; temperature in K.
        """
        actual = self._truth[name]
        if name in CEILINGS:
            top = self._ceiling(name)
            return np.asarray(spread(actual, top) / np.maximum(typical_spread(actual, top), 1e-9), dtype=np.float64)
        if name == "temperature":
            return np.ones_like(actual)
        mean = actual.mean(axis=0)
        if name in ("price", "carbon"):
            return np.asarray(np.zeros_like(actual) + np.abs(mean), dtype=np.float64)
        rms = np.sqrt((actual**2).mean(axis=0))
        return np.asarray(actual * (mean / np.maximum(rms, 1e-12)), dtype=np.float64)

    @once_for_each
    def _ceiling(self, name: str) -> Array:
        """`[N, R]` the most a share can be."""
        weather = self.year.weather
        known = {"solar": weather.clear, "base_solar": weather.clear, "beam": weather.clear_beam}
        return np.maximum(known[name], self._truth[name]) if name in known else np.ones_like(weather.wind)


CEILINGS = ("wind", "solar", "base_solar", "hydro", "beam")


def error_of(name: str) -> tuple[str, str]:
    """Row of the error table and name of the error process; everything under the same clouds shares one process."""
    if name in ("solar", "base_solar", "beam"):
        return "solar", "solar"
    if name == "temperature":
        return "temperature_k", name
    kind = name.partition("-")[0]
    if kind in ("online", "deferrable"):
        return kind, name
    return name, name


def truth(year: WorldYear) -> dict[str, Array]:
    """`[N, R]` what happens, by the names forecasts use."""
    weather = year.weather
    out = {name: getattr(weather, name) for name in CEILINGS}
    out |= {"temperature": year.temperature_c, "price": year.grid_price_cny_per_mwh, "carbon": year.carbon_kg_per_mwh}
    for kind, work in (("online", year.online_mwh), ("deferrable", year.arrivals_mwh)):
        out |= {f"{kind}-{k}": np.ascontiguousarray(work[..., k]) for k in range(work.shape[-1])}
    return out


def total_work(online_mwh: Array, arrivals_mwh: Array) -> Array:
    """`[..., R]` all work that arrives, summed class by class."""
    total = np.zeros(online_mwh.shape[:-1])
    for work in (online_mwh, arrivals_mwh):
        for k in range(work.shape[-1]):
            total = total + work[..., k]
    return total


def seen_before(issue: Ints, target: Ints, rows_per_day: int) -> Ints:
    """Latest row at the time of day of `target` that is known at `issue`; the present where that is before the year."""
    days = -(-(target - issue) // rows_per_day)
    row = target - days * rows_per_day
    return np.where(row >= 0, row, issue)


def cell(cal: Calendar) -> Ints:
    """`[N]` cell of the climatology a row belongs to."""
    out: Ints = (cal.month * 24 + cal.hour) * 2 + (cal.weekday >= 5)
    return out


@lru_cache(maxsize=8)
def climatology(scenario_json: str) -> dict[str, Array]:
    """`[CELLS, R]` mean of every quantity by month, hour and kind of day over a scenario's first training years."""
    scenario = ScenarioConfig.model_validate_json(scenario_json)
    sums: dict[str, Array] = {}
    counts = np.zeros(CELLS)
    for year_id in range(min(CLIMATOLOGY_YEARS, scenario.years.train)):
        year = generate_year(scenario, "train", year_id)
        where = cell(year.cal)
        counts += np.bincount(where, minlength=CELLS)
        for name, values in truth(year).items():
            columns = [np.bincount(where, x, minlength=CELLS).astype(np.float64) for x in values.T]
            total = np.stack(columns, axis=1)
            sums[name] = sums[name] + total if name in sums else total
    often = np.maximum(counts, 1.0)[:, None]
    return {name: np.asarray(total / often, dtype=np.float64) for name, total in sums.items()}
