"""What an import is told: inputs, clocks of regions, splits. And reading one input to its tidy series."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from greenhop.errors import ConfigError
from greenhop.importers.hourly import Hourly, added, joined, repeated, to_hourly
from greenhop.importers.inputs import PERIODS_H, InputConfig
from greenhop.importers.jobs import arrivals
from greenhop.importers.plausible import check_plausible
from greenhop.importers.quantities import check_range, quantity_of
from greenhop.importers.registry import JOBS, SERIES
from greenhop.importers.samples import Spot
from greenhop.scenario.config import describe
from greenhop.scenario.plain_yaml import load_yaml
from greenhop.world.pack import UNITS, RegionClock, SplitPlan


class ImportConfig(BaseModel):
    """A whole import."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    inputs: Annotated[list[InputConfig], Field(min_length=1)]
    """Files, one entry for each quantity of each region."""
    regions: dict[str, RegionClock] = Field(default_factory=dict)
    """Site → its clock, where that is not UTC+8."""
    splits: SplitPlan = SplitPlan()
    """Which weeks belong to which split."""

    @model_validator(mode="after")
    def _regions_exist(self) -> ImportConfig:
        known = {i.region for i in self.inputs}
        for name in self.regions:
            if name not in known:
                raise ValueError(f"regions: {name!r} has no input; inputs are of {', '.join(sorted(known))}")
        return self


def parse_import(data: Mapping[str, Any], where: str) -> ImportConfig:
    """Check a mapping; the first problem becomes a one-line `ConfigError`."""
    try:
        return ImportConfig.model_validate(data)
    except ValidationError as error:
        raise ConfigError(describe(error, where)) from None


def load_import(path: Path) -> ImportConfig:
    """Read a YAML file; paths of inputs are relative to its folder."""
    data = load_yaml(path)
    if not isinstance(data, dict):
        raise ConfigError(f"spec = {str(path)!r}: expected inputs: …")
    config = parse_import({str(k): v for k, v in data.items()}, str(path))
    inputs = [i.model_copy(update={"path": tuple(path.parent / p for p in i.path)}) for i in config.inputs]
    return config.model_copy(update={"inputs": inputs})


def read_input(config: InputConfig) -> Hourly:
    """Read one input to hourly series by quantity (several for the classes of a job trace).

    Raises:
        ConfigError: options or quantity do not fit the file.
        DataError: the file cannot be read as its layout.
    """
    try:
        if config.layout in JOBS:
            return _read_jobs(config)
        files = [_read_once(path, config) for path in config.path]
    except ValidationError as error:
        raise ConfigError(describe(error, f"options of layout {config.layout} for {config.path[0]}")) from None
    hourly = files[0] if len(files) == 1 else joined(files, config.max_gap_h)
    if config.repeat is not None:
        hourly = repeated(hourly, PERIODS_H[config.repeat])
    lat, lon = config.lat_deg, config.lon_deg
    if lat is not None and lon is not None:
        hourly = replace(hourly, spot=Spot(lat, lon, hourly.spot.altitude_m))
    return quantity_of(hourly, config)


def _read_once(path: Path, config: InputConfig) -> Hourly:
    """A file may give several quantities: what does not depend on them is kept from the time before."""
    try:
        stamp = (path.stat().st_mtime_ns, path.stat().st_size)
    except OSError as error:
        raise ConfigError(f"path = {str(path)!r}: {error.strerror}") from None
    options = json.dumps(config.options, sort_keys=True, default=str)
    made = _read_file(path, stamp, config.layout, options, config.max_gap_h, config.capacity_mw)
    return replace(made, repairs=made.repairs.copy())


@lru_cache(maxsize=64)
def _read_file(
    path: Path, stamp: tuple[int, int], layout: str, options: str, max_gap_h: int, capacity_mw: float | None
) -> Hourly:
    raw = SERIES[layout].run(path, json.loads(options))
    parts = raw if isinstance(raw, tuple) else (raw,)
    for part in parts:
        check_plausible(part, capacity_mw)
    made = [to_hourly(part, max_gap_h) for part in parts]
    return made[0] if len(made) == 1 else added(made)


def _read_jobs(config: InputConfig) -> Hourly:
    assert config.jobs is not None  # the model checks it
    period_h = None if config.repeat is None else PERIODS_H[config.repeat]
    made = arrivals(JOBS[config.layout].run(config.path[0], config.options), config.jobs, period_h)
    for name, values in made.values.items():
        check_range(values, made, name)
    return made


def source_record(config: InputConfig, made: Hourly) -> dict[str, Any]:
    """What the manifest says about an input: enough to repeat it and to judge it."""
    given = config.model_dump(mode="json", exclude_defaults=True, exclude={"path"})
    names = [path.name for path in config.path]
    sums = [hashlib.sha256(path.read_bytes()).hexdigest() for path in config.path]
    return {
        **given,
        "file": names[0] if len(names) == 1 else names,
        "file_sha256": sums[0] if len(sums) == 1 else sums,
        "source": config.source,
        "licence": config.licence,
        "units": {name: UNITS.get(name, "MWh of work per MW of IT capacity") for name in made.values},
        "repairs": dict(sorted(made.repairs.items())),
        "notes": list(made.notes),
    }
