"""Output of wind farms from weather: speed brought to hub height by a shear law, then the farm curve of the world.

The shear over a site is an assumption: a power law (exponent 1/7 over open land) or a logarithmic law (roughness
length 0.03 m, grass). The recorded height nearest to the hub is used.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from greenhop.arrays import Array
from greenhop.errors import ConfigError
from greenhop.importers.hourly import Hourly
from greenhop.importers.open_meteo import HEIGHT_WIND
from greenhop.world.wind import SPEEDS, farm_curve


class WindConfig(BaseModel):
    """`speed_factor` corrects what is known to be too low or high at the place."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    hub_height_m: Annotated[float, Field(gt=1)] = 100.0
    """Height of the hub, m."""
    shear: Literal["power", "log"] = "power"
    """Law by which the wind grows with height."""
    exponent: Annotated[float, Field(ge=0, lt=1)] = 1 / 7
    """Exponent of the power law."""
    roughness_m: Annotated[float, Field(gt=0, lt=1)] = 0.03
    """Roughness length of the logarithmic law, m."""
    speed_factor: Annotated[float, Field(gt=0)] = 1.0
    """Factor on the wind speed, for what is known to be too low or high at the place."""


def wind_cf(hourly: Hourly, config: WindConfig) -> tuple[Array, tuple[str, ...]]:
    """Share of capacity in every hour, and the assumptions made."""
    heights = {int(m[1]): name for name in hourly.values if (m := HEIGHT_WIND.fullmatch(name))}
    if not heights:
        raise ConfigError(f"{hourly.path}: wind_cf from weather needs a wind speed; it has {', '.join(hourly.values)}")
    height = min(heights, key=lambda h: abs(h - config.hub_height_m))
    factor = shear_factor(height, config) * config.speed_factor
    out = np.interp(hourly.values[heights[height]] * factor, SPEEDS, farm_curve())
    law = f"exponent {config.exponent:.3g}" if config.shear == "power" else f"roughness {config.roughness_m:g} m"
    note = f"wind at {height} m × {factor:.3f} to hub height {config.hub_height_m:g} m ({config.shear} law, {law})"
    return np.asarray(out, dtype=np.float64), (note, "farm curve of data/stochastic.yaml")


def shear_factor(height_m: float, config: WindConfig) -> float:
    """Speed at the hub over speed at `height_m`."""
    if config.shear == "log":
        return float(np.log(config.hub_height_m / config.roughness_m) / np.log(height_m / config.roughness_m))
    return float((config.hub_height_m / height_m) ** config.exponent)
