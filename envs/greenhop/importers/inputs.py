"""What one file of an import is and which quantity it gives."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from greenhop.importers.jobs import JobsConfig
from greenhop.importers.pv import PvConfig
from greenhop.importers.registry import JOBS, NAMES
from greenhop.importers.turbine import WindConfig
from greenhop.world.pack import check_quantity

PERIODS_H = {"hour": 1, "day": 24, "week": 168}
ARRIVALS = "arrivals"  # of all classes of a job trace


class InputConfig(BaseModel):
    """One file, or several that follow each other, and the quantity it gives one region.

    `source` and `licence` go into the manifest as they are. `repeat` makes a profile of a record that is too short to
    give every split weeks of its own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    layout: str
    """How the file is laid out: a name of `docs/data.md`."""
    path: Annotated[tuple[Path, ...], BeforeValidator(lambda x: x if isinstance(x, list | tuple) else [x])]
    """The file, or a list of files that follow each other; relative to the folder of the YAML file that names it."""
    region: Annotated[str, Field(min_length=1, pattern=r"^[^/]+$")]
    """Site of the scenario that the series belongs to."""
    quantity: str
    """What the file gives: a quantity of `docs/data.md`, or `arrivals` of a job trace."""
    source: str = ""
    """Where the file comes from; kept in the manifest."""
    licence: str = ""
    """On what terms it may be used; kept in the manifest."""
    max_gap_h: Annotated[int, Field(ge=0, le=24)] = 3
    """Longest gap that is bridged by interpolation, h; a longer one is an error."""
    repeat: Literal["hour", "day", "week"] | None = None
    """Make the record a profile of this period and repeat it: for records too short to give every split weeks."""
    capacity_mw: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Capacity of the plant whose generation the file holds, MW; needed to make shares of it."""
    lat_deg: Annotated[float, Field(ge=-90, le=90)] | None = None
    """Latitude of the plant, degrees north; null: what the file says."""
    lon_deg: Annotated[float, Field(ge=-180, le=180)] | None = None
    """Longitude of the plant, degrees east; null: what the file says."""
    pv: PvConfig = PvConfig()
    """The solar plant that weather is turned into."""
    wind: WindConfig = WindConfig()
    """The wind farm that weather is turned into."""
    jobs: JobsConfig | None = None
    """How a job trace becomes arriving work."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the layout, below."""

    @model_validator(mode="after")
    def _known(self) -> InputConfig:
        if self.layout not in NAMES:
            raise ValueError(f"unknown layout {self.layout!r}; allowed: {', '.join(NAMES)}")
        if not self.path:
            raise ValueError("path names no file")
        if self.layout in JOBS:
            if len(self.path) > 1:
                raise ValueError("a job trace is one file")
            if self.quantity != ARRIVALS or self.jobs is None:
                raise ValueError(
                    f"layout {self.layout} gives quantity {ARRIVALS!r} and needs jobs: mean_loading, classes"
                )
        elif self.quantity == ARRIVALS:
            raise ValueError(f"quantity {ARRIVALS!r} comes from a job trace; layouts: {', '.join(JOBS)}")
        else:
            check_quantity(self.quantity)
        return self
