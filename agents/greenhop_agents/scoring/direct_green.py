"""Direct supply of green power: does a site keep the rules that exempt it from the wires' fee per MWh?

Of what its plants could generate it uses enough itself and exports little; of what it consumes enough is its own.
Exports are little in every step, because the scenario's schema refuses a larger `export_fraction`; the other two rules
are judged over an episode and billed by the step as `direct_rule`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from greenhop.scenario.config import ScenarioConfig
from greenhop.scenario.tables import load_table


@dataclass(frozen=True)
class DirectGreen:
    """Shares of one site over an episode."""

    self_used_of_generation: float
    self_used_of_consumption: float
    exported_of_generation: float

    @property
    def broken(self) -> tuple[str, ...]:
        """Names of the rules that were broken."""
        rules = load_table("tariffs")["direct_green"]
        kept = {
            "self_used_of_generation": self.self_used_of_generation >= rules["self_used_of_generation_min"],
            "self_used_of_consumption": self.self_used_of_consumption >= rules["self_used_of_consumption_min"],
            "exported_of_generation": self.exported_of_generation <= rules["exported_of_generation_max"] + 1e-6,
        }
        return tuple(name for name, is_kept in kept.items() if not is_kept)

    def as_row(self) -> dict[str, float]:
        """A flat record: the three shares and how many rules were broken."""
        return {**vars(self), "direct_green_rules_broken": float(len(self.broken))}


def has_direct_supply(scenario: ScenarioConfig) -> bool:
    """Whether any site of a scenario has `tariff_mode: direct_green`."""
    return any(site.tariff_mode == "direct_green" for site in scenario.sites.values())


def direct_green(scenario: ScenarioConfig, sites: Mapping[str, Mapping[str, float]]) -> dict[str, DirectGreen]:
    """The sites with `tariff_mode: direct_green`, from their energies over an episode."""
    return {name: _shares(sites[name]) for name, site in scenario.sites.items() if site.tariff_mode == "direct_green"}


def _shares(energy: Mapping[str, float]) -> DirectGreen:
    generated, consumed = max(energy["green_mwh"], 1e-9), max(energy["facility_mwh"], 1e-9)
    return DirectGreen(
        self_used_of_generation=energy["self_used_mwh"] / generated,
        self_used_of_consumption=energy["self_used_mwh"] / consumed,
        exported_of_generation=energy["exported_mwh"] / generated,
    )
