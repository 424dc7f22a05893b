"""The picture of a trade-off: the certified front and the points that policies reach."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from greenhop.arrays import Array
from greenhop_agents.report.figures import BEST, FAINT, HIGHLIGHT, PAPER, STYLE
from greenhop_agents.scoring.scoreboard import CNY_PER_MCNY, KG_PER_T

if TYPE_CHECKING:
    from greenhop_agents.studies.pareto import Front

UNITS = {  # of the second objective: label and what one of it is
    "carbon_kg": ("carbon, t", KG_PER_T),
    "missed_mwh": ("missed work, MWh", 1.0),
    "green_short_mwh": ("green power short of the target, MWh", 1.0),
}
COLOURS = (HIGHLIGHT, "#2a9d78", "#f4b942", "#7b5ea7", "#5c4742", "#4fa8a0")
MARKERS = "osD^vP"


def draw_front(found: Front, title: str, path: Path) -> None:
    """Write the picture to `path`, as PNG or SVG."""
    label, unit = UNITS[found.objective]
    scale = np.array([CNY_PER_MCNY, unit])
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.8), dpi=130, facecolor=PAPER, layout="constrained")
        axes = figure.add_subplot()
        outer, optimal = edge(np.array(found.outer) / scale), np.array(list(found.optimal.values())) / scale
        (left, low), (right, high) = (outer.min(0), outer.max(0))
        margin = 0.03 * (outer.max(0) - outer.min(0))
        below = [(left - margin[0], high), *outer, (right, low - margin[1]), (left - margin[0], low - margin[1])]
        axes.fill(*np.array(below).T, color=FAINT, alpha=0.25, lw=0, label="no policy gets here (certified)")
        axes.plot(*optimal.T, ".-", color=BEST, ms=5, lw=1.2, label="optimal plans, one for each price")
        for i, (name, places) in enumerate(found.reached.items()):
            points, share = np.array(places) / scale, 100.0 * found.area(name) / found.outer_area
            style: Any = {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)], "ls": "-"}
            axes.plot(*points.T, lw=0.8, ms=5, label=f"{Path(name).name}: {share:.1f} %", **style)
        axes.set_xlabel("bill, million CNY")
        axes.set_ylabel(label)
        axes.set_title(title)
        axes.legend(frameon=False, title="hypervolume of the certified front", alignment="left")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)


def edge(corners: Array) -> Array:
    """The corners `[n, 2]` from the upper left to the lower right, as a line along them goes."""
    span = np.maximum(np.ptp(corners, axis=0), 1e-12)
    return corners[np.lexsort((-corners[:, 1], np.round(corners[:, 0] / span[0], 6)))]
