"""What a world holds in memory: one year at a time while it is made, one copy for all who use it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from weakref import ref

import pytest

from greenhop.episode.simulator import shapes_of
from greenhop.gym.env import HubEnv
from greenhop.gym.vector_env import HubVectorEnv
from greenhop.scenario.find import load_scenario
from greenhop.world import bank
from greenhop.world.forecast import Forecast
from greenhop.world.year import WorldYear, generate_year


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What is let go must be gone at once: nobody looks for cycles here."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("mode", ["noisy", "persistence", "none"])
@pytest.mark.usefixtures("no_collector")
def test_a_forecast_does_not_keep_itself_alive(mode: str) -> None:
    scenario = load_scenario("pair2", [f"forecast.mode={mode}", "years.train=1"])
    year = generate_year(scenario, "train", 0)
    forecast = Forecast(scenario, year)
    forecast.table((0, 6, 24))
    forecast.at(100, 24)
    left = [ref(x) for x in (year, forecast)]
    del year, forecast
    assert [x() for x in left] == [None, None]


@pytest.mark.usefixtures("no_collector")
def test_no_year_is_held_while_the_next_one_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENHOP_CACHE", str(tmp_path / "cache"))
    made: list[ref[WorldYear]] = []

    def watched(*args: Any) -> WorldYear:
        assert all(year() is None for year in made)
        year = generate_year(*args)
        made.append(ref(year))
        return year

    monkeypatch.setattr(bank, "generate_year", watched)
    scenario = load_scenario("pair2")
    bank.build_bank(scenario, shapes_of(scenario).params, "train", (0, 1, 2))
    assert len(made) == 3


def test_environments_of_every_kind_share_the_memory_of_one_world() -> None:
    same: dict[str, Any] = {"overrides": ["episode.length_h=24"], "year_ids": (0,), "compile": False}
    sims = [HubEnv("pair2", **same).sim, HubEnv("pair2", **same).sim, HubVectorEnv(3, "pair2", **same).sim]
    sims.append(HubEnv("pair2", **{**same, "overrides": ["episode.length_h=48"]}).sim)
    assert len({sim.bank.table.data_ptr() for sim in sims}) == 1
