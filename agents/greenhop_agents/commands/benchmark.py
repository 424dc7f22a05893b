"""Compare agents on the same held-out episodes: statistics, table, figures and a page, in one folder.

Interrupted? The same command goes on where it stopped. A failed job is reported and stops no other one (exit code 1).
"""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from greenhop_agents.base.cli import typed_command

JOB_FAILED = 1


def main(config: DictConfig) -> None:
    """Plan, run, report."""
    from pathlib import Path
    from time import perf_counter

    from rich.console import Console

    from greenhop_agents.base.progress import progress_bar
    from greenhop_agents.benchmark.plan import make_plan, run_plan
    from greenhop_agents.benchmark.results import facts_of, gather
    from greenhop_agents.report.tables import sentence, short_settings, short_table
    from greenhop_agents.report.write import publish, write_report

    began = perf_counter()
    plan = make_plan(config)
    with progress_bar(f"benchmark {plan.benchmark.name}", "job") as update:
        collected = run_plan(plan, config, update)
    root = Path(config.output)
    facts = {
        "title": f"Greenhop benchmark {plan.benchmark.name}",
        **facts_of(typed_command(), perf_counter() - began, collected, root),
    }
    results = gather(collected, root, facts)
    write_report(results, root)
    if config.publish is not None:
        publish(root, Path(config.publish))
    console = Console()
    for scenario in results.scenarios[:1]:
        console.print(short_table(results, scenario))
        console.print(sentence(results, scenario))
    if len(results.scenarios) > 1:
        console.print(short_settings(results))
    console.print(
        f"\nreport: {root / 'report.html'}\ncurves: tensorboard --logdir {root / 'tensorboard'}", soft_wrap=True
    )
    for done in collected.failures:
        print(f"failed: {done.job.kind} {done.job.label}: {done.error}", file=sys.stderr)
    if collected.failures:
        raise SystemExit(JOB_FAILED)
