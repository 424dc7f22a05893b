"""The picture of a budget: what agents use of it while they learn, and the price that one of them learns for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from greenhop.arrays import Array
from greenhop.errors import ConfigError
from greenhop_agents.report.figures import BEST, HIGHLIGHT, MUTED, PAPER, STYLE
from greenhop_agents.report.front_figure import UNITS

if TYPE_CHECKING:
    from greenhop_agents.studies.budgets import BudgetStudy

SMOOTHED = 15  # updates of a moving mean: the weather of the episodes in an update moves what they use
COLOURS = (HIGHLIGHT, "#2a9d78", "#7b5ea7", "#f4b942")


class Curve(NamedTuple):
    """A number that a run wrote down while it learnt."""

    steps: Array
    values: Array

    def smooth(self) -> Curve:
        """Means of up to `SMOOTHED` neighbours, as many as there are at the ends."""
        window = np.ones(min(SMOOTHED, len(self.values)))
        count = np.convolve(np.ones_like(self.values), window, "same")
        return Curve(self.steps, np.convolve(self.values, window, "same") / count)


Curves = dict[str, Curve]  # `used` per episode, and the `price` of a run that learns one


def budget_curves(policies: Sequence[str], name: str) -> dict[str, Curves]:
    """What the run folders among `policies` wrote down of the budget `name`, by folder.

    Raises:
        ConfigError: no run folder, one without such curves, or a budget that no curve tells of.
    """
    if name not in UNITS:
        raise ConfigError(f"figure: no curve tells of {name}; allowed: carbon_kg, missed_mwh")
    folders = [Path(policy) for policy in policies if Path(policy).is_dir()]
    if not folders:
        raise ConfigError("figure: there is no run folder among policies")
    return {folder.name: _curves(folder, name) for folder in folders}


def _curves(folder: Path, name: str) -> Curves:
    logs = sorted((folder / "tensorboard").glob("events.out.tfevents.*"))
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    if logs:
        events.Reload()
    wanted = {"used": f"env/{name}", "price": f"train/price_{name}_cny"}
    known = set(events.Tags()["scalars"]) if logs else set()
    if wanted["used"] not in known:
        raise ConfigError(f"figure: {folder} has no curve {wanted['used']}; give run folders of native agents")
    return {
        key: Curve(*(np.array(x) for x in zip(*((e.step, e.value) for e in events.Scalars(tag)), strict=True)))
        for key, tag in wanted.items()
        if tag in known
    }


def draw_budget(found: BudgetStudy, runs: Mapping[str, Curves], title: str, path: Path) -> None:
    """Write the picture of `runs` to `path`, as PNG or SVG."""
    label, unit = UNITS[found.budget.name]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 5.4), dpi=130, facecolor=PAPER, layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True)
        for colour, (name, told) in zip(COLOURS, runs.items(), strict=False):
            _line(above, told["used"], 1.0 / unit, colour, name)
            if "price" in told:
                _line(below, told["price"], unit, colour, name)
        above.axhline(found.budget.limit / unit, color=BEST, lw=1.2, ls="--", label="budget")
        above.axhline(found.optimum.free_used / unit, color=MUTED, lw=1.2, label="optimum without it (held-out)")
        below.axhline(found.optimum.price_cny * unit, color=BEST, lw=1.2, label="of the certified optimum (held-out)")
        above.set_ylabel(f"{label} per episode")
        below.set_ylabel(f"price of it, CNY/{label.rpartition(', ')[2]}")
        below.set_ylim(bottom=0.0)
        below.set_xlabel("environment steps, million")
        above.set_title(title)
        for axes in (above, below):
            axes.legend(frameon=False, fontsize=8.5)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)


def _line(axes: Axes, curve: Curve, scale: float, colour: str, label: str) -> None:
    """Every update faint, the moving mean on top of it."""
    style: Any = {"color": colour}
    axes.plot(curve.steps / 1e6, curve.values * scale, lw=0.6, alpha=0.3, **style)
    smooth = curve.smooth()
    axes.plot(smooth.steps / 1e6, smooth.values * scale, lw=1.8, label=label, **style)
