"""Turn files of the user's own into a world pack that any scenario can name as `world: PATH`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from greenhop.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from greenhop.importers.spec import ImportConfig
    from greenhop.world.pack import Manifest


def main(config: DictConfig) -> None:
    """Read, repair, write, say what was done."""
    from rich.console import Console

    from greenhop.importers.build import build_pack
    from greenhop_agents.base.progress import progress_bar

    given = _given(config)
    with progress_bar("importing", "file") as update:
        manifest = build_pack(given, Path(config.output), config.tables, update)
    console = Console()
    console.print(_table(manifest, str(config.output)))
    for source in manifest.sources:
        repairs = ", ".join(f"{name} {count}" for name, count in source["repairs"].items()) or "nothing to repair"
        said = "; ".join([repairs, *source["notes"]])
        console.print(f"{_files(source)}: {said}", soft_wrap=True, highlight=False, markup=False)
    console.print(f"use it: scenario.world={config.output}", soft_wrap=True, highlight=False)


def _given(config: DictConfig) -> ImportConfig:
    from greenhop.importers.spec import load_import, parse_import

    if config.spec is not None:
        if config.inputs:
            raise ConfigError("give spec or inputs, not both")
        return load_import(Path(config.spec))
    data = {key: OmegaConf.to_container(config[key], resolve=True) for key in ("inputs", "regions", "splits")}
    if not data["inputs"]:
        raise ConfigError("nothing to import; give spec=my_data.yaml (docs/data.md shows one)")
    return parse_import(data, "import_data")


def _files(source: dict[str, Any]) -> str:
    """A file, or the first and last of several."""
    names = source["file"]
    return str(names) if isinstance(names, str) else f"{names[0]} … {names[-1]}"


def _table(manifest: Manifest, title: str) -> Table:
    from rich.table import Table

    from greenhop.importers.build import weeks_by_split

    table = Table(title=f"world pack {title}; weeks of train/val/test", title_justify="left")
    for heading in ("series", "from (UTC)", "least", "mean", "most", "weeks"):
        table.add_column(heading, justify="left" if heading == "series" else "right", no_wrap=True)
    for name, info in manifest.arrays.items():
        weeks = weeks_by_split(info, manifest.regions[info.region], manifest.splits)
        numbers = (f"{x:.3g}" for x in (info.minimum, info.mean, info.maximum))
        start = f"{info.start_utc:%Y-%m-%d}"
        table.add_row(name, start, *numbers, "/".join(map(str, weeks.values())))
    return table
