"""Turn files of the user's own, or real weather, into a world pack that any scenario can name as `world: PATH`."""

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

    given = _given(config) if config.fetch is None else _fetched(config)
    with progress_bar("importing", "input") as update:
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
    data = _plain(config, "inputs", "regions", "splits")
    if not data["inputs"]:
        raise ConfigError("nothing to import; give spec=my_data.yaml or fetch=nasa_power (docs/data.md shows both)")
    return parse_import(data, "import_data")


def _fetched(config: DictConfig) -> ImportConfig:
    """Weather of every site of the scenario, and what the user's own files give in its place or beside it."""
    from pydantic import ValidationError

    from greenhop.importers.fetch import FetchConfig, fetch
    from greenhop.importers.spec import ImportConfig
    from greenhop.scenario.config import describe
    from greenhop_agents.base.cli import scenario_of
    from greenhop_agents.base.progress import progress_bar

    own = _given(config) if config.spec is not None or config.inputs else None
    try:
        wanted = FetchConfig.model_validate(_plain(config, *FetchConfig.model_fields))
        rest = _plain(config, "regions", "splits") if own is None else {"regions": own.regions, "splits": own.splits}
        with progress_bar("fetching", "file") as update:
            inputs = fetch(wanted, scenario_of(config), Path(config.output), update)
        mine = [] if own is None else own.inputs
        given = {(i.region, i.quantity) for i in mine}
        kept = [i for i in inputs if (i.region, i.quantity) not in given]
        return ImportConfig(inputs=[*mine, *kept], **rest)
    except ValidationError as error:
        raise ConfigError(describe(error, "import_data")) from None


def _plain(config: DictConfig, *keys: str) -> dict[str, Any]:
    """Some keys of the configuration as plain data."""
    whole = OmegaConf.to_container(config, resolve=True)
    assert isinstance(whole, dict)
    return {key: whole[key] for key in keys}


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
