"""Pictures of a generated world: the year at every hub, duration curves, wind across distance, forecasts across leads.

Figures are drawn on an object of their own (no pyplot), so nothing global changes and no display is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from greenhop.arrays import Array
from greenhop.scenario.config import ScenarioConfig
from greenhop.scenario.geo import great_circle_km
from greenhop.scenario.sites import it_capacity_mw, locations_deg
from greenhop.scenario.tables import load_table
from greenhop.world.calendar import DAYS_PER_MONTH
from greenhop.world.forecast import Forecast
from greenhop.world.year import WorldYear, generate_year

INK, FAINT = "#22303c", "#8a97a3"
SUPPLY = {"wind": "#2a9d8f", "sun": "#f4b942", "water": "#4f86c6", "contracted green": "#bcd9cd"}
HUBS = ("#1d6f80", "#e4572e", "#f08a4b", "#c2185b", "#7b5ea7", "#b08bd0", "#2a9d8f", "#6d8b2f", "#c9a227", "#5b6c7d")
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e8ec",
    "grid.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}
MONTHS = "JFMAMJJASOND"
WEEKS = 52
YEARS = 10  # over which correlations and errors are averaged where a year says too little


@contextmanager
def drawing(path: Path, size: tuple[float, float], title: str, subtitle: str) -> Iterator[Figure]:
    """A figure with a heading, written to `path` at the end."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, dpi=110, facecolor="white", layout="constrained")
        figure.get_layout_engine().set(w_pad=0.1, rect=(0.0, 0.0, 1.0, 1.0 - 0.62 / size[1]))  # type: ignore[union-attr, call-arg]
        yield figure
        figure.text(0.012, 1.0 - 0.24 / size[1], title, fontsize=13, fontweight="bold", va="center")
        figure.text(0.012, 1.0 - 0.47 / size[1], subtitle, fontsize=9, color=FAINT, va="center")
        figure.savefig(path, pil_kwargs={"optimize": True})


def hub_name(site: str) -> str:
    """`yangtze_demo` → `Yangtze Demo`."""
    return site.replace("_", " ").title()


def draw_all(scenario: ScenarioConfig, spot: ScenarioConfig, folder: Path) -> list[Path]:
    """All figures of `scenario`; `spot` is the same network at spot prices, for the error of price forecasts."""
    year = generate_year(scenario, "test", 0)
    paths = [
        folder / f"{name}.png" for name in ("year_profile", "duration_curves", "wind_correlation", "forecast_error")
    ]
    draw_year_profile(paths[0], scenario, year)
    draw_duration_curves(paths[1], scenario, year)
    draw_wind_correlation(paths[2], scenario)
    draw_forecast_error(paths[3], scenario, spot)
    return paths


def draw_year_profile(path: Path, scenario: ScenarioConfig, year: WorldYear) -> None:
    """Weekly means of green supply beside the work that arrives, hub by hub."""
    sites = list(scenario.sites)
    rows = -(-len(sites) // 2)
    heading = f"A year at the hubs of {scenario.name}"
    note = "Weekly means of available green power and of arriving work in test year 0, each hub on its own scale."
    with drawing(path, (9.5, 1.55 * rows + 1.0), heading, note) as figure:
        axes = figure.subplots(rows, 2, squeeze=False).T.ravel()
        for r, (site, ax) in enumerate(zip(sites, axes, strict=False)):
            _profile(ax, year, r, hub_name(site))
        for ax in axes[len(sites) :]:
            ax.set_visible(False)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles[::-1], labels[::-1], loc="outside lower center", ncols=5)


def _profile(ax: Axes, year: WorldYear, r: int, title: str) -> None:
    dt_h, x = year.cal.dt_h, 7 * np.arange(WEEKS) + 3.5
    stack = [_weekly(a[:, r], dt_h) for a in (year.wind_mwh, year.pv_mwh, year.hydro_mwh, year.ppa_mwh)]
    ax.stackplot(x, stack, colors=list(SUPPLY.values()), labels=list(SUPPLY), linewidth=0)
    work = _weekly(year.online_mwh[:, r].sum(-1) + year.arrivals_mwh[:, r].sum(-1), dt_h)
    ax.plot(x, work, color=INK, linewidth=1.4, label="arriving work")
    ax.set_title(title)
    ax.set_ylabel("MW")
    ax.set_xlim(0, 364)
    ax.set_ylim(0, None)
    ends = np.cumsum((0, *DAYS_PER_MONTH))
    ax.set_xticks((ends[:-1] + ends[1:]) / 2, MONTHS)
    ax.tick_params(axis="x", length=0)
    ax.grid(axis="x", visible=False)


def _weekly(energy_mwh: Array, dt_h: float) -> Array:
    """`[52]` mean MW."""
    per_week = round(168 / dt_h)
    return np.asarray(energy_mwh[: WEEKS * per_week].reshape(WEEKS, per_week).mean(axis=1) / dt_h, dtype=np.float64)


def draw_duration_curves(path: Path, scenario: ScenarioConfig, year: WorldYear) -> None:
    """Hours of the year, sorted: wind, sun, what own green power leaves to buy, and the price of energy."""
    dt_h = scenario.dt_h
    it = it_capacity_mw(scenario)
    work = year.online_mwh.sum(-1) + year.arrivals_mwh.sum(-1)
    panels: dict[str, tuple[Array, str]] = {
        "Wind": (100 * year.weather.wind, "% of wind capacity"),
        "Sun": (100 * year.weather.solar, "% of panel capacity"),
        "Arriving work less own green power": (100 * (work - year.green_mwh) / dt_h / it, "% of IT capacity"),
        "Price of grid energy, without wires and fees": (year.grid_price_cny_per_mwh, "CNY/MWh"),
    }
    note = "Every hour of test year 0 in falling order, one line per hub."
    with drawing(path, (9.5, 7.4), f"Duration curves of {scenario.name}", note) as figure:
        axes = figure.subplots(2, 2).ravel()
        for ax, (title, (series, unit)) in zip(axes, panels.items(), strict=True):
            _duration(ax, series, list(scenario.sites))
            ax.set_title(title)
            ax.set_ylabel(unit)
        axes[2].axhline(0.0, color=INK, linewidth=0.8)
        for ax in axes[2:]:
            ax.set_xlabel("share of the year")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)


def _duration(ax: Axes, series: Array, sites: list[str]) -> None:
    falling = -np.sort(-series, axis=0)
    x = 100 * (np.arange(len(falling)) + 0.5) / len(falling)
    thin = slice(None, None, max(1, len(x) // 1000))
    for r, site in enumerate(sites):
        ax.plot(x[thin], falling[thin, r], color=HUBS[r % len(HUBS)], linewidth=1.3, label=hub_name(site))
    ax.set_xlim(0, 100)
    ax.xaxis.set_major_formatter(PercentFormatter())


def draw_wind_correlation(path: Path, scenario: ScenarioConfig) -> None:
    """Correlation of hourly wind at every pair of hubs: against distance beside the model's kernel, and on the map."""
    years = [generate_year(scenario, "train", i).weather.wind for i in range(min(YEARS, scenario.years.train))]
    found = np.array([np.corrcoef(w.T) for w in years])
    places = locations_deg(scenario)
    a, b = np.triu_indices(len(places), 1)
    km = great_circle_km(places[a], places[b])
    pairs = found[:, a, b]
    decay_km = load_table("stochastic")["wind"]["decay_km"]
    x = np.linspace(0, 1.05 * km.max(), 200)
    note = f"Hourly output of the {len(km)} pairs of hubs: mean and range over {len(years)} training years."
    with drawing(path, (10.6, 4.6), "Wind at two hubs agrees less the farther they are apart", note) as figure:
        ax, mapped = figure.subplots(1, 2, width_ratios=(1.35, 1.0))
        ax.axhline(0.0, color=FAINT, linewidth=0.8)
        ax.vlines(km, pairs.min(axis=0), pairs.max(axis=0), color="#9ad0c8", linewidth=1.6)
        ax.plot(km, pairs.mean(axis=0), "o", color=SUPPLY["wind"], markersize=4.5, label="generated")
        ax.plot(x, np.exp(-x / decay_km), color=INK, linewidth=1.3, label=f"exp(−distance / {decay_km:g} km)")
        ax.set_xlabel("distance, km")
        ax.set_ylabel("correlation")
        ax.set_xlim(0, x[-1])
        ax.legend(loc="upper right")
        _correlation_map(mapped, [hub_name(s) for s in scenario.sites], places, found.mean(axis=0))


def _correlation_map(ax: Axes, names: list[str], places_deg: Array, correlation: Array) -> None:
    """Hubs where they lie, joined the more heavily the more their wind agrees."""
    for a, b in zip(*np.triu_indices(len(names), 1), strict=True):
        strength = float(max(correlation[a, b], 0.0))
        ax.plot(*places_deg[[a, b], ::-1].T, color=SUPPLY["wind"], linewidth=8 * strength, alpha=min(1.0, 2 * strength))
    ax.plot(places_deg[:, 1], places_deg[:, 0], "o", color=INK, markersize=4)
    for name, (lat, lon) in zip(names, places_deg, strict=True):
        ax.annotate(name, (lon, lat), (4, 4), textcoords="offset points", fontsize=8)
    ax.set_title("Width of a line: correlation")
    ax.set_xlabel("longitude, °E")
    ax.set_ylabel("latitude, °N")
    ax.set_aspect(1.0 / np.cos(np.deg2rad(places_deg[:, 0].mean())))
    ax.margins(0.22, 0.1)


def draw_forecast_error(path: Path, scenario: ScenarioConfig, spot: ScenarioConfig) -> None:
    """Root-mean-square error of forecasts by lead, beside the table and persistence."""
    leads = np.arange(1.0, 25.0)
    panels: dict[str, tuple[str, str, Callable[[ScenarioConfig], Array], ScenarioConfig]] = {
        "Wind": ("wind", "% of capacity", lambda s: _green_error(s, leads, 0.0), _only(scenario, "wind_mw")),
        "Sun, daylight": ("solar", "% of capacity", lambda s: _green_error(s, leads, 0.02), _only(scenario, "pv_mw")),
        "Arriving work": ("", "% of mean", lambda s: _relative_error(s, leads, "arrivals_mwh"), scenario),
        "Spot price": ("price", "% of mean", lambda s: _relative_error(s, leads, "grid_price_cny_per_mwh"), spot),
    }
    note = "Root-mean-square error over the hours of test year 0, mean of the hubs."
    with drawing(path, (9.5, 6.2), "What agents and controllers are told about the future", note) as figure:
        axes = figure.subplots(2, 2, sharex=True).ravel()
        for ax, (title, (row, unit, error, chosen)) in zip(axes, panels.items(), strict=True):
            _errors(ax, leads, error, chosen, row)
            ax.set_title(title)
            ax.set_ylabel(unit)
            ax.set_ylim(0, None)
        for ax in axes[2:]:
            ax.set_xlabel("lead, hours")
        axes[0].set_xlim(0, 24.5)
        axes[0].set_xticks((1, 4, 8, 12, 16, 20, 24))
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)


def _errors(
    ax: Axes, leads: Array, error: Callable[[ScenarioConfig], Array], scenario: ScenarioConfig, row: str
) -> None:
    ax.plot(leads, 100 * error(_told(scenario, "persistence")), color="#c9a227", linewidth=1.3, label="persistence")
    ax.plot(leads, 100 * error(_told(scenario, "noisy")), color="#1d6f80", linewidth=2.0, label="forecast (noisy)")
    table = load_table("forecast_error")
    if row:
        inside = [(h, e) for h, e in zip(table["lead_h"], table[row], strict=True) if h <= leads[-1]]
        ax.plot(
            *zip(*[(h, 100 * e) for h, e in inside], strict=True), "o", color="#e4572e", markersize=5, label="table"
        )


def _told(scenario: ScenarioConfig, mode: str) -> ScenarioConfig:
    return scenario.model_copy(update={"forecast": scenario.forecast.model_copy(update={"mode": mode})})


def _only(scenario: ScenarioConfig, plant: str) -> ScenarioConfig:
    """The same network with 1 MW of one kind of plant at every site and none of the others."""
    none = {"wind_mw": 0.0, "pv_mw": 0.0, "hydro_mw": 0.0} | {plant: 1.0}
    return scenario.model_copy(update={"sites": {n: s.model_copy(update=none) for n, s in scenario.sites.items()}})


def _pairs(scenario: ScenarioConfig, leads: Array, name: str) -> tuple[WorldYear, Array, Array]:
    """The year, what was told `[N, leads, R]` and what came."""
    year = generate_year(scenario, "test", 0)
    told = Forecast(scenario, year).table(tuple(int(h / scenario.dt_h) for h in leads))[name]
    came = year.online_mwh.sum(-1) + year.arrivals_mwh.sum(-1) if name == "arrivals_mwh" else getattr(year, name)
    n = len(came) - round(leads[-1] / scenario.dt_h)
    target = np.arange(n)[:, None] + np.round(leads / scenario.dt_h).astype(np.int64)
    return year, told[:n], came[target]


def _green_error(scenario: ScenarioConfig, leads: Array, least: float) -> Array:
    """`[leads]` as a share of capacity, over hours in which the plant could give more than `least` of it."""
    year, told, came = _pairs(scenario, leads, "green_mwh")
    n = len(told)
    target = np.arange(n)[:, None] + np.round(leads / scenario.dt_h).astype(np.int64)
    counts = (year.weather.clear > least)[target] if least else np.ones_like(came, dtype=bool)
    square = np.where(counts, (told - came) ** 2, 0.0).sum(axis=0) / counts.sum(axis=0)
    return np.asarray(np.sqrt(square).mean(axis=-1) / scenario.dt_h, dtype=np.float64)


def _relative_error(scenario: ScenarioConfig, leads: Array, name: str) -> Array:
    """`[leads]` as a share of each site's mean."""
    _, told, came = _pairs(scenario, leads, name)
    return np.asarray((np.sqrt(((told - came) ** 2).mean(axis=0)) / came.mean(axis=(0, 1))).mean(axis=-1))
