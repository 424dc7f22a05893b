"""Figures that compare agents. One colour per agent everywhere, a unit on every axis; no pyplot, so nothing global."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter

from greenhop.arrays import Array
from greenhop.physics.state import COST_TERMS
from greenhop_agents.benchmark.jobs import BOUND, REFERENCE
from greenhop_agents.benchmark.results import SCENARIO, Curve, Results
from greenhop_agents.report.figures import FAINT, INK, PAPER
from greenhop_agents.scoring.scoreboard import CNY_PER_MCNY, KG_PER_T
from greenhop_agents.scoring.stats import Interval, interval, iqm, performance_profile

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
    "power": (("grid_energy", "ppa", "green_om", "wires", "diesel", "unserved"), "power bought and made", "#5d7ea8"),
    "demand": (("demand",), "demand charge", "#a8bfd8"),
    "carbon": (("carbon",), "carbon", "#4a4a4a"),
    "network": (("network",), "network", "#e4572e"),
    "storage": (("storage",), "storage wear", "#f4b942"),
    "missed": (("missed",), "missed work", "#c2185b"),
    "green_gap": (("green_gap",), "missing green share", "#2a9d78"),
    "rules": (("direct_rule", "take_or_pay", "pue_excess", "reserve"), "other rules broken", "#8fbf7f"),
    "rest": (("export", "terminal"), "end of episode less export", "#c9d1d9"),
}
LINES = {REFERENCE: (0, (5, 2)), "mpc": (0, (3, 1, 1, 1)), BOUND: "solid"}
PROFILE_POINTS = 201
LEAST_SHOWN = -80.0  # score, %: what is worse lies beyond the edge


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
    figure, ax = single(7.4, 1.3 + 0.42 * len(shown))
    estimates = [interval(matrix) for _, matrix in shown]
    left = _left_edge(estimates)
    for i, ((agent, matrix), estimate) in enumerate(zip(shown, estimates, strict=True)):
        colour = colour_of(agent, results.agents)
        if estimate.value < left:
            ax.scatter([left], [i], s=40, marker="<", color=colour, clip_on=False, zorder=3)
            ax.text(left + 4, i, f"{estimate.value:.0f}".replace("-", "−"), va="center", fontsize=8, color=FAINT)
            continue
        ax.plot([estimate.low, estimate.high], [i, i], color=colour, lw=9, alpha=0.35, solid_capstyle="butt")
        ax.plot([estimate.value] * 2, [i - 0.28, i + 0.28], color=colour, lw=3)
        if len(matrix) > 1:
            runs = [float(iqm(run[None])) for run in matrix]
            ax.scatter(runs, [i] * len(runs), s=16, color=colour, ec=PAPER, lw=0.6, zorder=3)
    names = [agent for agent, _ in shown]
    ax.set_yticks(range(len(names)), names)
    ax.set(xlim=(left, 103), ylim=(-0.6, len(names) - 0.4))
    _ends_of_the_scale(ax)
    ax.set_xlabel("score: share of the achievable saving, %  (IQM, 95 % bootstrap interval; dots: runs)")
    ax.grid(axis="x", color="#e7ebef")
    return figure


def _left_edge(estimates: Iterable[Interval]) -> float:
    """Where an axis of scores begins: agents far below price_follow must not squeeze the others together."""
    return max(min(-10.0, 1.1 * min((e.low for e in estimates), default=0.0)), LEAST_SHOWN)


def _ends_of_the_scale(ax: Axes) -> None:
    """Lines at the scores of price_follow and of the bound, named above the plot."""
    for score, name, colour in ((0, REFERENCE, FAINT), (100, BOUND, INK)):
        ax.axvline(score, color=colour, lw=1, ls=LINES[name])
        ax.text(
            score, 1.01, name, ha="center", va="bottom", fontsize=8, color=colour, transform=ax.get_xaxis_transform()
        )


def settings(results: Results, scenario: str) -> Figure | None:
    """Score of every agent in every setting, with its 95 % interval; None where there is only one."""
    names = results.scenarios
    if len(names) < 2:
        return None
    agents = [a for a in results.agents if any(results.matrix(a, s).size for s in names)]
    figure, ax = single(8.2, 1.5 + (0.16 + 0.13 * len(agents)) * len(names))
    estimates = {
        (agent, i): interval(matrix)
        for agent in agents
        for i, name in enumerate(names)
        if (matrix := results.matrix(agent, name)).size
    }
    left = _left_edge(estimates.values())
    offsets = np.linspace(-0.36, 0.36, len(agents)) if len(agents) > 1 else np.zeros(1)
    for agent, offset in zip(agents, offsets, strict=True):
        colour, shown = colour_of(agent, results.agents), [(i, e) for (a, i), e in estimates.items() if a == agent]
        at = [i + offset for i, _ in shown]
        ax.hlines(at, [e.low for _, e in shown], [e.high for _, e in shown], color=colour, lw=4, alpha=0.35)
        ax.scatter([e.value for _, e in shown], at, s=26, color=colour, ec=PAPER, lw=0.6, zorder=3, label=agent)
        beyond = [y for y, (_, e) in zip(at, shown, strict=True) if e.value < left]
        ax.scatter([left] * len(beyond), beyond, s=40, marker="<", color=colour, zorder=3, clip_on=False)
    for i in range(1, len(names)):
        ax.axhline(i - 0.5, color="#e7ebef", lw=0.8)
    _ends_of_the_scale(ax)
    ax.set(xlim=(left, 105), ylim=(len(names) - 0.5, -0.5))
    ax.set_yticks(range(len(names)), names)
    ax.set_xlabel("score in that setting: 0 price_follow, 100 bound, %  (IQM, 95 % bootstrap interval)")
    ax.grid(axis="x", color="#e7ebef")
    _legend(ax)
    return figure


def profile(results: Results, scenario: str) -> Figure | None:
    """Share of runs and episodes that reach a score."""
    shown = [(a, m) for a in results.agents if (m := results.matrix(a, scenario)).size]
    if not shown:
        return None
    low = min(float(np.percentile(m, 2)) for _, m in shown)
    levels = np.linspace(min(-10.0, max(low, LEAST_SHOWN)), 100.0, PROFILE_POINTS)
    figure, ax = single(6.6, 4.0)
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
    figure, ax = single(8.2, 1.6 + 0.42 * len(names))
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
    """Cost against carbon, one dot per run, mean over episodes; the front of what was not beaten in both.

    What lies far off, such as doing nothing, is named at the edge, so that the agents in question fill the plot.
    """
    part = results.details[results.details[SCENARIO] == scenario]
    if part.empty:
        return None
    cost = part[[f"{term}_cny" for term in COST_TERMS]].sum(axis=1) / CNY_PER_MCNY
    runs = (
        part.assign(cost=cost, carbon=part["carbon_kg"] / KG_PER_T)
        .groupby(["agent", "seed"])[["cost", "carbon"]]
        .mean()
    )
    points = {
        agent: runs.loc[agent].to_numpy(dtype=np.float64)
        for agent in [*results.agents, BOUND]
        if agent in runs.index.get_level_values(0)
    }
    far = _far_off({agent: xy.mean(0) for agent, xy in points.items()})
    figure, ax = single(7.0, 4.6)
    for agent, xy in points.items():
        if agent in far:
            continue
        star = agent == BOUND
        ax.scatter(
            xy[:, 0], xy[:, 1], s=150 if star else 55, marker="*" if star else "o", ec=PAPER, lw=0.8, label=agent,
            color=colour_of(agent, results.agents), zorder=3,
        )  # fmt: skip
    front = _front([(float(x), float(y)) for agent, xy in points.items() if agent not in far for x, y in xy])
    ax.step([x for x, _ in front], [y for _, y in front], where="post", color=FAINT, lw=1, ls=(0, (2, 2)))
    ax.margins(0.10, 0.12)
    for i, agent in enumerate(far):
        x, y = points[agent].mean(0)
        ax.annotate(
            f"{agent} ({x:,.1f}; {y:,.0f}) ↗", (0.99, 0.98 - 0.06 * i), xycoords="axes fraction", ha="right", va="top",
            fontsize=8.5, color=colour_of(agent, results.agents),
        )  # fmt: skip
    ax.set(xlabel="cost per episode, million CNY", ylabel="carbon per episode, t CO₂")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}"))
    ax.grid(color="#e7ebef")
    _legend(ax)
    return figure


def _far_off(centres: dict[str, Array]) -> list[str]:
    """Agents dearer than price following by more than the whole span between it and the cheapest."""
    if REFERENCE not in centres or len(centres) < 3:
        return []
    base = float(centres[REFERENCE][0])
    span = base - min(float(c[0]) for c in centres.values())
    return [a for a, c in centres.items() if span > 0 and float(c[0]) > base + 0.5 * span]


def _front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points that no other one beats in both coordinates, from left to right."""
    front: list[tuple[float, float]] = []
    for x, y in sorted(points):
        if not front or y < front[-1][1]:
            front.append((x, y))
    return front


def learning(results: Results, scenario: str) -> Figure | None:
    """Learning curves of all runs and their mean, against steps and against wall time, beside the fixed policies.

    None where agents are tested elsewhere than they were trained: these lines would belong to another setting.
    """
    if not results.curves or len(results.scenarios) > 1:
        return None
    seen = progress_of(results, scenario)
    timed = all(c.minutes is not None and len(c.minutes) > 1 for c in results.curves)
    axes_of = [([c.steps for c in results.curves], "environment steps")]
    if timed:
        axes_of.append(([_since_start(c) for c in results.curves], "minutes of wall time"))
    figure = Figure(figsize=(5.6 * len(axes_of) + 0.8, 4.3), dpi=130, facecolor=PAPER, layout="constrained")
    axes = figure.subplots(1, len(axes_of), sharey=True, squeeze=False)[0]
    for ax, (xs, label) in zip(axes, axes_of, strict=True):
        _curves(ax, results, seen, xs)
        ax.set_xlabel(f"{label} (logarithmic)")
    low = min(float(np.min(y)) for y in seen.curves)
    axes[0].set_ylim(max(min(low - 3.0, -5.0), LEAST_SHOWN), 104.0 if seen.scored else None)
    axes[0].set_ylabel("score, %" if seen.scored else "cost below price_follow, %")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=8.5, ncols=5, loc="outside upper left")
    return figure


def _since_start(curve: Curve) -> Array:
    """Minutes at a curve's points; what came before the first is taken to have run at the mean pace."""
    assert curve.minutes is not None
    pace = curve.minutes[-1] / max(float(curve.steps[-1] - curve.steps[0]), 1.0)
    return np.asarray(curve.minutes + pace * curve.steps[0])


def _curves(ax: Axes, results: Results, seen: LearningProgress, xs: Sequence[Array]) -> None:
    """Runs thin, their mean thick with a dot at its end; a triangle where a mean lies below what is shown."""
    left = min(float(x[x > 0].min()) for x in xs if (x > 0).any())
    right = max(float(x[-1]) for x in xs)
    for agent in dict.fromkeys(c.agent for c in results.curves):
        runs = [
            (np.maximum(x, left), y)
            for c, x, y in zip(results.curves, xs, seen.curves, strict=True)
            if c.agent == agent
        ]
        colour = colour_of(agent, results.agents)
        for x, y in runs:
            ax.plot(x, y, color=colour, lw=0.8, alpha=0.35)
        grid = np.geomspace(max(x[0] for x, _ in runs), min(x[-1] for x, _ in runs), 300)
        mean = np.mean([np.interp(grid, x, y) for x, y in runs], axis=0)
        mean = mean if seen.scored else _smooth(mean)
        counted = f"{len(runs)} run{'s' * (len(runs) > 1)}"
        ax.plot(grid, mean, color=colour, lw=2.2, label=f"{agent} ({counted})")
        ax.plot(grid[-1:], mean[-1:], color=colour, marker="o", ms=5, mec=PAPER, mew=0.7, zorder=4)
        if mean[-1] < LEAST_SHOWN:
            ax.plot(grid[-1:], [LEAST_SHOWN], color=colour, marker="v", ms=8, clip_on=False, zorder=5)
            ax.annotate(
                f"{agent} {mean[-1]:.0f}".replace("-", "−"), (grid[-1], LEAST_SHOWN), (7, 8),
                textcoords="offset points", fontsize=8, color=colour,
            )  # fmt: skip
    for name, at in seen.lines.items():
        ax.axhline(at, color=colour_of(name, results.agents), lw=1.4, ls=LINES[name], zorder=1.5)
        ax.annotate(
            name, (1.0, at), (-3, 3), xycoords=("axes fraction", "data"), textcoords="offset points", ha="right",
            fontsize=8.5, color=colour_of(name, results.agents), zorder=6,
            path_effects=[withStroke(linewidth=2.5, foreground=PAPER)],
        )  # fmt: skip
    ax.set_axisbelow(True)
    ax.set_xscale("log")
    ax.set_xlim(left, 1.06 * right)
    ax.grid(color="#e7ebef")


class LearningProgress(NamedTuple):
    """How far learners have come, and where price_follow, MPC and the bound stand on held-out episodes, in %."""

    curves: list[Array]  # one for each of `results.curves`, at its steps
    lines: dict[str, float]
    scored: bool  # scores, else savings


def progress_of(results: Results, scenario: str) -> LearningProgress:
    """Scores if every run's validation knew the bound, else savings.

    Weeks differ in what can be saved, so that a saving on validation episodes and one on test episodes do not compare.
    """
    scores = [c.score_percent for c in results.curves if c.score_percent is not None]
    if not scores or len(scores) < len(results.curves):
        savings = [c.saving_percent for c in results.curves]
        return LearningProgress(savings, reference_savings(results, scenario), scored=False)
    return LearningProgress(scores, reference_scores(results, scenario), scored=True)


def reference_scores(results: Results, scenario: str) -> dict[str, float]:
    """Scores on held-out episodes: 0 of price_follow, the mean of MPC's, 100 of the bound."""
    planned = results.matrix("mpc", scenario)
    return {REFERENCE: 0.0, **({"mpc": float(planned.mean())} if planned.size else {}), BOUND: 100.0}


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


def single(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of one plot; inches."""
    figure = Figure(figsize=(width, height), dpi=130, facecolor=PAPER, layout="constrained")
    return figure, figure.add_subplot()


def _legend(ax: Axes) -> None:
    ax.legend(frameon=False, fontsize=8.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
