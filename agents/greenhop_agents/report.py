"""What people look at: `table.md`, a self-contained `report.html`, figures, and TensorBoard files."""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from greenhop_agents.jobs import BOUND, REFERENCE
from greenhop_agents.plots import draw_all, reference_savings
from greenhop_agents.results import SCENARIO, Results, write_results
from greenhop_agents.scoreboard import CNY_PER_MCNY, KG_PER_T
from greenhop_agents.stats import Interval, improvement_interval, interval, iqm, mean, median, optimality_gap

NONE = "–"
LINE_POINTS = 51  # of a reference line: TensorBoard scales its axes by percentiles of all points
CAPTIONS = {
    "scores": (
        "Scores",
        "0 is what price following pays, 100 the certified bound. Bars: 95 % bootstrap intervals, runs and episodes.",
    ),
    "learning": (
        "Learning curves",
        "Validation episodes while training, against price following on the same ones. Thin: runs; lines: test means.",
    ),
    "breakdown": ("What the bill is made of", "Mean per held-out episode; negative parts are income."),
    "pareto": (
        "Cost against carbon",
        "One dot per run, mean over held-out episodes; dashed: what nothing beats in both.",
    ),
    "profile": ("Performance profiles", "Higher is better; the height at τ = 0 is how often price following was met."),
}
PREFIXES = {
    "week": ("Hour by hour: {}", "The first held-out episode, hub by hub."),
    "flows": ("Work on the move: {}", "First held-out episode; size: IT capacity, colour: green share."),
}


@dataclass(frozen=True)
class Line:
    """One agent in one scenario."""

    agent: str
    runs: int
    cost_cny: float
    score: Interval | None
    mean_score: float
    median_score: float
    shortfall: float  # optimality gap in points of score
    above_bound: float  # mean cost above the bound, share
    improvement: Interval | None  # P(cheaper than price_follow)
    carbon_kg: float
    green_share: float
    missed_share: float
    migrated_mwh: float
    decision_s: float


def line_of(results: Results, agent: str, scenario: str) -> Line | None:
    """The numbers of one agent; None where no run finished all episodes."""
    cost = results.matrix(agent, scenario, "cost_cny")
    if not cost.size:
        return None
    scores = results.matrix(agent, scenario)
    bound = results.matrix(agent, scenario, "bound_cny")
    base = results.matrix(agent, scenario, "reference_cny")[:1]
    known = scores.size > 0
    return Line(
        agent=agent,
        runs=len(cost),
        cost_cny=float(mean(cost)),
        score=interval(scores) if known else None,
        mean_score=float(mean(scores)) if known else math.nan,
        median_score=float(median(scores)) if known else math.nan,
        shortfall=float(optimality_gap(scores)) if known else math.nan,
        above_bound=float(cost.mean() / bound.mean() - 1.0) if known else math.nan,
        improvement=improvement_interval(-cost, -base) if base.size and agent != REFERENCE else None,
        **{
            name: float(mean(results.matrix(agent, scenario, name)))
            for name in ("carbon_kg", "green_share", "missed_share", "migrated_mwh", "decision_s")
        },
    )


HEADINGS = (
    "agent",
    "runs",
    "cost, million CNY",
    "score (IQM), %",
    "95 % interval",
    "mean score",
    "median score",
    "optimality gap, points",
    "above bound, %",
    "P(beats price_follow)",
    "carbon, t",
    "green share, %",
    "missed, %",
    "migrated, MWh",
    "decision, ms",
)


def cells(line: Line) -> list[str]:
    """The table's cells for a line."""
    s, p = line.score, line.improvement
    return [
        line.agent,
        str(line.runs),
        _number(line.cost_cny / CNY_PER_MCNY, 3),
        NONE if s is None else _number(s.value, 1),
        NONE if s is None else f"{_number(s.low, 1)} … {_number(s.high, 1)}",
        _number(line.mean_score, 1),
        _number(line.median_score, 1),
        _number(line.shortfall, 1),
        _number(100 * line.above_bound, 2),
        NONE if p is None else f"{p.value:.2f} ({p.low:.2f} … {p.high:.2f})",
        _number(line.carbon_kg / KG_PER_T, 0),
        _number(100 * line.green_share, 1),
        _number(100 * line.missed_share, 3),
        _number(line.migrated_mwh, 0),
        _number(1e3 * line.decision_s, 3),
    ]


def bound_cells(results: Results, scenario: str) -> list[str] | None:
    """The bound as the last line of a table; None where no episode was bounded."""
    part = results.details[(results.details["agent"] == BOUND) & (results.details[SCENARIO] == scenario)]
    frame = results.frame[results.frame[SCENARIO] == scenario]
    values = frame.groupby("episode")["bound_cny"].first().dropna()
    if part.empty or values.empty:
        return None
    green = part["green_used_mwh"] / part["facility_mwh"].clip(lower=1e-9)
    missed = part["missed_mwh"] / (part["served_mwh"] + part["missed_mwh"]).clip(lower=1e-9)
    return [
        "bound",
        NONE,
        _number(float(values.mean()) / CNY_PER_MCNY, 3),
        "100.0",
        *[NONE] * 4,
        "0.00",
        NONE,
        _number(float(part["carbon_kg"].mean()) / KG_PER_T, 0),
        _number(100 * float(green.mean()), 1),
        _number(100 * float(missed.mean()), 3),
        _number(float(part["migrated_mwh"].mean()), 0),
        NONE,
    ]


def _number(value: float, digits: int) -> str:
    """A number with a true minus and thousands, never a negative zero; a dash for NaN."""
    if math.isnan(value):
        return NONE
    text = f"{value:,.{digits}f}"
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text.replace("-", "−")


def table_rows(results: Results, scenario: str) -> list[list[str]]:
    """Cells of all agents, the best first, then the bound."""
    lines = [line for a in results.agents if (line := line_of(results, a, scenario)) is not None]
    lines.sort(key=lambda line: line.cost_cny)
    last = bound_cells(results, scenario)
    return [*(cells(line) for line in lines), *([last] if last else [])]


def sentence(results: Results, scenario: str) -> str:
    """What came out, in one or two sentences that do not flatter."""
    lines = [line for a in results.agents if (line := line_of(results, a, scenario)) is not None and line.score]
    if not lines:
        return "No agent has finished every episode yet."
    best = max(lines, key=lambda line: line.score.value if line.score else -math.inf)
    assert best.score is not None
    share = f"{_number(best.score.value, 1)} % ({_number(best.score.low, 1)} … {_number(best.score.high, 1)})"
    text = f"The best agent is {best.agent}: it captures {share} of the saving that perfect foresight would bring."
    if best.agent == REFERENCE:
        text = f"No agent here beats {REFERENCE}, the rule that marks 0 %."
    learned = [line for line in lines if any(c.agent == line.agent for c in results.curves) and line.score]
    if learned and best not in learned:
        first = max(learned, key=lambda line: line.score.value if line.score else -math.inf)
        assert first.score is not None
        text += f" The best learned agent is {first.agent} with {_number(first.score.value, 1)} %."
    return text


def write_report(results: Results, root: Path) -> None:
    """Everything in one folder: tables, figures, page, TensorBoard."""
    write_results(results, root)
    figures = draw_all(results, root / "figures")
    _write(root / "table.md", markdown(results))
    _write(root / "report.html", page(results, figures))
    write_tensorboard(results, root)


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def markdown(results: Results) -> str:
    """`table.md`."""
    parts = [f"# {results.facts.get('title', 'Benchmark')}\n"]
    for scenario in results.scenarios:
        parts += [f"## {scenario}\n", f"{sentence(results, scenario)}\n"]
        parts.append("| " + " | ".join(HEADINGS) + " |")
        parts.append("|---|" + "---:|" * (len(HEADINGS) - 1))
        parts += ["| " + " | ".join(row) + " |" for row in table_rows(results, scenario)]
        parts.append("")
    parts += [f"{SCORE_NOTE}\n", *(f"- {name}: {value}" for name, value in told(results)), ""]
    if results.failures:
        parts += ["## Failed jobs\n", *(f"- `{d.job.kind} {d.job.label}`: {d.error}" for d in results.failures), ""]
    return "\n".join(parts)


SCORE_NOTE = (
    "Score: 100 · (price_follow − cost) / (price_follow − bound), per episode; IQM over runs and episodes. Intervals: "
    "95 % percentile bootstrap that draws whole runs and whole episodes again (2000 draws, seeded). Means over the "
    "same held-out episodes for every agent; decision time is per environment in a batch, and depends on the load."
)


def told(results: Results) -> list[tuple[str, str]]:
    """Facts for readers."""
    f = results.facts
    packages = ", ".join(f"{name} {version}" for name, version in f.get("packages", {}).items())
    entries = {
        "command": f"`{f.get('command', '')}`",
        "seeds": ", ".join(map(str, f.get("seeds", []))),
        "episodes": str(int(results.frame["episode"].nunique())),
        "commit": ", ".join(f.get("commits", [])),
        "hardware": f.get("hardware", ""),
        "time": f"{f.get('wall_s', 0):,.0f} s of wall time in this run, {f.get('job_s', 0):,.0f} s in jobs altogether",
        "versions": f"Python {f.get('python', '')}, {packages}",
    }
    return [(name, value) for name, value in entries.items() if value]


def page(results: Results, figures: dict[str, Path]) -> str:
    """`report.html`: one file, nothing fetched."""
    title = escape(str(results.facts.get("title", "Benchmark")))
    first = results.scenarios[0] if results.scenarios else ""
    body = [f"<h1>{title}</h1>", f"<p class=lead>{escape(sentence(results, first))}</p>" if first else ""]
    for scenario in results.scenarios:
        rows = table_rows(results, scenario)
        body.append(f"<h2>{escape(scenario)}</h2>" if len(results.scenarios) > 1 else "<h2>Table</h2>")
        body.append(_html_table(rows))
    body.append(f"<p class=note>{escape(SCORE_NOTE)} Click a heading to sort.</p>")
    if results.failures:
        body.append("<h2>Failed jobs</h2><ul class=failed>")
        body += [
            f"<li><b>{escape(d.job.kind)} {escape(d.job.label)}</b>: {escape(d.error)}</li>" for d in results.failures
        ]
        body.append("</ul>")
    body += [_html_figure(name, path) for name, path in figures.items()]
    body.append("<h2>How it was made</h2><dl>")
    body += [f"<dt>{escape(k)}</dt><dd>{escape(v).replace('`', '')}</dd>" for k, v in told(results)]
    body.append("</dl>")
    return PAGE.replace("{{title}}", title).replace("{{body}}", "\n".join(body))


def _html_table(rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(h)}</th>" for h in HEADINGS)
    lines = [
        f"<tr{' class=bound' if r[0] == BOUND else ''}>" + "".join(f"<td>{escape(c)}</td>" for c in r) for r in rows
    ]
    return f"<div class=scroll><table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"


def _html_figure(name: str, path: Path) -> str:
    prefix, _, policy = name.partition("-")
    heading, caption = CAPTIONS.get(name) or PREFIXES[prefix]
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    text = escape(heading.format(policy))
    return (
        f"<figure id='{escape(name)}'><h2>{text}</h2><img alt='{text}' src='data:image/svg+xml;base64,{data}'>"
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{title}}</title>
<style>
:root { --ink: #22303c; --faint: #6b7a88; --line: #e2e7ec; --accent: #2a9d78; }
body { margin: 0; background: #f3f5f7; color: var(--ink); font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; }
main { max-width: 1300px; margin: 0 auto; padding: 28px 24px 60px; }
h1 { font-size: 27px; margin: 0 0 6px; } h2 { font-size: 18px; margin: 0 0 10px; }
.lead { font-size: 17px; margin: 0 0 22px; } .note, figcaption { color: var(--faint); font-size: 13px; }
main > h2 { margin-top: 26px; }
.scroll { overflow-x: auto; background: #fff; border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; width: 100%; font-size: 12.5px; font-variant-numeric: tabular-nums; }
th { text-align: right; vertical-align: bottom; padding: 9px 8px; color: var(--faint); font-weight: 600;
     cursor: pointer; border-bottom: 1px solid var(--line); user-select: none; }
td { text-align: right; padding: 7px 8px; border-bottom: 1px solid #eef1f4; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; font-weight: 600; position: sticky; left: 0; background: #fff; }
tr.bound td { color: var(--accent); } tbody tr:hover td { background: #f7faf9; }
figure { background: #fff; border: 1px solid var(--line); border-radius: 8px; margin: 22px 0 0;
         padding: 18px 20px 14px; }
figure img { display: block; max-width: 100%; height: auto; margin: 0 auto 8px; }
.failed { background: #fdf0ee; border: 1px solid #f0c4bc; border-radius: 8px; padding: 10px 10px 10px 30px; }
dl { display: grid; grid-template-columns: 110px 1fr; gap: 4px 14px; font-size: 13px; }
dt { color: var(--faint); } dd { margin: 0; overflow-wrap: anywhere; }
</style></head><body><main>
{{body}}
</main><script>
for (const th of document.querySelectorAll("th")) th.addEventListener("click", () => {
  const column = [...th.parentNode.children].indexOf(th), body = th.closest("table").tBodies[0];
  const value = row => { const text = row.cells[column].textContent.replace("\\u2212", "-").replaceAll(",", "");
    const number = parseFloat(text); return isNaN(number) ? text : number; };
  const up = th.dataset.up = th.dataset.up === "1" ? "0" : "1";
  const rows = [...body.rows].sort((a, b) => { const x = value(a), y = value(b);
    return (typeof x === typeof y ? (x > y) - (x < y) : typeof x === "number" ? -1 : 1) * (up === "1" ? 1 : -1); });
  body.append(...rows);
});
</script></body></html>
"""


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

    scenario, tag = results.scenarios[0], "benchmark/saving_percent"
    for curve in results.curves:
        log = writer(f"{curve.agent}-s{curve.seed}")
        for step, saving in zip(curve.steps, curve.saving_percent, strict=True):
            log.add_scalar(tag, float(saving), int(step))
        log.add_hparams(
            {"agent": curve.agent, "seed": curve.seed}, _metrics(results, curve.agent, curve.seed), run_name="."
        )
        log.close()
    last = max((int(c.steps[-1]) for c in results.curves), default=1)
    for name, saving in reference_savings(results, scenario).items():
        log = writer(name)
        for step in np.linspace(0, last, LINE_POINTS, dtype=np.int64).tolist():
            log.add_scalar(tag, saving, step)
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


SHORT = {  # columns of HEADINGS that fit into 80 columns of a terminal
    0: "agent",
    1: "runs",
    2: "cost\nmillion\nCNY",
    3: "score\n(IQM)\n%",
    4: "95 %\ninterval",
    8: "above\nbound\n%",
    10: "carbon\n\nt",
    11: "green\nshare\n%",
}


def short_table(results: Results, scenario: str) -> Table:
    """The table that scripts print."""
    table = Table(title=scenario, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for i, heading in SHORT.items():
        table.add_column(heading, justify="right" if i else "left", no_wrap=True)
    for row in table_rows(results, scenario):
        table.add_row(*(row[i] for i in SHORT))
    return table
