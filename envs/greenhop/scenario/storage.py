"""The storage units of a scenario as arrays: what the scenario says of them joined with the table of their kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from greenhop.errors import ConfigError
from greenhop.scenario.config import ScenarioConfig, StorageConfig
from greenhop.scenario.sites import it_capacity_mw, pue_caps
from greenhop.scenario.tables import load_table

if TYPE_CHECKING:
    from numpy.typing import NDArray


def storage_arrays(scenario: ScenarioConfig) -> dict[str, NDArray[Any]]:
    """The fields of `Params` that have the axis U, per step of the scenario."""
    units = list(scenario.storage.values())
    names = list(scenario.sites)
    region = np.array([names.index(u.site) for u in units], dtype=np.int64)
    facts = [unit_facts(u) for u in units]
    energy = np.array([u.power_mw * u.duration_h for u in units]) / np.array([f["efficiency_discharge"] for f in facts])
    power = np.array([u.power_mw for u in units], dtype=np.float64) * scenario.dt_h
    csp = np.array([float(u.kind == "csp") for u in units])
    efficiency = np.array([f["efficiency_discharge"] for f in facts], dtype=np.float64)
    firm = efficiency * [float(u.grid_forming) for u in units]
    low = energy * np.array([f["soc_min"] for f in facts])
    high = energy * np.array([f["soc_max"] for f in facts])
    return {
        "unit_region": region,
        "unit_of_region": np.eye(len(names))[region].reshape(len(units), len(names)),
        "charge_limit_mwh": power * (1.0 - csp),
        "discharge_limit_mwh": power,
        "soc_min_mwh": low,
        "soc_max_mwh": high,
        "soc_start_mwh": (low + _held(scenario, region, high - low, firm) + high) / 2.0,
        "efficiency_charge": np.array([f["efficiency_charge"] for f in facts], dtype=np.float64),
        "efficiency_discharge": efficiency,
        "standing_loss": np.array([f["standing_loss_per_h"] for f in facts]) * scenario.dt_h,
        "wear_cny_per_mwh": np.array([f["wear_cny_per_mwh"] for f in facts], dtype=np.float64),
        "is_csp": csp,
        "firm": firm,
    }


def reserve_mwh(scenario: ScenarioConfig) -> NDArray[np.float64]:
    """[R] what grid-forming stores must be able to deliver: ride-through time × mean online load of the site."""
    online = sum(c.energy_share for c in scenario.online.values()) * scenario.demand.mean_loading
    load_mw = it_capacity_mw(scenario) * online * pue_caps(scenario)
    return np.asarray(load_mw * [site.ride_through_h for site in scenario.sites.values()], dtype=np.float64)


def _held(
    scenario: ScenarioConfig, region: NDArray[np.int64], usable: NDArray[np.float64], firm: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[U] energy above its floor by which a unit holds its share of its site's reserve.

    Raises:
        ConfigError: a reserve that the site's grid-forming stores cannot hold.
    """
    reserve = reserve_mwh(scenario)
    most = np.bincount(region, usable * firm, minlength=len(reserve))
    for name, need, have in zip(scenario.sites, reserve, most, strict=True):
        if need > have:
            raise ConfigError(
                f"sites.{name}.ride_through_h = {scenario.sites[name].ride_through_h:g} needs {need:.0f} MWh; its "
                f"grid-forming stores deliver at most {have:.0f} MWh; in scenario {scenario.name}"
            )
    share = reserve / np.maximum(most, 1e-9)
    return np.where(firm > 0, usable * share[region], 0.0)


def unit_facts(unit: StorageConfig) -> dict[str, float]:
    """The table's figures for this kind of unit, with the scenario's own in their place."""
    facts = {key: value for key, value in load_table("storage")[unit.kind].items() if isinstance(value, int | float)}
    for key in ("efficiency_charge", "efficiency_discharge", "wear_cny_per_mwh"):
        given = getattr(unit, key)
        if given is not None:
            facts[key] = given
    return facts
