"""The episodes that evaluations use: any number of them covers dates and years."""

from __future__ import annotations

import numpy as np
import pytest

from greenhop.errors import ConfigError
from greenhop.world.bank import spread

DATES, YEARS = 351, 4


def dates_and_years(n: int) -> tuple[np.ndarray, np.ndarray]:
    starts = spread(n, DATES * YEARS, YEARS, "test")
    return starts % DATES, starts // DATES


@pytest.mark.parametrize("n", range(2, 60))
def test_any_number_of_episodes_leaves_no_long_part_of_the_year_unvisited(n: int) -> None:
    date, _ = dates_and_years(n)
    gaps = np.diff(np.sort(date), append=np.sort(date)[0] + DATES)
    assert gaps.max() <= 2.1 * DATES / n + 2


@pytest.mark.parametrize("n", range(1, 60))
def test_every_year_has_its_turn(n: int) -> None:
    _, year = dates_and_years(n)
    counts = np.bincount(year, minlength=YEARS)
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("n", range(8, 60))
def test_no_year_is_met_in_one_season_alone(n: int) -> None:
    date, year = dates_and_years(n)
    for y in range(YEARS):
        mine = np.sort(date[year == y])
        assert np.diff(mine, append=mine[0] + DATES).max() <= 3.1 * DATES / len(mine)


def test_four_episodes_meet_four_seasons_and_four_years() -> None:
    date, year = dates_and_years(4)
    assert set(date * 4 // DATES) == {0, 1, 2, 3}
    assert set(year) == {0, 1, 2, 3}


def test_a_longer_evaluation_contains_every_shorter_one() -> None:
    assert np.array_equal(spread(8, DATES * YEARS, YEARS, "test"), spread(48, DATES * YEARS, YEARS, "test")[:8])


@pytest.mark.parametrize(("dates", "years"), [(351, 4), (352, 4), (16, 8), (7, 1), (1, 5)])
def test_as_many_episodes_as_starts_are_each_start_once(dates: int, years: int) -> None:
    assert sorted(spread(dates * years, dates * years, years, "val")) == list(range(dates * years))


@pytest.mark.parametrize("n", [0, -1, 1405])
def test_more_episodes_than_starts_are_refused(n: int) -> None:
    with pytest.raises(ConfigError, match=rf"episodes = {n} must lie in 1…1404 for split 'test'"):
        spread(n, DATES * YEARS, YEARS, "test")
