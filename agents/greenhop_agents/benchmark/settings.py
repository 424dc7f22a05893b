"""Where a benchmark tests: the scenario agents were trained on, other ones, and changes of either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import Field

from greenhop.episode.simulator import Shapes, shapes_of
from greenhop.errors import ConfigError, nearest, one_line
from greenhop.scenario.config import Model, ScenarioConfig, Split, parse_scenario
from greenhop.scenario.find import compose_scenario
from greenhop.world.bank import count_starts, spread


class EvaluationConfig(Model):
    """Where agents are tested: the scenario they were trained on, or another one by name or path.

    First the sites `without` go, with their fibres and storage, then `overrides` (`market.green_target=0.5`) apply.
    """

    scenario: str | None = None
    """Scenario to test in, by name or path; null: the one that agents were trained on."""
    without: list[str] = Field(default_factory=list)
    """Sites to leave out, with their links and storage."""
    overrides: list[str] = Field(default_factory=list)
    """Changes of the scenario, such as `market.green_target=0.5`."""
    split: Split | None = None
    """Whose years; null: `benchmark.split`."""


@dataclass(frozen=True)
class Setting:
    """A scenario and split on which agents are tested, and the starts of its episodes."""

    scenario: dict[str, Any]
    split: Split
    starts: list[int]

    def spec(self) -> dict[str, Any]:
        """What a job needs to build the simulator."""
        return {"scenario": self.scenario, "split": self.split}

    @cached_property
    def shapes(self) -> Shapes:
        """Parameters, decoder and observer."""
        return shapes_of(parse_scenario(self.scenario))


def build_setting(
    label: str, trained: Mapping[str, Any], e: EvaluationConfig, everywhere: Sequence[str], split: Split, episodes: int
) -> Setting:
    """Check one setting and choose its episodes; no weather is generated yet.

    Args:
        trained: the scenario that agents are trained on, as data.
        everywhere: overrides that every setting takes before its own.

    Raises:
        ConfigError: a scenario, site or value that does not exist, or more episodes than there are.
    """
    where = f"benchmark.evaluations.{label}"
    data = dict(deepcopy(trained)) if e.scenario is None else compose_scenario(e.scenario)
    scenario = parse_scenario(_changed(_without(data, e.without, where), [*everywhere, *e.overrides], where), where)
    chosen = e.split or split
    count, years = count_starts(scenario, shapes_of(scenario).params, chosen), int(getattr(scenario.years, chosen))
    starts = spread(episodes, count, years, chosen)
    return Setting(scenario.model_dump(mode="json"), chosen, starts.tolist())


def _changed(data: Mapping[str, Any], overrides: Sequence[str], where: str) -> dict[str, Any]:
    try:
        merged = OmegaConf.to_container(OmegaConf.merge(data, OmegaConf.from_dotlist(list(overrides))))
    except OmegaConfBaseException as error:
        raise ConfigError(f"{one_line(error)}; in {where}") from None
    assert isinstance(merged, dict)
    return {str(key): value for key, value in merged.items()}


def _without(data: Mapping[str, Any], names: Sequence[str], where: str) -> dict[str, Any]:
    """The scenario without some sites, and without what belongs to them, as if they had never been."""
    if not names:
        return dict(data)
    scenario = parse_scenario(data, where)
    for name in names:
        if name not in scenario.sites:
            hint = nearest(name, scenario.sites)
            raise ConfigError(f"without = {name!r}: {scenario.name} has no such site{hint}; in {where}")
    return _cut(scenario, set(names)).model_dump(mode="json")


def _cut(scenario: ScenarioConfig, gone: set[str]) -> ScenarioConfig:
    """What is left of a scenario when sites go; an event that named only them goes too."""
    events = {
        name: event.model_copy(update={"sites": [s for s in event.sites if s not in gone]})
        for name, event in scenario.events.items()
        if not event.sites or set(event.sites) - gone
    }
    whitelist = scenario.demand.migration_whitelist
    kept = {cls: [s for s in sites if s not in gone] for cls, sites in whitelist.items()}
    return scenario.model_copy(
        update={
            "sites": {name: site for name, site in scenario.sites.items() if name not in gone},
            "links": [link for link in scenario.links if not gone & set(link.between)],
            "storage": {name: unit for name, unit in scenario.storage.items() if unit.site not in gone},
            "events": events,
            "demand": scenario.demand.model_copy(update={"migration_whitelist": kept}),
        }
    )
