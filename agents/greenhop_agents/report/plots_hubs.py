"""Figures of one episode: a week hub by hub, and the work that moved between hubs on their map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from greenhop.arrays import Array
from greenhop.gym.render import label_sides
from greenhop.scenario.config import ScenarioConfig, parse_scenario
from greenhop.scenario.sites import it_capacity_mw, locations_deg
from greenhop_agents.benchmark.results import Results
from greenhop_agents.report.figures import HIGHLIGHT, INK, PAPER, SOURCES, flow_arrow
from greenhop_agents.report.plots import single

SUPPLY = {"used_green_mw": "own", "ppa_mw": "ppa", "discharge_mw": "storage", "grid_mw": "grid", "diesel_mw": "diesel"}
LEAST_ARROW = 0.015  # of the widest: what moved less gets no arrow
LEAST_MW = 0.01  # a source that never gave more at any hub is left out


def week(results: Results, policy: str) -> Figure | None:
    """Power, price, waiting work and state of charge of every hub over the first held-out episode."""
    series = results.weeks.get(policy)
    if series is None:
        return None
    scenario = parse_scenario(results.setting)
    hubs = list(scenario.sites)
    hours = np.asarray(np.arange(len(series["t"]) + 1) * scenario.dt_h, dtype=np.float64)
    used = [name for name in SUPPLY if np.nanmax(np.array(series[name], dtype=np.float64)) > LEAST_MW]
    columns = min(2, len(hubs))
    rows = -(-len(hubs) // columns)
    figure = Figure(figsize=(6.8 * columns, 0.8 + 2.55 * rows), dpi=110, facecolor=PAPER)
    outer = figure.add_gridspec(
        rows, columns, left=0.065 if columns > 1 else 0.11, right=0.955, wspace=0.22, hspace=0.30,
        top=1 - 0.62 / (0.8 + 2.55 * rows), bottom=0.38 / (0.8 + 2.55 * rows),
    )  # fmt: skip
    for i, hub in enumerate(hubs):
        inner = outer[i // columns, i % columns].subgridspec(3, 1, height_ratios=(2.2, 0.9, 0.9), hspace=0.12)
        axes = [figure.add_subplot(inner[k]) for k in range(3)]
        _hub_week(axes, series, i, hours, used)
        axes[0].set_title(hub.replace("_", " ").title(), fontsize=10)
        if i // columns == rows - 1 or i + columns >= len(hubs):
            axes[2].set_xlabel("hours", labelpad=1)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=9, loc="upper center", frameon=False, fontsize=8.5, columnspacing=1.2)
    return figure


def _hub_week(axes: Sequence[Axes], series: dict[str, Any], r: int, hours: Array, used: Sequence[str]) -> None:
    """Power, price and what waits of one hub; the last step is drawn to its end."""

    def of(name: str) -> Array:
        values = [np.nan if step[r] is None else step[r] for step in series[name]]
        return np.array([*values, values[-1]])

    power, price, store = axes
    stack = [of(name) for name in used]
    labels, colours = zip(*(SOURCES[SUPPLY[name]] for name in used), strict=True)
    power.stackplot(hours, stack, labels=labels, colors=colours, lw=0, step="post")
    power.plot(
        hours,
        of("green_mw"),
        color=SOURCES["own"][1],
        lw=0.9,
        ls=(0, (2, 1)),
        drawstyle="steps-post",
        label="green available",
    )
    power.plot(hours, of("facility_mw"), color=INK, lw=1.1, drawstyle="steps-post", label="used by the site")
    power.set_ylabel("MW")
    price.plot(hours, of("price_cny_per_mwh"), color=HIGHLIGHT, lw=1.1, drawstyle="steps-post", label="price")
    price.set_ylabel("CNY/\nMWh", fontsize=7.5)
    store.fill_between(hours, of("backlog_mwh"), color="#b9b2e8", lw=0)
    store.set_ylabel("waiting\nMWh", fontsize=7.5)
    soc = store.twinx()
    soc.plot(hours, 100 * of("soc_share"), color="#c98a00", lw=1.1)
    soc.set(ylim=(0, 105), yticks=[0, 100])
    soc.set_ylabel("soc %", fontsize=7.5, color="#c98a00", labelpad=-6)
    soc.tick_params(labelsize=7, colors="#c98a00", length=2)
    for ax in axes:
        ax.set_xlim(hours[0], hours[-1])
        ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
        ax.set_xticks(np.arange(0, hours[-1] + 1, 24 if hours[-1] > 48 else 6))
        ax.tick_params(labelsize=7, length=2, labelbottom=ax is store)
        ax.grid(axis="x", color="#e7ebef", lw=0.6)


def flows(results: Results, policy: str) -> Figure | None:
    """Hubs on their coordinates, and the work that moved between them over the first held-out episode.

    Arrows of all policies share one scale, so that their maps can be laid side by side.
    """
    series = results.weeks.get(policy)
    if series is None:
        return None
    scenario = parse_scenario(results.setting)
    at = locations_deg(scenario)[:, ::-1]
    ends = link_ends(scenario)
    moved = _moved_mwh(series, scenario.dt_h)
    widest = max((float(_moved_mwh(w, scenario.dt_h).max(initial=0.0)) for w in results.weeks.values()), default=0.0)
    facility = np.array(series["facility_mw"]).sum(0)
    green = (np.array(series["used_green_mw"]) + np.array(series["ppa_mw"])).sum(0) / np.maximum(facility, 1e-9)
    figure, ax = single(8.2, 6.7)
    draw_moves(ax, at, ends, moved, widest)
    capacity = it_capacity_mw(scenario)
    size = 90 + 800 * capacity / capacity.max()
    dots = ax.scatter(
        at[:, 0], at[:, 1], s=size, c=100 * np.minimum(green, 1), cmap="YlGn", vmin=0, vmax=100, ec=INK, lw=0.8,
        zorder=3,
    )  # fmt: skip
    _name_hubs(figure, ax, at, np.sqrt(size) / 2, [hub.replace("_", " ").title() for hub in scenario.sites])
    bar = figure.colorbar(dots, ax=ax, shrink=0.6, pad=0.02)
    bar.set_label("green share of the hub's energy, %")
    bar.outline.set_visible(False)
    ax.set(xlabel="longitude, °E", ylabel="latitude, °N")
    ax.set_title(f"{policy}: {moved.sum() / 1e3:,.1f} GWh of work moved", loc="left")
    ax.grid(color="#eef1f4")
    return figure


def link_ends(scenario: ScenarioConfig) -> list[tuple[int, int]]:
    """Source and target of every directed link, as indices of sites."""
    index = {hub: i for i, hub in enumerate(scenario.sites)}
    return [(index[a], index[b]) for link in scenario.links for a, b in (link.between, link.between[::-1])]


def draw_moves(ax: Axes, at: Array, ends: Sequence[tuple[int, int]], moved_mwh: Array, widest_mwh: float) -> None:
    """Links between hubs at `at` `[R, 2]`, an arrow for the work that crossed each, and a key of their widths.

    Args:
        ax: longitude and latitude.
        at: `[R, 2]` where the hubs lie.
        ends: source and target of each link.
        moved_mwh: `[L]` work that crossed them.
        widest_mwh: work of the widest arrow, the same in all maps that lie side by side.
    """
    for (a, b), mwh in zip(ends, moved_mwh, strict=True):
        ax.plot(*at[[a, b]].T, color="#e2e7ec", lw=0.8, zorder=1)
        if mwh > LEAST_ARROW * widest_mwh:
            ax.add_patch(flow_arrow(at[a], at[b], _points(mwh, widest_mwh)))
    if widest_mwh > 0:
        _arrow_key(ax, widest_mwh)


def _moved_mwh(series: dict[str, Any], dt_h: float) -> Array:
    """`[links]` MWh of work that crossed each link over the episode."""
    return np.asarray(np.array(series["moved_mw"], dtype=np.float64).sum(0) * dt_h)


def _points(mwh: float, widest_mwh: float) -> float:
    """Width of an arrow in points."""
    return 0.6 + 5.0 * float(mwh) / widest_mwh


def _arrow_key(ax: Axes, widest_mwh: float) -> None:
    """What three widths stand for: round figures up to the widest arrow of all maps."""
    unit = 10.0 ** np.floor(np.log10(widest_mwh))
    top = unit * max(step for step in (1.0, 2.0, 5.0) if step * unit <= widest_mwh)
    handles = [
        Line2D([], [], color=HIGHLIGHT, alpha=0.65, lw=_points(mwh, widest_mwh), solid_capstyle="butt",
               label=f"{mwh / 1e3:g} GWh" if mwh >= 100 else f"{mwh:g} MWh")
        for mwh in (top / 10, top / 2, top)
    ]  # fmt: skip
    ax.legend(handles=handles, loc="upper right", frameon=False, fontsize=8.5, title="work moved", title_fontsize=8.5)


def _name_hubs(figure: Figure, ax: Axes, at: Array, radii_pt: Array, names: Sequence[str]) -> None:
    """Names below, above, right or left of their dots, where they meet dots and other names least."""
    ax.margins(0.16, 0.2)
    ax.set_aspect(1 / np.cos(np.radians(at[:, 1].mean())), adjustable="datalim")
    figure.draw_without_rendering()
    points = ax.transData.transform(at) * 72 / figure.dpi * (1, -1)  # points, downwards
    widths = [5.0 * len(name) for name in names]
    corners = label_sides(points, (radii_pt + 1).tolist(), widths)
    for (x, y), (left, top), width, name in zip(points, corners, widths, names, strict=True):
        ax.annotate(
            name, at[names.index(name)], (left + width / 2 - x, y - top - 8), textcoords="offset points", ha="center",
            va="center", fontsize=8.5, zorder=4, path_effects=[withStroke(linewidth=2.5, foreground=PAPER)],
        )  # fmt: skip
