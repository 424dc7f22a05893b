"""TensorBoard files of a benchmark: curves with reference lines, hyperparameters with scores, figures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from greenhop_agents.benchmark.results import SCENARIO, Results
from greenhop_agents.report.plots import progress_of
from greenhop_agents.scoring.scoreboard import CNY_PER_MCNY
from greenhop_agents.scoring.stats import iqm

LINE_POINTS = 51  # of a reference line: TensorBoard scales its axes by percentiles of all points


def write_tensorboard(results: Results, root: Path) -> None:
    """Curves of every run, price_follow, MPC and the bound as lines of the same tag, hparams with scores, figures.

    Files of an earlier report are replaced.
    """
    folder = root / "tensorboard"
    for old in sorted(folder.rglob("events.out.tfevents.*")):
        old.unlink()
    if not results.scenarios:
        return
    from torch.utils.tensorboard import SummaryWriter

    def writer(name: str) -> Any:
        return SummaryWriter(str(folder / name))

    seen = progress_of(results, results.scenarios[0])
    tag = "benchmark/score_percent" if seen.scored else "benchmark/saving_percent"
    for curve, values in zip(results.curves, seen.curves, strict=True):
        log = writer(f"{curve.agent}-s{curve.seed}")
        for step, value in zip(curve.steps, values, strict=True):
            log.add_scalar(tag, float(value), int(step))
        log.add_hparams(
            {"agent": curve.agent, "seed": curve.seed}, _metrics(results, curve.agent, curve.seed), run_name="."
        )
        log.close()
    last = max((int(c.steps[-1]) for c in results.curves), default=1)
    for name, level in seen.lines.items():
        log = writer(name)
        for step in np.linspace(0, last, LINE_POINTS, dtype=np.int64).tolist():
            log.add_scalar(tag, level, step)
        log.close()
    log = writer("report")
    for path in sorted((root / "figures").glob("*.png")):
        log.add_image(f"figures/{path.stem}", _pixels(path), dataformats="HWC")
    log.close()


def _metrics(results: Results, agent: str, seed: int) -> dict[str, float]:
    """Held-out score and cost of one run, as TensorBoard's hparams want them."""
    scenario = results.scenarios[0]
    part = results.frame[(results.frame["agent"] == agent) & (results.frame[SCENARIO] == scenario)]
    seeds = sorted(part["seed"].unique())
    scores = results.matrix(agent, scenario)
    cost = float(part[part["seed"] == seed]["cost_cny"].mean())
    known = len(scores) == len(seeds) and seed in seeds
    score = float(iqm(scores[seeds.index(seed)][None])) if known else math.nan
    return {"benchmark/score_iqm": score, "benchmark/cost_mcny": cost / CNY_PER_MCNY}


def _pixels(path: Path) -> Any:
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))
