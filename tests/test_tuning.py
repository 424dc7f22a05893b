"""The search never ends above the shipped numbers and says what it tried."""

from __future__ import annotations

import pytest

from greenhop.errors import ConfigError
from greenhop_agents.studies.tuning import tune
from tests.sims import day_sim


@pytest.mark.parametrize(
    ("rule", "grid"),
    [("greenest", {"place_strength": (0.0, 0.25)}), ("price_follow", {"width_cny_per_mwh": (30.0, 60.0)})],
)
def test_tuning_never_costs_more_than_what_is_shipped(rule: str, grid: dict[str, tuple[float, ...]]) -> None:
    found = tune(rule, day_sim("pair2"), [10, 100, 200], grid, rounds=1)
    assert found.cost_cny <= found.shipped_cny
    assert set(found.values) == set(grid)
    assert found.tried == 3


def test_a_rule_without_numbers_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing to tune; allowed: greenest, price_follow"):
        tune("stay", day_sim("pair2"), [0])
