"""How many steps a CPU-second beside environments of other projects, in turn on one thread."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from greenhop_agents.base.cli import write_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from greenhop_agents.studies.peers import Compared


def main(config: DictConfig) -> None:
    """Make and step all in turn, print; JSON last."""
    import torch
    from rich.console import Console

    from greenhop_agents.base.hardware import hardware
    from greenhop_agents.base.overrides import own_hydra
    from greenhop_agents.studies.peers import compare
    from greenhop_agents.studies.turns import check_asked

    check_asked(config.ids, config.batches)
    torch.set_num_threads(1)
    with own_hydra():
        found, absent = compare(config.ids, config.batches, config.seconds, config.repetitions)
    console = Console(width=110)
    console.print(_table(found, f"{hardware()}, steps a CPU-second"))
    for peer in absent:
        console.print(f"not installed: {peer.name} ({peer.install})", soft_wrap=True)
    write_json(config.json, [asdict(row) for row in found])


def _table(found: Sequence[Compared], title: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    batches = sorted({row.num_envs for row in found})
    rates = {(row.environment, row.num_envs): row.steps_per_s for row in found}
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for heading in ("environment", "observed", "decided", *(f"batch {n:,}" for n in batches), "decided a µs"):
        table.add_column(heading, justify="left" if heading == "environment" else "right")
    for name, observed, decided in dict.fromkeys((row.environment, row.observed, row.decided) for row in found):
        own = [rates.get((name, n)) for n in batches]
        best = max(rate for rate in own if rate)
        shown = ["–" if rate is None else f"{rate:,.0f}" for rate in own]
        table.add_row(name, str(observed), str(decided), *shown, f"{best * decided / 1e6:.3g}")
    return table
