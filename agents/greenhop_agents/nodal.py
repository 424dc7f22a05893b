"""Nodal prices of a clairvoyant optimum: what one more MWh costs where and when, saved or drawn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from greenhop.errors import ConfigError
from greenhop.lp.bound import bound
from greenhop.lp.solve import Options
from greenhop.simulator import Simulator
from greenhop_agents.bounds import episode_window
from greenhop_agents.figures import INK, STYLE

Array = NDArray[np.float64]
KINDS = (".npz", ".png", ".svg")
SHOWN = (0.02, 0.98)  # quantiles of the prices between which colours run: single scarce hours would wash out the rest


def check_prices_path(path: str | None) -> None:
    """Refuse a path that cannot be written before anything is solved."""
    if path is None:
        return
    if Path(path).suffix not in KINDS:
        raise ConfigError(f"prices = {path!r}: name a file that ends in {', '.join(KINDS)}")
    if not Path(path).resolve().parent.is_dir():
        raise ConfigError(f"prices = {path!r}: the folder {Path(path).resolve().parent} does not exist")


def save_prices(sim: Simulator, start: int, options: Options, path: str) -> None:
    """Solve the episode that begins at `start` and write its nodal prices: all as .npz, or of power as a figure."""
    duals = bound(*episode_window(sim, start), options).duals
    if Path(path).suffix == ".npz":
        named: Mapping[str, Any] = {**duals, "regions": np.array(sim.params.regions), "dt_h": np.array(sim.params.dt_h)}
        np.savez(path, **named)
        return
    with matplotlib.rc_context(STYLE):
        title = f"{sim.scenario.name}: what one more MWh at the meter would cost"
        draw_prices(duals["power"], sim.params.regions, sim.params.dt_h, title).savefig(path, dpi=150)


def draw_prices(price: Array, regions: tuple[str, ...], dt_h: float, title: str) -> Figure:
    """`price` `[T, R]` in CNY/MWh as one band of colour per region, sites in order of their mean price."""
    order = np.argsort(price.mean(axis=0))
    hours = len(price) * dt_h
    figure = Figure(figsize=(9.0, 1.4 + 0.34 * len(regions)), layout="constrained")
    axes = figure.subplots()
    low, high = np.quantile(price, SHOWN)
    image = axes.imshow(
        price[:, order].T, aspect="auto", interpolation="nearest", cmap="viridis", vmin=low, vmax=max(high, low + 1.0),
        extent=(0.0, hours, len(regions) - 0.5, -0.5),
    )  # fmt: skip
    axes.set_yticks(range(len(regions)), [f"{regions[r]}  {price[:, r].mean():.0f}" for r in order])
    axes.set_xticks(np.arange(0.0, hours + 1.0, 24.0 if hours > 48 else 6.0))
    axes.set_ylabel("site and its mean price")
    axes.set_xlabel("hours from the start of the episode")
    axes.grid(False)
    axes.set_title(title, loc="left", color=INK)
    figure.colorbar(image, ax=axes, label="CNY/MWh", extend="both", pad=0.01)
    return figure
