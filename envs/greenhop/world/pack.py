"""World packs: series of the user's own that replace generated ones. A folder with `pack.npz` and `pack.json`.

`pack.npz` holds one float32 array per series, hourly, without gaps. `pack.json` says what each array is, where it came
from, what was repaired and which weeks belong to which split; it carries the SHA-256 of the arrays and is checked
against a strict schema. Nothing in a pack is executed, and a pack that does not match its manifest is not read.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from greenhop.arrays import Floats32
from greenhop.errors import ConfigError, DataError
from greenhop.files import sweep, write_bytes, write_text
from greenhop.scenario.config import SPLITS, Split, describe

FORMAT: Final = "greenhop-world-pack"
VERSION: Final = 1
ARRAYS, MANIFEST = "pack.npz", "pack.json"
WAITING = ".coming"  # ending of a manifest whose arrays are not in place yet
MOST_HOURS = 100 * 8784  # of one series; more is no weather record but an attack
HEADER_BYTES = 1024  # of an array inside the archive, at most
HOUR_S = 3600

# what a pack may hold: the part of the name after the last noun is the unit
UNITS = {
    "pv_cf": "share of capacity",
    "wind_cf": "share of capacity",
    "hydro_cf": "share of capacity",
    "temperature_c": "°C",
    "price_cny_per_mwh": "CNY/MWh",
    "carbon_kg_per_mwh": "kg CO₂e/MWh",
    "demand_shape": "relative to the mean",
}
ARRIVALS = re.compile(r"arrivals_(\w+)_mwh_per_mw")  # work of one class arriving in an hour, per MW of IT capacity
LIMITS = {  # nothing real lies outside
    "temperature_c": (-90.0, 60.0),
    "price_cny_per_mwh": (-1e5, 1e5),
    "carbon_kg_per_mwh": (0.0, 3000.0),
    "demand_shape": (0.0, 1000.0),
}


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class SplitPlan(_Model):
    """Which weeks (Monday to Sunday on the UTC+8 clock) belong to which split: a rule of the date alone.

    `weeks`: week w of a year takes entry `w mod length` of the pattern. `months`: the month of the week's Thursday
    takes one of twelve entries. `years`: the year of the Thursday is looked up in `years`; other years are unused.
    """

    by: Literal["weeks", "months", "years"] = "weeks"
    """Whether weeks, months or years are dealt out to the splits."""
    pattern: tuple[Split, ...] = ("train", "train", "val", "train", "train", "test")
    """Splits in turn: of week after week, or of the twelve months."""
    years: dict[int, Split] = Field(default_factory=dict)
    """Year → split, for `by: years`."""

    @model_validator(mode="after")
    def _complete(self) -> SplitPlan:
        if self.by == "months" and len(self.pattern) != 12:
            raise ValueError(f"pattern has {len(self.pattern)} entries; by = months needs 12")
        if self.by == "years" and not self.years:
            raise ValueError("by = years needs years: {2022: train, …}")
        given = set(self.years.values() if self.by == "years" else self.pattern)
        if missing := [s for s in SPLITS if s not in given]:
            raise ValueError(f"no {self.by} are given to split {missing[0]!r}")
        return self


class RegionClock(_Model):
    """`shift_h` hours are added to UTC+8 before a region's series are placed on the simulator's clock."""

    shift_h: Annotated[int, Field(ge=-23, le=23)] = 0
    """Hours added to UTC+8 before the region's series are placed on the simulator's clock, h."""


class SeriesInfo(_Model):
    """One array of a pack."""

    region: str
    """Site that the series belongs to."""
    quantity: str
    """What it is: a quantity of `docs/data.md`."""
    unit: str
    """Unit of its numbers."""
    start_utc: datetime
    """First hour, UTC."""
    hours: Annotated[int, Field(ge=1, le=MOST_HOURS)]
    """How many hours it holds, h."""
    minimum: float
    """Least number."""
    mean: float
    """Mean number."""
    maximum: float
    """Largest number."""
    source: Annotated[int, Field(ge=0)]
    """Position of its source in `sources`."""

    @model_validator(mode="after")
    def _known(self) -> SeriesInfo:
        check_quantity(self.quantity)
        if self.start_utc.tzinfo is None or self.start_utc.timestamp() % HOUR_S:
            raise ValueError(f"start_utc = {self.start_utc} must be a whole hour with a zone")
        return self

    @property
    def first_hour(self) -> int:
        """Hours since 1970 in UTC."""
        return int(self.start_utc.timestamp()) // HOUR_S


class Manifest(_Model):
    """The contents of `pack.json`."""

    format: Literal["greenhop-world-pack"] = FORMAT
    """Says that this is a world pack."""
    version: Literal[1] = VERSION
    """Version of the layout."""
    created_with: str
    """Greenhop that wrote it."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Digest of `pack.npz`."""
    splits: SplitPlan
    """Which weeks belong to which split."""
    regions: dict[str, RegionClock]
    """Site → its clock."""
    arrays: Annotated[dict[str, SeriesInfo], Field(min_length=1)]
    """What stands in `pack.npz`, by name."""
    sources: list[dict[str, Any]]
    """Files it was made of, with licences, repairs and assumptions."""

    @model_validator(mode="after")
    def _names_agree(self) -> Manifest:
        for name, info in self.arrays.items():
            if name != f"{info.region}/{info.quantity}":
                raise ValueError(f"arrays.{name}: is called {info.region}/{info.quantity} inside")
            if info.region not in self.regions:
                raise ValueError(f"regions: {info.region!r} is missing")
            if info.source >= len(self.sources):
                raise ValueError(f"arrays.{name}.source = {info.source}: there are {len(self.sources)} sources")
        return self


@dataclass(frozen=True)
class Pack:
    """A checked pack in memory."""

    manifest: Manifest
    arrays: Mapping[str, Floats32]

    def of(self, region: str) -> dict[str, SeriesInfo]:
        """The series of one region by quantity."""
        return {i.quantity: i for i in self.manifest.arrays.values() if i.region == region}


def check_quantity(name: str) -> None:
    """A pack holds only quantities the world knows how to use."""
    if name not in UNITS and not ARRIVALS.fullmatch(name):
        raise ValueError(f"unknown quantity {name!r}; allowed: {', '.join(UNITS)}, arrivals_<class>_mwh_per_mw")


def limits(quantity: str) -> tuple[float, float]:
    """Least and largest value of a quantity."""
    if ARRIVALS.fullmatch(quantity):
        return 0.0, 1000.0
    return LIMITS.get(quantity, (0.0, 1.0))


def info_of(values: Floats32, region: str, quantity: str, first_hour: int, source: int) -> SeriesInfo:
    """The manifest's entry for an array whose first value belongs to hour `first_hour` since 1970 in UTC."""
    return SeriesInfo(
        region=region,
        quantity=quantity,
        unit=UNITS.get(quantity, "MWh of work per MW of IT capacity"),
        start_utc=datetime.fromtimestamp(first_hour * HOUR_S, UTC),
        hours=len(values),
        minimum=float(values.min()),
        mean=float(values.mean(dtype=np.float64)),
        maximum=float(values.max()),
        source=source,
    )


def save_pack(folder: Path, series: Mapping[str, Floats32], **rest: Any) -> Manifest:
    """Write both files, so that whenever this ends there is all of the new pack or all of the old one.

    The new manifest is there, under a name that tells which arrays it belongs to, before the new arrays take the place
    of the old ones; until it takes its own place `load_pack` finds it under that name. `rest` are the other fields of
    `Manifest`.

    Raises:
        ConfigError: the folder cannot be written.
        DataError: an array that `load_pack` would refuse.
    """
    arrays = {name: np.asarray(x, dtype=np.float32) for name, x in series.items()}
    buffer = BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    data = buffer.getvalue()
    manifest = Manifest(sha256=hashlib.sha256(data).hexdigest(), **rest)
    for name, info in manifest.arrays.items():
        _check_array(arrays[name], info, f"{folder}: array {name}")
    text = json.dumps(manifest.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    coming = _coming(folder, manifest.sha256)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(coming, text)
        write_bytes(folder / ARRAYS, data)
        coming.replace(folder / MANIFEST)
        for left in folder.glob(f".{MANIFEST}.*{WAITING}"):  # by imports that were killed
            left.unlink(missing_ok=True)
        sweep(folder)
    except OSError as error:
        raise ConfigError(f"output = {str(folder)!r}: {error.strerror}") from None
    return manifest


def _coming(folder: Path, sha256: str) -> Path:
    """Where the manifest of arrays with this checksum waits to become the pack's."""
    return folder / f".{MANIFEST}.{sha256[:16]}{WAITING}"


def load_pack(path: str | Path) -> Pack:
    """Read and check a pack, given its folder or its `pack.json`.

    Raises:
        ConfigError: there is no pack at `path`.
        DataError: the files are damaged, do not belong together or are of another version.
    """
    folder = Path(path).parent if str(path).endswith(MANIFEST) else Path(path)
    files = [folder / ARRAYS, folder / MANIFEST]
    try:
        stamps = tuple((f.stat().st_mtime_ns, f.stat().st_size) for f in files)
    except OSError:
        raise ConfigError(
            f"world = {str(path)!r}: no folder with {ARRAYS} and {MANIFEST}; greenhop import makes one"
        ) from None
    return _load(str(folder.resolve()), stamps)


@lru_cache(maxsize=8)
def _load(folder: str, stamps: tuple[tuple[int, int], ...]) -> Pack:
    where = Path(folder) / MANIFEST
    try:
        data = (where.parent / ARRAYS).read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        coming = _coming(where.parent, sha256)  # of an import that was killed just before it was done
        manifest = Manifest.model_validate_json((coming if coming.is_file() else where).read_bytes())
    except ValidationError as error:
        raise DataError(describe(error, str(where))) from None
    except OSError as error:
        raise DataError(f"{where}: {error.strerror}") from None
    if sha256 != manifest.sha256:
        raise DataError(f"{where.parent / ARRAYS}: checksum differs from the one in {MANIFEST}; import the data again")
    return Pack(manifest, _arrays(data, manifest, where.parent / ARRAYS))


def _arrays(data: bytes, manifest: Manifest, where: Path) -> dict[str, Floats32]:
    """Unpack and check every array; sizes are compared before anything is decompressed."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            sizes = {i.filename.removesuffix(".npy"): i.file_size for i in archive.infolist()}
        if set(sizes) != set(manifest.arrays):
            raise DataError(f"{where}: holds other arrays than {MANIFEST} lists")
        for name, info in manifest.arrays.items():
            if sizes[name] > 4 * info.hours + HEADER_BYTES:
                raise DataError(f"{where}: array {name} is larger than {info.hours} hours")
        with np.load(BytesIO(data), allow_pickle=False) as stored:
            found = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{where}: not a readable archive of plain arrays ({type(error).__name__})") from None
    for name, info in manifest.arrays.items():
        _check_array(found[name], info, f"{where}: array {name}")
        found[name].flags.writeable = False
    return found


def _check_array(values: NDArray[Any], info: SeriesInfo, where: str) -> None:
    if values.dtype != np.float32 or values.shape != (info.hours,):
        raise DataError(f"{where}: is {values.dtype} {values.shape}, expected float32 ({info.hours},)")
    low, high = limits(info.quantity)
    bad = np.flatnonzero(~((values >= low) & (values <= high)))  # NaN compares false
    if len(bad):
        raise DataError(f"{where}, hour {bad[0]}: {values[bad[0]]:g} is outside {low:g}…{high:g}")
