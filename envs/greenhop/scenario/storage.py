"""The storage units of a scenario as arrays: what the scenario says of them joined with the table of their kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from greenhop.scenario.config import ScenarioConfig, StorageConfig
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
    low = energy * np.array([f["soc_min"] for f in facts])
    high = energy * np.array([f["soc_max"] for f in facts])
    return {
        "unit_region": region,
        "unit_of_region": np.eye(len(names))[region].reshape(len(units), len(names)),
        "charge_limit_mwh": power * (1.0 - csp),
        "discharge_limit_mwh": power,
        "soc_min_mwh": low,
        "soc_max_mwh": high,
        "soc_start_mwh": (low + high) / 2.0,
        "efficiency_charge": np.array([f["efficiency_charge"] for f in facts], dtype=np.float64),
        "efficiency_discharge": np.array([f["efficiency_discharge"] for f in facts], dtype=np.float64),
        "standing_loss": np.array([f["standing_loss_per_h"] for f in facts]) * scenario.dt_h,
        "wear_cny_per_mwh": np.array([f["wear_cny_per_mwh"] for f in facts], dtype=np.float64),
        "is_csp": csp,
    }


def unit_facts(unit: StorageConfig) -> dict[str, float]:
    """The table's figures for this kind of unit, with the scenario's own in their place."""
    facts = {key: value for key, value in load_table("storage")[unit.kind].items() if isinstance(value, int | float)}
    for key in ("efficiency_charge", "efficiency_discharge", "wear_cny_per_mwh"):
        given = getattr(unit, key)
        if given is not None:
            facts[key] = given
    return facts
