"""Write a trained policy as ONNX or TorchScript, with a card of what goes in and out.

The file decides as the policy does, to 1e-5, which is checked before it is written.
"""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from greenhop_agents.base.cli import pick_device, scenario_of


def main(config: DictConfig) -> None:
    """Load, export, say where."""
    from rich.console import Console

    from greenhop.episode.simulator import build_simulator
    from greenhop_agents.shelf.export import SUFFIXES, check, export
    from greenhop_agents.shelf.find import find_policy

    suffix = SUFFIXES.get(config.format, "")
    path = Path(config.output or f"{Path(config.policy).name}{suffix}")
    check(path, config.format)
    sim = build_simulator(scenario_of(config), "test", device=pick_device(config.device))
    card = export(find_policy(config.policy, sim), sim, path, config.format)
    size, apart = path.stat().st_size / 1024, card["largest_difference"]
    told = (
        f"{path} ({size:.0f} KiB) decides as the policy to {apart:.1g}; {path.with_suffix('.json')} says what goes in"
    )
    Console().print(told, soft_wrap=True, highlight=False)
