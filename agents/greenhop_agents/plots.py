"""The figures of a benchmark. One colour per agent everywhere, a unit on every axis; no pyplot, so nothing global."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from matplotlib.ticker import FuncFormatter

from greenhop.config import parse_scenario
from greenhop.params import it_capacity_mw, locations_deg
from greenhop.state import COST_TERMS
from greenhop_agents.figures import FAINT, HIGHLIGHT, INK, PAPER, SOURCES, STYLE
from greenhop_agents.jobs import BOUND, REFERENCE
from greenhop_agents.results import SCENARIO, Results
from greenhop_agents.scoreboard import CNY_PER_MCNY, KG_PER_T
from greenhop_agents.stats import Array, interval, iqm, performance_profile

COLOURS = {
    BOUND: "#22303c",
    "stay": "#b0b8c1",
    "price_follow": "#6b7a88",
    "greenest": "#7fb069",
    "static": "#a67c52",
    "mpc": "#2f6db5",
    "mpc_perfect": "#8ab6e6",
    "ppo": "#e4572e",
    "shac": "#c2185b",
    "sb3_ppo": "#f29e4c",
    "sb3_sac": "#7b5ea7",
}
SPARE = ("#17a2a2", "#b5892b", "#5b8e00", "#d16ba5", "#4c5fd7", "#945200")
TERMS = {  # group of cost terms → (label, colour)
    "power": (("grid_energy", "ppa", "green_om", "diesel", "unserved"), "power bought and made", "#5d7ea8"),
    "demand": (("demand",), "demand charge", "#a8bfd8"),
    "carbon": (("carbon",), "carbon", "#4a4a4a"),
    "network": (("network",), "network", "#e4572e"),
    "storage": (("storage",), "storage wear", "#f4b942"),
    "missed": (("missed",), "missed work", "#c2185b"),
    "green_gap": (("green_gap",), "green certificates", "#2a9d78"),
    "direct_rule": (("direct_rule",), "rules of direct supply", "#8fbf7f"),
    "rest": (("export", "terminal"), "end of episode less export", "#c9d1d9"),
}
LINES = {REFERENCE: (0, (5, 2)), "mpc": (0, (3, 1, 1, 1)), BOUND: "solid"}
PROFILE_POINTS = 201
SVG = {"svg.hashsalt": "greenhop", "svg.fonttype": "path"}


def colour_of(agent: str, agents: Sequence[str]) -> str:
    """The colour of an agent; unknown ones take spare colours in their order."""
    if agent in COLOURS:
        return COLOURS[agent]
    others = [a for a in agents if a not in COLOURS]
    return SPARE[others.index(agent) % len(SPARE)]


def scores(results: Results, scenario: str) -> Figure | None:
    """Interquartile mean of the score of every agent with its 95 % interval, and every run as a dot."""
    shown = [(a, m) for a in results.agents if (m := results.matrix(a, scenario)).size]
    if not shown:
        return None
    shown.sort(key=lambda item: float(iqm(item[1])))
    figure, ax = _single(7.4, 1.3 + 0.42 * len(shown))
    for i, (agent, matrix) in enumerate(shown):
        colour = colour_of(agent, results.agents)
        estimate = interval(matrix)
        ax.plot([estimate.low, estimate.high], [i, i], color=colour, lw=9, alpha=0.35, solid_capstyle="butt")
        ax.plot([estimate.value] * 2, [i - 0.28, i + 0.28], color=colour, lw=3)
        if len(matrix) > 1:
            runs = [float(iqm(run[None])) for run in matrix]
            ax.scatter(runs, [i] * len(runs), s=16, color=colour, ec=PAPER, lw=0.6, zorder=3)
    ax.axvline(0, color=FAINT, lw=1, ls=LINES[REFERENCE])
    ax.axvline(100, color=INK, lw=1)
    names = [agent for agent, _ in shown]
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(-0.6, len(names) - 0.2)
    ax.text(0, len(names) - 0.25, "price_follow", ha="center", va="bottom", fontsize=8, color=FAINT)
    ax.text(100, len(names) - 0.25, "bound", ha="center", va="bottom", fontsize=8)
    ax.set_xlabel("score: share of the achievable saving, %  (IQM, 95 % bootstrap interval; dots: runs)")
    ax.grid(axis="x", color="#e7ebef")
    return figure


def profile(results: Results, scenario: str) -> Figure | None:
    """Share of runs and episodes that reach a score."""
    shown = [(a, m) for a in results.agents if (m := results.matrix(a, scenario)).size]
    if not shown:
        return None
    low = min(float(np.percentile(m, 2)) for _, m in shown)
    levels = np.linspace(min(-10.0, max(low, -150.0)), 100.0, PROFILE_POINTS)
    figure, ax = _single(6.6, 4.0)
    for agent, matrix in shown:
        ax.plot(
            levels, 100 * performance_profile(matrix, levels), label=agent, color=colour_of(agent, results.agents), lw=2
        )
    ax.set(
        xlabel="score τ, %", ylabel="runs and episodes that score at least τ, %", ylim=(-2, 102), xlim=(levels[0], 100)
    )
    ax.grid(color="#e7ebef")
    _legend(ax)
    return figure


def breakdown(results: Results, scenario: str) -> Figure | None:
    """What the bill is made of: mean per episode, stacked by group of cost terms."""
    part = results.details[results.details[SCENARIO] == scenario]
    names = [a for a in [*results.agents, BOUND] if (part["agent"] == a).any()]
    if not names:
        return None
    means = part.groupby("agent")[[f"{term}_cny" for term in COST_TERMS]].mean().loc[names] / CNY_PER_MCNY
    figure, ax = _single(8.2, 1.6 + 0.42 * len(names))
    right, left = np.zeros(len(names)), np.zeros(len(names))
    for terms, label, colour in TERMS.values():
        value = means[[f"{t}_cny" for t in terms]].sum(axis=1).to_numpy()
        if np.abs(value).max() < 1e-3 * means.sum(axis=1).abs().max():
            continue
        start = np.where(value >= 0, right, left)
        ax.barh(names, value, left=start, color=colour, label=label, height=0.62)
        right, left = right + np.maximum(value, 0), left + np.minimum(value, 0)
    for i, total in enumerate(means.sum(axis=1)):
        ax.text(right[i] + 0.01 * right.max(), i, f"{total:.2f}", va="center", fontsize=9)
    ax.invert_yaxis()
    ax.axvline(0, color=FAINT, lw=0.8)
    ax.set_xlim(min(0.0, 1.05 * left.min()), 1.12 * right.max())
    ax.set_xlabel("cost per episode, million CNY (mean; total at the end)")
    ax.legend(ncols=4, loc="lower left", bbox_to_anchor=(0, 1.0), frameon=False, fontsize=8, columnspacing=1.2)
    return figure


def pareto(results: Results, scenario: str) -> Figure | None:
    """Cost against carbon, one dot per run, mean over episodes; the front of what was not beaten in both."""
    part = results.details[results.details[SCENARIO] == scenario]
    if part.empty:
        return None
    cost = part[[f"{term}_cny" for term in COST_TERMS]].sum(axis=1) / CNY_PER_MCNY
    runs = (
        part.assign(cost=cost, carbon=part["carbon_kg"] / KG_PER_T)
        .groupby(["agent", "seed"])[["cost", "carbon"]]
        .mean()
    )
    figure, ax = _single(6.6, 4.4)
    points: list[tuple[float, float]] = []
    for agent in [a for a in [*results.agents, BOUND] if a in runs.index.get_level_values(0)]:
        xy = runs.loc[agent].to_numpy(dtype=np.float64)
        marker = "*" if agent == BOUND else "o"
        size = 150 if agent == BOUND else 55
        ax.scatter(
            xy[:, 0],
            xy[:, 1],
            s=size,
            marker=marker,
            color=colour_of(agent, results.agents),
            ec=PAPER,
            lw=0.8,
            label=agent,
            zorder=3,
        )
        points += [(float(x), float(y)) for x, y in xy]
    front = _front(points)
    ax.step([x for x, _ in front], [y for _, y in front], where="post", color=FAINT, lw=1, ls=(0, (2, 2)))
    ax.set(xlabel="cost per episode, million CNY", ylabel="carbon per episode, t CO₂")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}"))
    ax.margins(0.10, 0.12)
    ax.grid(color="#e7ebef")
    _legend(ax)
    return figure


def _front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points that no other one beats in both coordinates, from left to right."""
    front: list[tuple[float, float]] = []
    for x, y in sorted(points):
        if not front or y < front[-1][1]:
            front.append((x, y))
    return front


def learning(results: Results, scenario: str) -> Figure | None:
    """Learning curves of all runs, their mean, and what price_follow, MPC and the bound save on held-out episodes."""
    if not results.curves:
        return None
    figure, ax = _single(7.4, 4.2)
    last = max(float(c.steps[-1]) for c in results.curves)
    for agent in dict.fromkeys(c.agent for c in results.curves):
        runs = [c for c in results.curves if c.agent == agent]
        colour = colour_of(agent, results.agents)
        for c in runs:
            ax.plot(c.steps, c.saving_percent, color=colour, lw=0.8, alpha=0.35)
        grid = np.linspace(max(c.steps[0] for c in runs), min(c.steps[-1] for c in runs), 200)
        mean = np.mean([np.interp(grid, c.steps, c.saving_percent) for c in runs], axis=0)
        ax.plot(grid, _smooth(mean), color=colour, lw=2.2, label=f"{agent} ({len(runs)} runs)")
    for name, saving in reference_savings(results, scenario).items():
        ax.axhline(saving, color=colour_of(name, results.agents), lw=1.4, ls=LINES[name])
        ax.text(last, saving, f" {name}", va="center", fontsize=8.5, color=colour_of(name, results.agents))
    ax.set(xlabel="environment steps", ylabel="cost below price_follow, %", xlim=(0, last))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v / 1e6:g} M" if last >= 1e6 else f"{v / 1e3:g} k"))
    ax.grid(color="#e7ebef")
    ax.legend(frameon=False, fontsize=8.5, ncols=4, loc="lower left", bbox_to_anchor=(0, 1.0))
    return figure


def reference_savings(results: Results, scenario: str) -> dict[str, float]:
    """How far price_follow, MPC and the bound are below price_follow on held-out episodes, %."""
    frame = results.frame[results.frame[SCENARIO] == scenario]
    reference = frame["reference_cny"].mean()
    out = {REFERENCE: 0.0}
    if (frame["agent"] == "mpc").any():
        out["mpc"] = 100.0 * float(1.0 - frame[frame["agent"] == "mpc"]["cost_cny"].mean() / reference)
    if frame["bound_cny"].notna().any():
        out[BOUND] = 100.0 * float(1.0 - frame["bound_cny"].mean() / reference)
    return out


def _smooth(values: Array, width: int = 15) -> Array:
    """A centred moving mean that shrinks at the ends."""
    kernel = np.ones(min(width, len(values)))
    return np.asarray(np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same"))


SUPPLY = {"used_green_mw": "own", "ppa_mw": "ppa", "discharge_mw": "storage", "grid_mw": "grid", "diesel_mw": "diesel"}


def week(results: Results, policy: str) -> Figure | None:
    """Power, price, waiting work and state of charge of every hub over the first held-out episode."""
    series = results.weeks.get(policy)
    if series is None:
        return None
    scenario = parse_scenario(results.setting)
    hubs = list(scenario.sites)
    hours = np.asarray(np.arange(len(series["t"])) * scenario.dt_h, dtype=np.float64)
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
        _hub_week(axes, series, i, hours)
        axes[0].set_title(hub.replace("_", " ").title(), fontsize=10)
        if i // columns == rows - 1 or i + columns >= len(hubs):
            axes[2].set_xlabel("hours", labelpad=1)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=9, loc="upper center", frameon=False, fontsize=8.5, columnspacing=1.2)
    return figure


def _hub_week(axes: Sequence[Axes], series: dict[str, Any], r: int, hours: Array) -> None:
    def of(name: str) -> Array:
        return np.array([np.nan if step[r] is None else step[r] for step in series[name]])

    power, price, store = axes
    stack = [of(name) for name in SUPPLY]
    labels = [SOURCES[key][0] for key in SUPPLY.values()]
    power.stackplot(hours, stack, labels=labels, colors=[SOURCES[key][1] for key in SUPPLY.values()], lw=0, step="post")
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
    """Hubs on their coordinates, and the work that moved between them over the first held-out episode."""
    series = results.weeks.get(policy)
    if series is None:
        return None
    scenario = parse_scenario(results.setting)
    at = locations_deg(scenario)[:, ::-1]
    index = {hub: i for i, hub in enumerate(scenario.sites)}
    ends = [(index[a], index[b]) for link in scenario.links for a, b in (link.between, link.between[::-1])]
    moved = np.array(series["moved_mw"]).sum(0) * scenario.dt_h
    facility = np.array(series["facility_mw"]).sum(0)
    green = (np.array(series["used_green_mw"]) + np.array(series["ppa_mw"])).sum(0) / np.maximum(facility, 1e-9)
    figure, ax = _single(8.2, 6.4)
    widest = max(float(moved.max(initial=0.0)), 1e-9)
    for (a, b), mwh in zip(ends, moved, strict=True):
        ax.plot(*at[[a, b]].T, color="#e2e7ec", lw=0.8, zorder=1)
        if mwh > 0.015 * widest:
            ax.add_patch(
                FancyArrowPatch(
                    tuple(at[a]), tuple(at[b]), connectionstyle="arc3,rad=0.14", arrowstyle="-|>", mutation_scale=10,
                    shrinkA=11, shrinkB=13, lw=0.6 + 5.0 * float(mwh) / widest, color=HIGHLIGHT, alpha=0.6, zorder=2,
                )
            )  # fmt: skip
    capacity = it_capacity_mw(scenario)
    size = 90 + 800 * capacity / capacity.max()
    dots = ax.scatter(
        at[:, 0],
        at[:, 1],
        s=size,
        c=100 * np.minimum(green, 1),
        cmap="YlGn",
        vmin=0,
        vmax=100,
        ec=INK,
        lw=0.8,
        zorder=3,
    )
    _name_hubs(figure, ax, at, np.sqrt(size) / 2, [hub.replace("_", " ").title() for hub in scenario.sites])
    bar = figure.colorbar(dots, ax=ax, shrink=0.6, pad=0.02)
    bar.set_label("green share of the hub's energy, %")
    bar.outline.set_visible(False)
    ax.set(xlabel="longitude, °E", ylabel="latitude, °N")
    ax.set_title(f"{policy}: work moved, widest arrow {widest / 1e3:,.1f} GWh", loc="left")
    ax.grid(color="#eef1f4")
    return figure


def _name_hubs(figure: Figure, ax: Axes, at: Array, radii_pt: Array, names: Sequence[str]) -> None:
    """Names below, above, right or left of their dots, where they meet dots and other names least."""
    from greenhop.render import label_sides

    ax.margins(0.16, 0.2)
    ax.set_aspect(1 / np.cos(np.radians(at[:, 1].mean())), adjustable="datalim")
    figure.draw_without_rendering()
    points = ax.transData.transform(at) * 72 / figure.dpi * (1, -1)  # points, downwards
    widths = [5.0 * len(name) for name in names]
    corners = label_sides(points, (radii_pt + 1).tolist(), widths)
    for (x, y), (left, top), width, name in zip(points, corners, widths, names, strict=True):
        ax.annotate(
            name, at[names.index(name)], (left + width / 2 - x, y - top - 8), textcoords="offset points", ha="center",
            va="center", fontsize=8.5, zorder=4,
        )  # fmt: skip


def _single(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), dpi=130, facecolor=PAPER, layout="constrained")
    return figure, figure.add_subplot()


def _legend(ax: Axes) -> None:
    ax.legend(frameon=False, fontsize=8.5, loc="center left", bbox_to_anchor=(1.0, 0.5))


def draw_all(results: Results, folder: Path) -> dict[str, Path]:
    """Write every figure that can be drawn as PNG and SVG; their SVG files by name."""
    folder.mkdir(parents=True, exist_ok=True)
    scenario = results.scenarios[0] if results.scenarios else ""
    makers: dict[str, Callable[[], Figure | None]] = {
        f.__name__: lambda f=f: f(results, scenario)  # type: ignore[misc]
        for f in (scores, learning, breakdown, pareto, profile)
    }
    makers |= {f"week-{p}": lambda p=p: week(results, p) for p in results.weeks}  # type: ignore[misc]
    makers |= {f"flows-{p}": lambda p=p: flows(results, p) for p in results.weeks}  # type: ignore[misc]
    drawn = {}
    style: Any = {**STYLE, **SVG}
    with matplotlib.rc_context(style):
        for name, make in makers.items():
            figure = make()
            if figure is not None:
                figure.savefig(folder / f"{name}.png")
                figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
                drawn[name] = folder / f"{name}.svg"
    return drawn
