"""How many environment steps a second, by the way in which an environment was made: by id, batched, through SB3."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from greenhop_agents.base.cli import write_json

if TYPE_CHECKING:
    from greenhop_agents.studies.make_ways import Made


def main(config: DictConfig) -> None:
    """Make and step every way in turn, print; JSON last."""
    import torch
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from greenhop_agents.base.hardware import hardware
    from greenhop_agents.base.overrides import own_hydra
    from greenhop_agents.studies.make_ways import measured, ways
    from greenhop_agents.studies.turns import check_asked

    check_asked(config.ids, config.batches)
    torch.set_num_threads(1)
    found: list[Made] = []
    with own_hydra():
        for env_id in config.ids:
            given = ways(env_id, config.batches, {"split": config.split, "year_ids": [0]})
            found += measured(env_id, given, config.seconds, config.repetitions)
    table = Table(title=f"{hardware()}, one thread", title_justify="left", box=SIMPLE_HEAD)
    for heading in ("id", "made by", "environments", "set-up, s", "steps/s"):
        table.add_column(heading, justify="left" if heading in ("id", "made by") else "right")
    for m in found:
        table.add_row(m.env_id, m.way, str(m.num_envs), f"{m.setup_s:.1f}", f"{m.env_steps_per_s:,.0f}")
    Console(width=120).print(table)
    write_json(config.json, [asdict(m) for m in found])
