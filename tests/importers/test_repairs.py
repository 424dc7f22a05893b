"""Files are mended only as documented, each repair is counted, and everything else is an error that names the row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from greenhop.errors import ConfigError, DataError
from tests.importers.writers import START, hours, read, table, tidy, write

HEADER = "time,region,temperature_c"


def rows(path: Path, times: list[str], cells: list[Any]) -> Path:
    return table(path, HEADER, times, ["x"] * len(times), cells)


def refused(path: Path, quantity: str = "temperature_c", **rest: Any) -> str:
    with pytest.raises(DataError) as caught:
        read("tidy_csv", path, quantity, **rest)
    return str(caught.value)


def test_a_byte_order_mark_and_gzip_do_no_harm(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv.gz", "\ufeff" + HEADER + "\n2023-01-02T00:00,x,1\n2023-01-02T01:00,x,2\n")
    made = read("tidy_csv", path, "temperature_c")
    assert made.values["temperature_c"].tolist() == [1, 2]
    assert made.repairs == {"byte_order_marks_removed": 1}
    path.write_bytes(path.read_bytes()[:-9])
    assert "damaged gzip" in refused(path)


def test_short_gaps_become_straight_lines_and_long_ones_errors(tmp_path: Path) -> None:
    times = hours(8)
    made = read("tidy_csv", rows(tmp_path / "t.csv", [*times[:2], *times[4:]], [0, 1, 4, 5, 6, 7]), "temperature_c")
    assert made.values["temperature_c"].tolist() == list(range(8))
    assert made.repairs == {"hours_interpolated": 2}
    path = rows(tmp_path / "u.csv", [*times[:2], *times[6:]], [0, 1, 6, 7])
    assert "u.csv, row 3: temperature_c is missing for 4 h from 2023-01-02T02:00:00 UTC on" in refused(path)
    assert len(read("tidy_csv", path, "temperature_c", max_gap_h=4).values["temperature_c"]) == 8


def test_empty_hours_at_the_ends_are_cut(tmp_path: Path) -> None:
    made = read("tidy_csv", rows(tmp_path / "t.csv", hours(5), ["", "", 1, 2, "NaN"]), "temperature_c")
    assert made.values["temperature_c"].tolist() == [1, 2]
    assert made.repairs == {"empty_hours_cut_at_ends": 3}
    assert made.first_hour == int(START.timestamp()) // 3600 + 2


def test_rows_given_twice_are_dropped_unless_they_differ(tmp_path: Path) -> None:
    times = hours(3)
    twice = [times[0], times[1], times[1], times[2]]
    made = read("tidy_csv", rows(tmp_path / "t.csv", twice, [1, 2, 2, 3]), "temperature_c")
    assert made.values["temperature_c"].tolist() == [1, 2, 3]
    assert made.repairs == {"duplicate_rows_dropped": 1}
    path = rows(tmp_path / "u.csv", twice, [1, 2, 9, 3])
    assert "row 4: the time of the row before with another temperature_c" in refused(path)


def test_finer_rows_are_averaged_and_incomplete_hours_are_gaps(tmp_path: Path) -> None:
    times = hours(12, minutes=15)
    made = read("tidy_csv", rows(tmp_path / "t.csv", times, [0, 1, 2, 3] * 3), "temperature_c")
    assert made.values["temperature_c"].tolist() == [1.5] * 3
    path = rows(tmp_path / "u.csv", times[:5] + times[6:], [0, 0, 0, 0, 9, 9, 9, 2, 2, 2, 2])
    made = read("tidy_csv", path, "temperature_c")
    assert made.values["temperature_c"].tolist() == [0, 1, 2]
    assert made.repairs["hours_interpolated"] == 1


@pytest.mark.parametrize(
    ("times", "cells", "said"),
    [
        (["2023-01-02T00:00", "2023-01-02T02:00", "2023-01-02T01:00"], [1, 2, 3], "row 4: time goes back"),
        ([*hours(3), "2023-01-02T03:20"], [1, 2, 3, 4], "row 5: 80 min after the row before"),
        (["2023-01-02T00:00", "2023-01-02T03:00", "2023-01-02T06:00"], [1, 2, 3], "row 3: rows are 180 min apart"),
        (["2023-01-02T00:00", "2023-01-02T01:00Z"], [1, 2], "row 3: mixed time zones"),
        (["2023-01-02T00:00", "yesterday"], [1, 2], "row 3: 'yesterday' is not a time"),
        (["2023-01-02T00:00", "2023-01-02T01:00"], [1, "x"], "row 3: temperature_c = 'x' is not a number"),
        (["2023-01-02T00:00", "2023-01-02T01:00"], [1, -999], "row 3: temperature_c = -999 looks like a mark"),
        (["2023-01-02T00:00", "2023-01-02T01:00"], [1, "inf"], "row 3: temperature_c = 'inf' is not finite"),
        (["2023-01-02T00:00", "2023-01-02T01:00"], ["", ""], "no hour has a value"),
        (["2023-01-02T00:00"], [1], "fewer than two rows"),
    ],
)
def test_what_cannot_be_mended_names_its_row(tmp_path: Path, times: list[str], cells: list[Any], said: str) -> None:
    assert said in refused(rows(tmp_path / "t.csv", times, cells))


@pytest.mark.parametrize(
    ("quantity", "cells", "said"),
    [
        ("temperature_c", [280.0, 281.0], "wrong unit"),  # kelvin
        ("price_cny_per_mwh", [0.3, 0.4], "looks like CNY/kWh"),
        ("carbon_kg_per_mwh", [0.6, 0.5], "looks like kg/kWh or t/MWh"),
        ("pv_cf", [20.0, 60.0], "is capacity_mw or the unit wrong"),  # per cent
        ("demand_shape", [-1.0, 2.0], "wrong unit"),
    ],
)
def test_wrong_units_are_noticed(tmp_path: Path, quantity: str, cells: list[float], said: str) -> None:
    assert said in refused(tidy(tmp_path / "t.csv", "x", quantity, cells), quantity)


def test_ragged_rows_and_repeated_columns_are_errors(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", f"{HEADER}\n2023-01-02T00:00,x,1\n2023-01-02T01:00,x\n")
    assert "row 3: 2 cells, the header has 3" in refused(path)
    write(path, "time,region,temperature_c,temperature_c\n2023-01-02T00:00,x,1,1\n")
    assert "row 1: column 'temperature_c' is there twice" in refused(path)
    path.write_bytes(f"{HEADER}\n2023-01-02T00:00,Z\xfcrich,1\n".encode("latin-1"))
    assert "row 2: not UTF-8" in refused(path)


def test_mistakes_in_the_import_itself_are_config_errors(tmp_path: Path) -> None:
    path = tidy(tmp_path / "t.csv", "x", "temperature_c", [1, 2])
    with pytest.raises(ConfigError, match="unknown layout 'csv'; allowed: open_meteo_json"):
        read("csv", path, "temperature_c")
    with pytest.raises(ConfigError, match="unknown quantity 'heat'"):
        read("tidy_csv", path, "heat")
    with pytest.raises(ConfigError, match="wind_cf from weather needs a wind speed"):
        read("tidy_csv", path, "wind_cf")
    with pytest.raises(ConfigError, match="unknown; allowed: UTC"):
        read("tidy_csv", path, "temperature_c", options={"timezone": "Mars/Base"})
    local = table(tmp_path / "p.csv", "Datetime,Price (CNY/MWh)", hours(2), [100, 200])
    with pytest.raises(ConfigError, match="times have no offset"):
        read("price_csv", local, "price_cny_per_mwh")
