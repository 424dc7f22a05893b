"""`report.html`: tables and figures in one file that fetches nothing."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from greenhop_agents.benchmark.jobs import BOUND
from greenhop_agents.benchmark.results import Results
from greenhop_agents.report.tables import HEADINGS, SCORE_NOTE, sentence, settings_rows, table_rows, told

REPLAY = "replay.html"  # beside the report
CAPTIONS = {
    "scores": (
        "Scores",
        "0 is what price following pays, 100 the certified bound. Bars: 95 % bootstrap intervals, runs and episodes.",
    ),
    "settings": (
        "Where agents have not been trained",
        "Scores against price following and the bound of each setting. Bars: 95 % bootstrap intervals.",
    ),
    "learning": (
        "Learning curves",
        "Validation episodes while training; the policy that does best on them is kept. Thin: runs; thick: their mean, "
        "with a dot at its end and a triangle where that lies below the picture; level lines: means over test weeks.",
    ),
    "breakdown": (
        "What the bill is made of",
        "Mean per held-out episode; negative parts are income. Demand: what is paid above the contract's floor.",
    ),
    "pareto": (
        "Cost against carbon",
        "One dot per run, mean over held-out episodes; dashed: what nothing beats in both. Far dearer agents are named "
        "in the corner.",
    ),
    "profile": ("Performance profiles", "Higher is better; the height at τ = 0 is how often price following was met."),
}
PREFIXES = {
    "week": ("Hour by hour: {}", "The first held-out episode, hub by hub."),
    "flows": (
        "Work on the move: {}",
        "First held-out episode; size: IT capacity, colour: green share; arrows of all maps share one scale.",
    ),
}


def caption(figure: str) -> tuple[str, str]:
    """Heading of a figure, and what it shows."""
    prefix, _, policy = figure.partition("-")
    heading, text = CAPTIONS.get(figure) or PREFIXES[prefix]
    return heading.format(policy), text


def page(results: Results, figures: dict[str, Path]) -> str:
    """`report.html`: one file, nothing fetched; a button leads to the replay beside it."""
    title = escape(str(results.facts.get("title", "Benchmark")))
    first = results.scenarios[0] if results.scenarios else ""
    body = [f"<h1>{title}</h1>", f"<p class=lead>{escape(sentence(results, first))}</p>" if first else ""]
    if results.weeks:
        body.append(f'<p><a class=button href="{REPLAY}">Play the first held-out episode</a></p>')
    several = len(results.scenarios) > 1
    if several:
        head, *rows = settings_rows(results)
        body += ["<h2>Score in every setting (IQM, 95 % interval)</h2>", _html_table(head, rows)]
    for scenario in results.scenarios:
        body.append(f"<h2>{escape(scenario)}</h2>" if several else "<h2>Table</h2>")
        body.append(_html_table(HEADINGS, table_rows(results, scenario)))
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


def _html_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(h)}</th>" for h in headings)
    lines = [
        f"<tr{' class=bound' if r[0] == BOUND else ''}>" + "".join(f"<td>{escape(c)}</td>" for c in r) for r in rows
    ]
    return f"<div class=scroll><table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"


def _html_figure(name: str, path: Path) -> str:
    heading, shown = map(escape, caption(name))
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return (
        f"<figure id='{escape(name)}'><h2>{heading}</h2><img alt='{heading}' src='data:image/svg+xml;base64,{data}'>"
        f"<figcaption>{shown}</figcaption></figure>"
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
.button { display: inline-block; padding: 7px 16px; border-radius: 6px; background: #1f7a5d; color: #fff;
          font-weight: 600; text-decoration: none; }
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
