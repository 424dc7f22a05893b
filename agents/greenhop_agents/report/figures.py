"""A picture of one day: where the power came from, where the work ran, what moved, and what it cost.

Figures are drawn on an object of their own (no pyplot), so nothing global changes and no display is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from matplotlib.patheffects import withStroke

from greenhop.arrays import Array
from greenhop_agents.scoring.scoreboard import CNY_PER_MCNY, Line
from greenhop_agents.scoring.trace import Day

INK, FAINT, PAPER = "#22303c", "#8a97a3", "#ffffff"
SOURCES = {  # field of `Day` → (label, colour), from the bottom of the stack upwards
    "own": ("own green", "#2a9d78"),
    "ppa": ("contracted green", "#9ad7bd"),
    "storage": ("from storage", "#f4b942"),
    "grid": ("grid", "#8e9aaf"),
    "diesel": ("diesel", "#5c4742"),
}
SURPLUS = "#2a9d78"
HEAT = LinearSegmentedColormap.from_list("load", ["#f4f7f8", "#b9dcd6", "#4fa8a0", "#1d6f80", "#123c5a"])
GREEN = LinearSegmentedColormap.from_list("green", ["#8e9aaf", "#c9d6c4", "#2a9d78"])
HIGHLIGHT, MUTED, BEST = "#e4572e", "#b8c2cc", "#123c5a"
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
}


def draw_day(path: Path, agent: Day, best: Day, lines: Sequence[Line], places_deg: Array, heading: str) -> None:
    """Write the picture of a day: `agent` beside the clairvoyant `best`, and the mean costs of all policies.

    Args:
        places_deg: `[R, 2]` latitude and longitude of the hubs.
        heading: what the picture shows, on one line.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(13.5, 10.5), dpi=130, facecolor=PAPER)
        grid = figure.add_gridspec(
            3,
            2,
            height_ratios=(1.3, 1.0, 0.95),
            hspace=0.41,
            wspace=0.16,
            left=0.085,
            right=0.93,
            top=0.885,
            bottom=0.06,
        )
        figure.text(0.085, 0.957, heading, fontsize=16, fontweight="bold")
        figure.text(0.085, 0.930, _subtitle(agent, best), fontsize=10, color=FAINT)
        _map(figure.add_subplot(grid[0, 0]), agent, places_deg)
        _costs(figure.add_subplot(grid[0, 1]), lines, agent.policy)
        top = 1.08 * max(_height(agent), _height(best))
        for column, day in enumerate((agent, best)):
            _supply(figure.add_subplot(grid[1, column]), day, top, legend=column == 0)
            image = _work(figure.add_subplot(grid[2, column]), day, names=column == 0)
        bar = figure.colorbar(image, cax=figure.add_axes((0.945, 0.06, 0.010, 0.225)))
        bar.set_label("share of IT capacity at work")
        bar.outline.set_visible(False)
        figure.savefig(path)


def _subtitle(agent: Day, best: Day) -> str:
    return (
        f"On this day {agent.policy} paid {agent.cost_cny / CNY_PER_MCNY:.1f} million CNY; "
        f"with perfect foresight it would have been {best.cost_cny / CNY_PER_MCNY:.1f} million."
    )


def _name(region: str) -> str:
    return region.replace("_", " ").title()


def _height(day: Day) -> float:
    """GW at the highest point of the stack of sources and surplus."""
    total = sum(getattr(day, name).sum(1) for name in SOURCES) + day.surplus.sum(1)
    return float(np.max(total)) / day.dt_h / 1e3


def _map(ax: Axes, day: Day, places_deg: Array) -> None:
    """Hubs where they lie, their size and green share, and the work that crossed the links."""
    at = {name: (lon, lat) for name, (lat, lon) in zip(day.regions, places_deg, strict=True)}
    widest = max(float(day.moved.max(initial=0.0)), 1e-9)
    for (source, target), moved in zip(day.links, day.moved, strict=True):
        ax.plot(*zip(at[source], at[target], strict=True), color="#dfe5ea", lw=0.8, zorder=1)
        if moved > 0.02 * widest:
            ax.add_patch(flow_arrow(at[source], at[target], 0.6 + 4.0 * float(moved) / widest))
    spots = np.array([at[name] for name in day.regions])
    size = 60 + 900 * day.served.sum(0) / day.served.sum(0).max()
    ax.scatter(
        spots[:, 0], spots[:, 1], s=size, c=day.green_share, cmap=GREEN, vmin=0, vmax=1, ec=PAPER, lw=1.5, zorder=3
    )
    for i, (name, share) in enumerate(zip(day.regions, day.green_share, strict=True)):
        side, place = _label_place(spots, i, 4 + float(np.sqrt(size[i])) / 2)
        ax.annotate(
            f"{_name(name)}\n{100 * share:.0f} % green", spots[i], place, textcoords="offset points", ha=side,
            va="center", fontsize=7.5, linespacing=1.15, zorder=4,
            path_effects=[withStroke(linewidth=2.5, foreground=PAPER)],
        )  # fmt: skip
    ax.set(xticks=[], yticks=[], title=f"{day.policy}: work done (size) and work moved (arrows)")
    ax.margins(0.16, 0.13 if len(spots) > 3 else 0.3)  # room for labels, which few hubs have above and below all
    ax.spines[:].set_visible(False)


def flow_arrow(start: Sequence[float], end: Sequence[float], width: float) -> FancyArrowPatch:
    """A bent arrow between two hubs, `width` points thick, with a head that stands out from it."""
    style = f"simple,tail_width={width:.3f},head_width={1.3 * width + 5:.3f},head_length={1.2 * width + 6:.3f}"
    return FancyArrowPatch(
        (start[0], start[1]), (end[0], end[1]), connectionstyle="arc3,rad=0.15", arrowstyle=style, mutation_scale=1,
        shrinkA=10, shrinkB=12, lw=0, color=HIGHLIGHT, alpha=0.65, zorder=2,
    )  # fmt: skip


def _label_place(spots: Array, i: int, gap: float) -> tuple[str, tuple[float, float]]:
    """Alignment and offset in points that keep the label of hub `i` on the side away from its nearest neighbour."""
    away = spots[i] - spots
    distance = np.where(np.arange(len(spots)) == i, np.inf, np.hypot(*away.T))
    dx, dy = away[int(np.argmin(distance))] if len(spots) > 1 else (0.0, 1.0)
    if abs(dx) > abs(dy):
        return ("left", (gap, 0.0)) if dx > 0 else ("right", (-gap, 0.0))
    return "center", (0.0, np.sign(dy) * (gap + 7.0))


def _costs(ax: Axes, lines: Sequence[Line], agent: str) -> None:
    """Mean cost of every policy; the share of the achievable saving beside it."""
    names = [line.policy for line in lines]
    cost = [line.cost_cny / CNY_PER_MCNY for line in lines]
    colours = [HIGHLIGHT if name == agent else BEST if name == "bound" else MUTED for name in names]
    ax.barh(names, cost, color=colours, height=0.62)
    ax.invert_yaxis()
    for i, line in enumerate(lines):
        score = "" if line.score is None else f"    {line.score:.0f} % of the saving".replace("-", "−")
        ax.text(cost[i] + 0.01 * max(cost), i, f"{cost[i]:.2f}{score}", va="center", fontsize=9)
    ax.set_xlim(0, 1.34 * max(cost))
    ax.set(title="mean cost of a held-out day, million CNY, and captured saving", xticks=[])
    ax.tick_params(axis="y", length=0, labelsize=10)
    ax.spines[["bottom", "left"]].set_visible(False)


def _supply(ax: Axes, day: Day, top: float, legend: bool) -> None:
    """Power of all hubs by source, what the sites used, and green power that was exported or lost."""
    hours = np.arange(day.facility.shape[0] + 1) * day.dt_h
    power = {name: _gw(day, getattr(day, name)) for name in SOURCES}
    shown = [name for name in SOURCES if power[name].max() > 1e-3]
    stack = [power[name] for name in shown]
    ax.stackplot(hours, stack, labels=[SOURCES[n][0] for n in shown], colors=[SOURCES[n][1] for n in shown], lw=0)
    below = np.sum(stack, axis=0)
    surplus = _gw(day, day.surplus)
    ax.fill_between(
        hours, below, below + surplus, facecolor="none", edgecolor=SURPLUS, hatch="////", lw=0, alpha=0.55,
        label="green exported or lost",
    )  # fmt: skip
    ax.plot(hours, _gw(day, day.facility), color=INK, lw=1.8, label="used by the sites")
    ax.set(title=f"{day.policy}: power of all hubs, GW", xlim=(hours[0], hours[-1]), ylim=(0, top))
    _hours(ax, hours)
    price = ax.twinx()
    price.plot(hours, _closed(day.price.mean(1)), color=HIGHLIGHT, lw=1.3, ls=(0, (4, 2)))
    price.set_ylim(0, 1.25 * day.price.mean(1).max())
    price.spines[:].set_visible(False)
    price.tick_params(colors=HIGHLIGHT, length=0)
    if legend:
        ax.plot([], [], color=HIGHLIGHT, lw=1.3, ls=(0, (4, 2)), label="mean grid price, CNY/MWh")
        ax.legend(
            ncols=4, fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(-0.01, -0.08), columnspacing=1.4,
            handlelength=1.5,
        )  # fmt: skip


def _gw(day: Day, energy_mwh: Array) -> Array:
    """Power of all hubs; the last step is drawn to its end."""
    return _closed(energy_mwh.sum(1) / day.dt_h / 1e3)


def _closed(series: Array) -> Array:
    return np.append(series, series[-1])


def _work(ax: Axes, day: Day, names: bool) -> Any:
    """Work served per hub and hour as a share of its capacity, from north to south as the scenario lists them."""
    share = (day.served / day.capacity).T
    end = day.served.shape[0] * day.dt_h
    image = ax.imshow(
        share,
        aspect="auto",
        cmap=HEAT,
        vmin=0,
        vmax=1,
        extent=(0, end, len(day.regions) - 0.5, -0.5),
        interpolation="nearest",
    )
    ax.set_title(f"{day.policy}: where and when the work ran")
    ax.set_yticks(range(len(day.regions)), [_name(r) for r in day.regions] if names else [""] * len(day.regions))
    for i in range(1, len(day.regions)):
        ax.axhline(i - 0.5, color=PAPER, lw=1.5)
    _hours(ax, np.array([0.0, end]))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return image


def _hours(ax: Axes, hours: Array) -> None:
    ticks = np.arange(hours[0], hours[-1] + 1e-9, 6 if hours[-1] <= 48 else 24)
    ax.set_xticks(ticks, [f"{h:.0f} h" for h in ticks])
