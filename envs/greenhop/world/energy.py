"""From weather to what a site gets of it: energy of its plants and contracts, heat of its mirrors, PUE."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from greenhop.world.cooling import pue_full

if TYPE_CHECKING:
    from greenhop.scenario.config import ScenarioConfig, SiteConfig
    from greenhop.world.places import Place

Array = NDArray[np.float64]


def energy_mwh(share: Array, capacity_mw: list[float], dt_h: float) -> Array:
    """`[..., R]` energy of a row from shares of capacity `[..., R]`."""
    out: Array = share * (np.array(capacity_mw) * dt_h)
    return out


def ppa_mwh(wind: Array, base_solar: Array, sites: list[SiteConfig], dt_h: float) -> Array:
    """`[..., R]` contracted energy: wind like the site's, sun like that of the province's supply base, flat blocks."""
    wind_mwh = energy_mwh(wind, [s.ppa_wind_mw for s in sites], dt_h)
    block_mwh = dt_h * np.array([s.ppa_flat_mw for s in sites])
    return wind_mwh + energy_mwh(base_solar, [s.ppa_pv_mw for s in sites], dt_h) + block_mwh


def inflow_mwh(beam: Array, scenario: ScenarioConfig) -> Array:
    """`[..., U]` heat into the storage units from the beam at their sites `[..., R]`; none without a mirror field."""
    names = list(scenario.sites)
    region = [names.index(u.site) for u in scenario.storage.values()]
    field = [u.csp_field_mw for u in scenario.storage.values()]
    return energy_mwh(beam[..., region], field, scenario.dt_h)


def site_pue(places: tuple[Place, ...], sites: list[SiteConfig], temperature_c: Array) -> Array:
    """`[..., R]` PUE at full load from the temperature `[..., R]`."""
    return np.stack(
        [pue_full(p, s.cooling, temperature_c[..., r]) for r, (p, s) in enumerate(zip(places, sites, strict=True))],
        axis=-1,
    )
