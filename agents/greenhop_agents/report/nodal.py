"""Nodal prices of a clairvoyant optimum: what one more MWh costs where and when, saved or drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from greenhop.arrays import Array
from greenhop.episode.simulator import Simulator
from greenhop.errors import ConfigError
from greenhop.files import new_file
from greenhop.lp.bound import bound
from greenhop.lp.solve import Options
from greenhop.physics.params import Params
from greenhop_agents.report.figures import INK, STYLE
from greenhop_agents.scoring.bounds import episode_window

KINDS = (".npz", ".png", ".svg")
SHOWN = (0.02, 0.98)  # quantiles of the prices between which colours run: single scarce hours would wash out the rest
LEAST_RENT, MOST_LINKS = 1e-3, 10  # CNY/GB at which a link counts as full; links that are drawn


def check_prices_path(path: str | None) -> None:
    """Refuse a path that cannot be written before anything is solved."""
    if path is None:
        return
    if Path(path).suffix not in KINDS:
        raise ConfigError(f"prices = {path!r}: name a file that ends in {', '.join(KINDS)}")
    if not Path(path).resolve().parent.is_dir():
        raise ConfigError(f"prices = {path!r}: the folder {Path(path).resolve().parent} does not exist")


def save_prices(sim: Simulator, start: int, options: Options, path: str) -> None:
    """Solve the episode that begins at `start` and write its nodal prices: all as .npz, or a figure."""
    duals = bound(*episode_window(sim, start), options).duals
    if Path(path).suffix == ".npz":
        named: Mapping[str, Any] = {**duals, "regions": np.array(sim.params.regions), "dt_h": np.array(sim.params.dt_h)}
        with new_file(Path(path)) as file:
            np.savez(file, **named)
        return
    with matplotlib.rc_context(STYLE):
        draw_prices(panels(duals, sim.params), sim.params.dt_h, sim.scenario.name).savefig(path, dpi=150)


class Panel(NamedTuple):
    """One kind of price over time."""

    title: str
    unit: str
    price: Array  # [T, n]
    names: Sequence[str]  # [n]


def panels(duals: Mapping[str, Array], params: Params) -> list[Panel]:
    """Prices of power, work, pools and links; pools and cohorts of a site as their mean, links that ever fill up."""
    work, rent = duals["work"], np.maximum(-duals["links"], 0.0)
    waiting = work.sum(axis=(2, 3)) / np.maximum((work != 0).sum(axis=(2, 3)), 1)
    full = np.flatnonzero(rent.max(axis=0, initial=0.0) > LEAST_RENT)
    full = full[np.argsort(-rent[:, full].mean(axis=0))][:MOST_LINKS]
    found = [
        Panel("what one more MWh at the meter would cost", "CNY/MWh", duals["power"], params.regions),
        Panel("what one more MWh of waiting work would cost", "CNY/MWh", waiting, params.regions),
        Panel(
            "what one more MWh of room in the pools would save", "CNY/MWh", duals["capacity"].mean(2), params.regions
        ),
        Panel(
            "what one more GB on a link would save",
            "CNY/GB",
            rent[:, full],
            [" → ".join(params.links[i]) for i in full],
        ),
    ]
    return [panel for panel in found if len(panel.names)]


def draw_prices(shown: Sequence[Panel], dt_h: float, scenario: str) -> Figure:
    """Every panel as one band of colour per site or link, in order of their mean price."""
    heights = [1.2 + 0.34 * len(panel.names) for panel in shown]
    figure = Figure(figsize=(9.0, sum(heights) + 0.3), layout="constrained")
    rows = figure.subplots(len(shown), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, panel in zip(rows, shown, strict=True):
        _draw(figure, axes, panel, dt_h)
    rows[0].set_title(f"{scenario}: {shown[0].title}", loc="left", color=INK)
    rows[-1].set_xlabel("hours from the start of the episode")
    return figure


def _draw(figure: Figure, axes: Axes, panel: Panel, dt_h: float) -> None:
    mean = panel.price.mean(axis=0)
    order, hours = np.argsort(mean), len(panel.price) * dt_h
    low, high = np.quantile(panel.price, SHOWN)
    if panel.unit == "CNY/GB":  # rare: quantiles would see none
        low, high, least, shown = 0.0, float(panel.price.max()), 0.0, "{:.1g}"
    else:
        least, shown = 1.0, "{:.0f}"
    image = axes.imshow(
        panel.price[:, order].T, aspect="auto", interpolation="nearest", cmap="viridis", vmin=low,
        vmax=max(high, low + least), extent=(0.0, hours, len(order) - 0.5, -0.5),
    )  # fmt: skip
    axes.set_yticks(range(len(order)), [f"{panel.names[n]}  {shown.format(mean[n])}" for n in order])
    axes.set_xticks(np.arange(0.0, hours + 1.0, 24.0 if hours > 48 else 6.0))
    axes.grid(False)
    axes.set_title(panel.title, loc="left", color=INK)
    figure.colorbar(image, ax=axes, label=panel.unit, extend="both", pad=0.01)
