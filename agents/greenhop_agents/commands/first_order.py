"""Bounds of many episodes at once by the batched first-order method, beside HiGHS: iterations, time, certified gap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from greenhop_agents.base.cli import pick_device, scenario_of, write_json

if TYPE_CHECKING:
    from greenhop.lp.model import LinearProgram


def main(config: DictConfig) -> None:
    """Solve every batch to every tolerance; HiGHS solves each window once, alone."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from greenhop.episode.simulator import build_simulator
    from greenhop.lp.model import build
    from greenhop.lp.solve import solve
    from greenhop.lp.window import make_window
    from greenhop_agents.base.hardware import hardware
    from greenhop_agents.scoring.bounds import episode_window

    device = str(pick_device(config.device))
    sim = build_simulator(scenario_of(config), config.split)
    starts = sim.bank.spread(max(config.batches)).tolist()
    lps = [build(make_window(*episode_window(sim, start))) for start in starts]
    exact = [solve(lp) for lp in lps]
    optima = [lp.objective_cny(s.x) for lp, s in zip(lps, exact, strict=True)]
    highs = sum(s.seconds for s in exact) / len(exact)
    size = f"{lps[0].columns.size} columns, {lps[0].rows.size} rows; ipx {highs:.2f} s CPU time each"
    table = Table(title=f"{sim.scenario.name}: {size}", caption=hardware(), title_justify="left", box=SIMPLE_HEAD)
    headings = (
        "windows",
        "tolerance",
        "solved",
        "iterations\nmedian",
        "\nlargest",
        "CPU time\ns each",
        "certified gap\nlargest",
    )
    for heading in headings:
        table.add_column(heading, justify="right")
    records = []
    for batch in config.batches:
        for tolerance in config.tolerances:
            record = measured(lps[:batch], optima, tolerance, config.max_iterations, device)
            records.append(record)
            table.add_row(*(f"{x:.3g}" if isinstance(x, float) else str(x) for x in record.values()))
    Console().print(table)
    write_json(config.json, records)


def measured(
    lps: list[LinearProgram], optima: list[float], tolerance: float, max_iterations: int, device: str
) -> dict[str, Any]:
    """One batch solved once."""
    from statistics import median

    from greenhop.errors import SolverError
    from greenhop.lp.certificate import certify
    from greenhop.lp.first_order import FirstOrder, solve_many

    try:
        found = solve_many(lps, FirstOrder(tolerance=tolerance, max_iterations=max_iterations, device=device))
    except SolverError:
        return {"windows": len(lps), "tolerance": tolerance, "solved": "no"}
    gaps = [
        (best - certify(lp, s.y).lower_bound_cny) / abs(best) for lp, best, s in zip(lps, optima, found, strict=False)
    ]
    counts = [s.iterations for s in found]
    return {
        "windows": len(lps), "tolerance": tolerance, "solved": "yes", "iterations": round(median(counts)),
        "most": max(counts), "seconds_each": found[0].seconds / len(lps), "largest_gap": max(gaps),
    }  # fmt: skip
