"""Every figure of a benchmark that can be drawn, as PNG and SVG."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from greenhop_agents.benchmark.results import Results
from greenhop_agents.report.figures import STYLE
from greenhop_agents.report.plots import breakdown, learning, pareto, profile, scores, settings
from greenhop_agents.report.plots_hubs import flows, week

SVG = {"svg.hashsalt": "greenhop", "svg.fonttype": "path"}  # the same bytes whenever it is drawn


def draw_all(results: Results, folder: Path) -> dict[str, Path]:
    """Write every figure that can be drawn as PNG and SVG; their SVG files by name."""
    folder.mkdir(parents=True, exist_ok=True)
    scenario = results.scenarios[0] if results.scenarios else ""
    makers: dict[str, Callable[[], Figure | None]] = {
        f.__name__: lambda f=f: f(results, scenario)  # type: ignore[misc]
        for f in (scores, settings, learning, breakdown, pareto, profile)
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
