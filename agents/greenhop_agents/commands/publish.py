"""Put the best policy of a run on the shelf of published policies, with a model card that says what it reached."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from greenhop.errors import ConfigError


def main(config: DictConfig) -> None:
    """Copy weights, write the card, say where."""
    from rich.console import Console

    from greenhop_agents.shelf.pretrained import PREFIX, publish

    if not OmegaConf.is_list(config.others):
        raise ConfigError(f"others = {config.others!r} must be a list of run folders")
    others = [Path(str(other)) for other in config.others]
    path = publish(Path(str(config.run)), str(config.name), others, Path(config.folder) if config.folder else None)
    size = path.stat().st_size / 1024
    Console().print(f"policy={PREFIX}{path.stem}: {path} ({size:.0f} KiB) and its model card", soft_wrap=True)
