"""The numbers of a benchmark as tables: one line per agent, the bound last, and one line per setting."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.table import Table

from greenhop_agents.benchmark.jobs import BOUND, REFERENCE
from greenhop_agents.benchmark.results import SCENARIO, Results
from greenhop_agents.scoring.scoreboard import CNY_PER_MCNY, KG_PER_T
from greenhop_agents.scoring.stats import Interval, improvement_interval, interval, mean, median, optimality_gap

NONE = "–"


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
    """The numbers of one agent; None where no run finished all episodes. Bootstrapped once, however often asked."""
    key = (agent, scenario)
    if key not in results.memo:
        results.memo[key] = _line(results, agent, scenario)
    found: Line | None = results.memo[key]
    return found


def _line(results: Results, agent: str, scenario: str) -> Line | None:
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
        text = f"By the interquartile mean of the score no agent passes {REFERENCE}, the rule that marks 0 %."
        cheaper = [line.agent for line in lines if line.mean_score > 0]
        if cheaper:
            text += f" In the mean {' and '.join(cheaper)} {'is' if len(cheaper) == 1 else 'are'} above it."
    learned = [line for line in lines if any(c.agent == line.agent for c in results.curves) and line.score]
    if learned and best not in learned:
        first = max(learned, key=lambda line: line.score.value if line.score else -math.inf)
        assert first.score is not None
        text += f" The best learned agent is {first.agent} with {_number(first.score.value, 1)} %."
    return text


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
        "training": "; ".join(
            f"{agent} {t['steps']:,} steps in {t['wall_s'] / 60:,.0f} min a run"
            for agent, t in f.get("training", {}).items()
        ),
        "not tested": "; ".join(
            f"{agent} in {', '.join(labels)} (other numbers of hubs, links or units than it was trained on)"
            for agent, labels in f.get("cannot_act", {}).items()
        ),
        "versions": f"Python {f.get('python', '')}, {packages}",
    }
    return [(name, value) for name, value in entries.items() if value]


def settings_rows(results: Results) -> list[list[str]]:
    """The score of every agent in every setting: a heading, then one row per setting."""
    rows = [["setting", *results.agents]]
    for setting in results.scenarios:
        lines = [line_of(results, agent, setting) for agent in results.agents]
        rows.append([setting, *(_score(line) for line in lines)])
    return rows


def _score(line: Line | None) -> str:
    if line is None or line.score is None:
        return NONE
    s = line.score
    return f"{_number(s.value, 1)} ({_number(s.low, 1)} … {_number(s.high, 1)})"


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


def short_settings(results: Results) -> Table:
    """The score of every agent in every setting, without intervals, for a terminal."""
    head, *rows = settings_rows(results)
    table = Table(title="score (IQM), %", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for i, heading in enumerate(head):
        table.add_column(
            heading.replace("_", "_\n", 1) if i else heading, justify="right" if i else "left", no_wrap=True
        )
    for label, *scores in rows:
        table.add_row(label, *(score.partition(" (")[0] for score in scores))
    return table
