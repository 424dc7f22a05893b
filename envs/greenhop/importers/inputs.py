"""What one file of an import is and which quantity it gives."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from greenhop.importers.jobs import JobsConfig
from greenhop.importers.pv import PvConfig
from greenhop.importers.registry import JOBS, NAMES
from greenhop.importers.turbine import WindConfig
from greenhop.world.pack import check_quantity

ARRIVALS = "arrivals"  # of all classes of a job trace


class InputConfig(BaseModel):
    """One file and the quantity it gives one region. `source` and `licence` go into the manifest as they are."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    layout: str
    """How the file is laid out: a name of `docs/data.md`."""
    path: Path
    """The file; relative to the folder of the YAML file that names it."""
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
        if self.layout in JOBS:
            if self.quantity != ARRIVALS or self.jobs is None:
                raise ValueError(
                    f"layout {self.layout} gives quantity {ARRIVALS!r} and needs jobs: mean_loading, classes"
                )
        elif self.quantity == ARRIVALS:
            raise ValueError(f"quantity {ARRIVALS!r} comes from a job trace; layouts: {', '.join(JOBS)}")
        else:
            check_quantity(self.quantity)
        return self
