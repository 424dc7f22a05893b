"""Draw the year profile, duration curves, wind correlation and forecast errors of a scenario's world."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from greenhop_agents.base.cli import scenario_of, write_json


def main(config: DictConfig) -> None:
    """Draw, then say where."""
    from rich.console import Console

    from greenhop_agents.report.calibration_figures import draw_all

    scenario = scenario_of(config)
    at_spot = {name: site.model_copy(update={"tariff_mode": "spot"}) for name, site in scenario.sites.items()}
    folder = Path(config.output)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [str(p) for p in draw_all(scenario, scenario.model_copy(update={"sites": at_spot}), folder)]
    Console().print("\n".join(paths), soft_wrap=True)
    write_json(config.json, paths)
