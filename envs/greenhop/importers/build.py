"""From an import to a world pack."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import greenhop
from greenhop.errors import ConfigError
from greenhop.importers.hourly import Hourly
from greenhop.importers.inputs import InputConfig
from greenhop.importers.spec import ImportConfig, read_input, source_record
from greenhop.scenario.config import SPLITS
from greenhop.world.given import complete_weeks, split_of
from greenhop.world.pack import Manifest, RegionClock, SeriesInfo, SplitPlan, info_of, save_pack

Progress = Callable[[int, int], None]


def build_pack(config: ImportConfig, output: Path, tables: bool = False, progress: Progress | None = None) -> Manifest:
    """Read every input, check that each split gets weeks of each series, write the pack.

    Args:
        config: inputs, clocks of regions, splits.
        output: folder of the pack.
        tables: write the tidy tables too, as `tables/<region>.<quantity>.csv`.
        progress: called with (done, total) after every input.

    Raises:
        ConfigError: options or a quantity that do not fit a file, or a split without weeks.
        DataError: a file that cannot be read as its layout.
    """
    arrays: dict[str, NDArray[np.float32]] = {}
    infos: dict[str, SeriesInfo] = {}
    regions = {i.region: config.regions.get(i.region, RegionClock()) for i in config.inputs}
    sources: list[dict[str, Any]] = []
    frames: list[tuple[Hourly, InputConfig]] = []
    for i, entry in enumerate(config.inputs):
        made = read_input(entry)
        sources.append(source_record(entry, made))
        for quantity, values in made.values.items():
            name = f"{entry.region}/{quantity}"
            if name in arrays:
                raise ConfigError(f"inputs.{i}: {name} is given twice")
            arrays[name] = values.astype(np.float32)
            infos[name] = info_of(arrays[name], entry.region, quantity, made.first_hour, i)
            _check_splits(infos[name], regions[entry.region], config.splits)
        frames.append((made, entry))
        if progress:
            progress(i + 1, len(config.inputs))
    rest = {"splits": config.splits, "regions": regions, "arrays": infos, "sources": sources}
    manifest = save_pack(output, arrays, created_with=f"greenhop {greenhop.__version__}", **rest)
    for made, entry in frames if tables else []:
        _write_tables(made, entry.region, output / "tables")
    return manifest


def weeks_by_split(info: SeriesInfo, clock: RegionClock, plan: SplitPlan) -> dict[str, int]:
    """How many complete weeks of a series each split owns."""
    _, weeks = complete_weeks(info, clock.shift_h)
    owner = split_of(weeks, plan)
    return {split: int((owner == split).sum()) for split in SPLITS}


def _check_splits(info: SeriesInfo, clock: RegionClock, plan: SplitPlan) -> None:
    for split, count in weeks_by_split(info, clock, plan).items():
        if not count:
            raise ConfigError(
                f"splits: {split!r} owns no complete week (Monday to Sunday, UTC+8) of {info.region}/{info.quantity}, "
                f"{info.hours} h from {info.start_utc:%Y-%m-%d}; three splits need three whole weeks at least: "
                "bring more data, another split pattern, or make a profile of it with repeat: week (or day, hour)"
            )


def _write_tables(made: Hourly, region: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for quantity in made.values:
        made.table(quantity, region).to_csv(folder / f"{region}.{quantity}.csv", index=False)
