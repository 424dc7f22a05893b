"""Rows last as long as their step says, also where the step changes on the way, and no value gets lost at the seam."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenhop.errors import DataError
from tests.importers.writers import START, read, table

QUANTITY = "temperature_c"


def stretches(*parts: tuple[int, int], start: datetime = START) -> list[datetime]:
    """Times of rows: (count, minutes) one after the other."""
    out, at = [], start
    for count, minutes in parts:
        out += [at + timedelta(minutes=minutes * i) for i in range(count)]
        at += timedelta(minutes=minutes * count)
    return out


def file(path: Path, times: list[datetime], values: Any = None) -> Path:
    """The value of a row is the number of the hour it lies in unless given."""
    given = [(t - START) // timedelta(hours=1) % 50 for t in times] if values is None else values
    return table(path, f"time,region,{QUANTITY}", [f"{t:%Y-%m-%dT%H:%M}" for t in times], ["x"] * len(times), given)


def temperatures(path: Path, **rest: Any) -> Any:
    return read("tidy_csv", path, QUANTITY, **rest)


@pytest.mark.parametrize(("before", "after"), [(60, 15), (30, 5), (15, 60), (5, 30), (60, 30), (10, 15)])
def test_a_step_that_changes_is_followed_and_every_hour_keeps_its_value(
    tmp_path: Path, before: int, after: int
) -> None:
    times = stretches((30 * 60 // before, before), (40 * 60 // after, after))
    made = temperatures(file(tmp_path / "t.csv", times))
    assert made.values[QUANTITY] == pytest.approx(np.arange(70) % 50)
    assert made.repairs["step_changes_followed"] == 1
    assert "empty_hours_cut_at_ends" not in made.repairs
    assert "hours_interpolated" not in made.repairs


def test_the_frequent_step_may_be_the_long_one(tmp_path: Path) -> None:
    times = stretches((500, 60), (96, 15))
    assert temperatures(file(tmp_path / "t.csv", times)).hours == 524


def test_a_gap_as_long_as_another_step_stays_a_gap(tmp_path: Path) -> None:
    times = stretches((400, 60), (200, 15))
    del times[501:504]  # 45 minutes before the next row
    made = temperatures(file(tmp_path / "t.csv", times))
    assert (made.hours, made.repairs["hours_interpolated"]) == (450, 1)


@pytest.mark.parametrize("parts", [((96, 15), (20, 60)), ((20, 60), (96, 15))])
def test_a_step_too_short_to_be_believed_is_refused_and_not_cut_off(tmp_path: Path, parts: Any) -> None:
    with pytest.raises(DataError, match=r"t\.csv, row \d+: 20 hours from 2023-01-0\dT\S+ UTC on have only a part"):
        temperatures(file(tmp_path / "t.csv", stretches(*parts)))


def test_rows_that_are_finer_for_a_moment_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"row 102: 15 min after .* 60 min apart, and another step must hold for 24 rows"
    ):
        temperatures(file(tmp_path / "t.csv", stretches((99, 60), (5, 15))))


def test_an_hour_begun_at_either_end_is_cut_and_counted(tmp_path: Path) -> None:
    times = stretches((40, 15), start=START + timedelta(minutes=15))
    made = temperatures(file(tmp_path / "t.csv", times))
    assert (made.hours, made.repairs["empty_hours_cut_at_ends"]) == (9, 2)


def test_rows_may_be_stamped_at_their_end(tmp_path: Path) -> None:
    path = file(tmp_path / "t.csv", stretches((30, 60), (96, 15)))
    begun, ended = temperatures(path), temperatures(path, options={"hour_ending": True})
    assert ended.first_hour == begun.first_hour - 1
    assert ended.values[QUANTITY][:30] == pytest.approx(begun.values[QUANTITY][:30])
    quarter = begun.values[QUANTITY][30:]  # 01:00 is the end of an hour, 01:15 of a quarter: one is taken from the next
    assert ended.values[QUANTITY][30] == pytest.approx(quarter[0])
    assert ended.values[QUANTITY][31] == pytest.approx((3 * quarter[0] + quarter[1]) / 4)


def test_the_last_hour_of_a_day_may_be_called_24(tmp_path: Path) -> None:
    times = [f"2023-01-{2 + (h - 1) // 24:02} {(h - 1) % 24 + 1:02}:00" for h in range(1, 49)]
    path = table(tmp_path / "t.csv", f"time,region,{QUANTITY}", times, ["x"] * 48, range(48))
    made = temperatures(path, options={"hour_ending": True})
    assert made.first_hour == int(START.timestamp()) // 3600
    assert made.values[QUANTITY].tolist() == list(range(48))
