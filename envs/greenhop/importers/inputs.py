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

    model_config = ConfigDict(extra="forbid", frozen=True)
    layout: str
    path: Path
    region: Annotated[str, Field(min_length=1, pattern=r"^[^/]+$")]
    quantity: str
    source: str = ""
    licence: str = ""
    max_gap_h: Annotated[int, Field(ge=0, le=24)] = 3
    capacity_mw: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    lat_deg: Annotated[float, Field(ge=-90, le=90)] | None = None
    lon_deg: Annotated[float, Field(ge=-180, le=180)] | None = None
    pv: PvConfig = PvConfig()
    wind: WindConfig = WindConfig()
    jobs: JobsConfig | None = None
    options: dict[str, Any] = Field(default_factory=dict)

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
