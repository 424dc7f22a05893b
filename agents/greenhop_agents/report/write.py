"""What people look at, in one folder: `table.md`, `report.html` and `replay.html`, figures, and TensorBoard files.

`publish` copies what is small and worth keeping into another folder, such as one under version control.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from greenhop.errors import ConfigError
from greenhop.files import write_text
from greenhop.scenario.config import parse_scenario
from greenhop_agents.benchmark.results import Results, write_results
from greenhop_agents.report.draw import draw_all
from greenhop_agents.report.page import REPLAY, caption, page
from greenhop_agents.report.replay import replay_page
from greenhop_agents.report.tables import HEADINGS, SCORE_NOTE, sentence, settings_rows, table_rows, told
from greenhop_agents.report.tensorboard import write_tensorboard

PUBLISHED = ("results.csv", "table.md", "facts.json")  # beside figures/*.png


def write_report(results: Results, root: Path) -> None:
    """Everything in one folder: tables, figures, page, TensorBoard."""
    write_results(results, root)
    figures = draw_all(results, root / "figures")
    write_text(root / "table.md", markdown(results, figures))
    if results.weeks:
        write_text(root / REPLAY, replay_page(parse_scenario(results.setting), results.weeks))
    write_text(root / "report.html", page(results, figures))
    write_tensorboard(results, root)


def publish(root: Path, folder: Path) -> None:
    """Copy `PUBLISHED` and the figures as PNG from a report at `root`; figures of an earlier one go.

    Raises:
        ConfigError: `folder` cannot be written.
    """
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        for old in (folder / "figures").glob("*.png"):
            old.unlink()
        for path in [root / name for name in PUBLISHED] + sorted((root / "figures").glob("*.png")):
            shutil.copyfile(path, folder / path.relative_to(root))
    except OSError as error:
        raise ConfigError(f"publish = {str(folder)!r} cannot be written: {error.strerror}") from None


def markdown(results: Results, figures: Iterable[str] = ()) -> str:
    """`table.md`, with the pictures `figures` of the folder beside it."""
    parts = [f"# {results.facts.get('title', 'Benchmark')}\n"]
    if len(results.scenarios) > 1:
        head, *rows = settings_rows(results)
        parts += ["## Score in every setting (IQM, 95 % interval)\n", *_table(head, rows), ""]
    for scenario in results.scenarios:
        parts += [f"## {scenario}\n", f"{sentence(results, scenario)}\n"]
        parts += [*_table(HEADINGS, table_rows(results, scenario)), ""]
    parts += [f"{SCORE_NOTE}\n", *(f"- {name}: {value}" for name, value in told(results)), ""]
    if results.failures:
        parts += ["## Failed jobs\n", *(f"- `{d.job.kind} {d.job.label}`: {d.error}" for d in results.failures), ""]
    for name in figures:
        heading, text = caption(name)
        parts += [f"## {heading}\n", f"![{heading}](figures/{name}.png)\n", f"{text}\n"]
    return "\n".join(parts)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    return [lines[0], "|---|" + "---:|" * (len(head) - 1), *lines[1:]]
