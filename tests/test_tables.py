"""Every number in the tables stands beside its source."""

from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

import pytest

from greenhop.scenario.config import POOLS
from greenhop.scenario.find import load_scenario
from greenhop.scenario.tables import load_table

TABLES = sorted(
    p.name.removesuffix(".yaml") for p in (files("greenhop") / "data").iterdir() if p.name.endswith(".yaml")
)
LEVELS = 2  # a source may stand this many mappings above the number


def holds_numbers(value: Any) -> bool:
    """Is `value` a number, or a list (of lists) of numbers?"""
    if isinstance(value, list):
        return any(holds_numbers(v) for v in value)
    return isinstance(value, int | float) and not isinstance(value, bool)


def without_source(table: Mapping[str, Any], path: str, distance: int) -> Iterator[str]:
    """Paths of mappings that hold numbers and have no source in themselves or `LEVELS` above."""
    distance = 0 if "source" in table else distance + 1
    if distance > LEVELS and any(holds_numbers(v) for v in table.values()):
        yield path
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from without_source(value, f"{path}.{key}", distance)


@pytest.mark.parametrize("name", TABLES)
def test_every_number_has_a_source(name: str) -> None:
    assert list(without_source(load_table(name), name, LEVELS)) == []


def test_sources_are_never_empty() -> None:
    for name in TABLES:
        for block in _mappings(load_table(name)):
            assert str(block.get("source", "assumption")).strip()


def test_hours_of_a_tariff_do_not_overlap_and_its_months_are_complete() -> None:
    for province in load_table("tariffs")["provinces"].values():
        months = sorted(m for season in province["seasons"] for m in season["months"])
        assert months == list(range(1, 13))
        for season in province["seasons"]:
            hours = [h for period in province["ratios"] for h in season.get(period, [])]
            assert len(hours) == len(set(hours))
            assert set(hours) <= set(range(24))
            assert set(season) <= {"months", "energy_cny_per_mwh", *province["ratios"]}


def test_hourly_shapes_have_mean_one() -> None:
    for cls in load_table("workload")["classes"].values():
        if isinstance(cls, Mapping):
            assert len(cls["hourly"]) == 24
            assert sum(cls["hourly"]) / 24 == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("name", ["pair2", "tri3", "hub10"])
def test_shipped_scenarios_are_valid(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.name == name
    assert set(POOLS) - {"ai_legacy"} <= set(scenario.pools) <= set(POOLS)
    assert scenario.steps == 168


def _mappings(table: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield table
    for value in table.values():
        if isinstance(value, Mapping):
            yield from _mappings(value)
