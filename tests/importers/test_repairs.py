"""Files are mended only as documented, each repair is counted, and everything else is an error that names the row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
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
        ("temperature_c", [280.0, 281.0], "the unit wrong"),  # kelvin
        ("price_cny_per_mwh", [0.3, 0.4], "looks like CNY/kWh"),
        ("carbon_kg_per_mwh", [0.6, 0.5], "looks like kg/kWh or t/MWh"),
        ("pv_cf", [20.0, 60.0], "is capacity_mw or the unit wrong"),  # per cent
        ("demand_shape", [-1.0, 2.0], "the unit wrong"),
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


def prices(path: Path, times: list[str], cells: list[Any] | None = None) -> Path:
    return table(path, "Datetime,Price (CNY/MWh)", times, cells or [100 + i for i in range(len(times))])


def berlin(path: Path, **options: Any) -> Any:
    return read("price_csv", path, "price_cny_per_mwh", options={"timezone": "Europe/Berlin", **options})


AUTUMN = [f"2024-10-27 0{h}:00" for h in (0, 1, 2, 2, 3)]


def test_newest_first_local_time_repeated_hour_and_a_row_given_twice_combine(tmp_path: Path) -> None:
    times, cells = AUTUMN[::-1], [104, 103, 102, 101, 100]
    made = berlin(prices(tmp_path / "t.csv", times, cells))
    assert made.values["price_cny_per_mwh"].tolist() == [100, 101, 102, 103, 104]
    assert made.repairs == {"files_reversed": 1, "dst_repeated_rows_resolved": 1}
    twice = berlin(prices(tmp_path / "u.csv", [*times, times[-1]], [*cells, 100]))
    assert twice.values["price_cny_per_mwh"].tolist() == [100, 101, 102, 103, 104]
    assert twice.repairs == {"files_reversed": 1, "dst_repeated_rows_resolved": 1, "duplicate_rows_dropped": 1}


@pytest.mark.parametrize("back", [False, True])
def test_quarters_of_the_repeated_hour_are_told_apart_in_both_directions(tmp_path: Path, back: bool) -> None:
    times = [f"2024-10-27 {h:02}:{m:02}" for h in (1, 2, 2, 3) for m in (0, 15, 30, 45)]
    cells = [100 + i // 4 for i in range(16)]
    made = berlin(prices(tmp_path / "t.csv", times[::-1] if back else times, cells[::-1] if back else cells))
    assert made.values["price_cny_per_mwh"].tolist() == [100, 101, 102, 103]


def test_labels_of_summer_and_winter_time_are_believed(tmp_path: Path) -> None:
    labels = ["", "", " (CEST)", " CET", ""]  # on some rows only, in any order
    made = berlin(prices(tmp_path / "t.csv", [t + label for t, label in zip(AUTUMN, labels, strict=True)]))
    assert made.values["price_cny_per_mwh"].tolist() == [100, 101, 102, 103, 104]
    assert made.repairs == {}
    only = berlin(prices(tmp_path / "u.csv", [AUTUMN[1], f"{AUTUMN[3]} (CET)", AUTUMN[4]]))  # the first pass is missing
    assert only.values["price_cny_per_mwh"].tolist() == [100, 100.5, 101, 102]
    assert only.repairs == {"hours_interpolated": 1}
    everywhere = prices(tmp_path / "v.csv", [f"2024-07-01 0{h}:00 (CET)" for h in (1, 2)])  # one clock all year
    made = read("price_csv", everywhere, "price_cny_per_mwh")
    assert made.first_hour == int(datetime(2024, 7, 1, tzinfo=UTC).timestamp()) // 3600
    with pytest.raises(DataError, match=r"row 2: 2024-07-01 01:00 CET is no time of Europe/Berlin"):
        berlin(everywhere)


def test_a_file_cut_in_its_last_number_is_noticed(tmp_path: Path) -> None:
    path = tidy(tmp_path / "t.csv", "x", "temperature_c", [f"{i % 30}.50" for i in range(48)])
    whole = path.read_text(encoding="utf-8")
    write(path, whole[:-1])
    made = read("tidy_csv", path, "temperature_c")
    assert made.repairs == {"last_lines_without_line_feed": 1}
    for cut, said in ((2, "ends in '17.5'"), (3, "ends in '17.'"), (4, "ends in '17'"), (5, "ends in '1'")):
        write(path, whole[:-cut])
        assert f"row 49: the last line is not complete: it {said} without a line feed" in refused(path)
    write(path, whole[:-6])
    assert read("tidy_csv", path, "temperature_c").hours == 47
    write(path, whole[:-3] + '"')
    assert "row 49" in refused(path)


def test_options_say_how_a_file_is_written(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    text = "Datum Zürich;time;region;temperature_c\n" + "".join(f"a;0{d}.02.2023 05:00;x;{d},5\n" for d in (1, 2))
    text = text.replace("Datum Zürich;", "").replace("a;", "")
    path.write_bytes(text.replace("x", "Zürich").replace("02.02.2023 05", "01.02.2023 06").encode("cp1252"))
    how = {"encoding": "cp1252", "decimal": ",", "sep": ";", "time_format": "%d.%m.%Y %H:%M"}
    assert read("tidy_csv", path, "temperature_c", options=how).values["temperature_c"].tolist() == [1.5, 2.5]
    for left_out, said in (
        ("encoding", r"row 2: not UTF-8 text; say what it is: options: \{encoding"),
        ("decimal", r"temperature_c = '1,5' is not a number; options: \{decimal: ','\}\?"),
        ("time_format", r"'01\.02\.2023 05:00' is not a time; options: \{time_format"),
    ):
        with pytest.raises(DataError, match=said):
            read("tidy_csv", path, "temperature_c", options={k: v for k, v in how.items() if k != left_out})
    with pytest.raises(ConfigError, match="encoding = 'base64' is unknown"):
        read("tidy_csv", path, "temperature_c", options={**how, "encoding": "base64"})
    thousands = table(tmp_path / "u.csv", HEADER.replace(",", ";"), [f"{t};x;1.234,5" for t in hours(2)])
    with pytest.raises(DataError, match=r"temperature_c = '1\.234,5' is not a number"):
        read("tidy_csv", thousands, "temperature_c", options={"decimal": ","})


def test_a_mark_of_missing_values_is_declared_and_so_is_a_true_minus_999(tmp_path: Path) -> None:
    path = tidy(tmp_path / "t.csv", "x", "price_cny_per_mwh", [100, "-999.00", 300, "void", 500])
    marked = read("tidy_csv", path, "price_cny_per_mwh", options={"missing": [-999, "void"]})
    assert marked.values["price_cny_per_mwh"].tolist() == [100, 200, 300, 400, 500]
    path = tidy(tmp_path / "u.csv", "x", "price_cny_per_mwh", [100, -999, 300])
    true = read("tidy_csv", path, "price_cny_per_mwh", options={"missing": []})
    assert true.values["price_cny_per_mwh"].tolist() == [100, -999, 300]
    assert "{missing: []} for a number" in refused(path, "price_cny_per_mwh")


def test_rows_are_chosen_by_what_stands_in_a_column(tmp_path: Path) -> None:
    times, countries = [t for t in hours(3) for _ in range(2)], ["FR", "DE"] * 3
    path = table(tmp_path / "t.csv", "Country,Datetime (UTC),Price (CNY/MWh)", countries, times, [100, 200] * 3)
    with pytest.raises(DataError, match=r"column Country holds DE, FR; choose the rows of one by options: \{where"):
        read("price_csv", path, "price_cny_per_mwh")
    made = read("price_csv", path, "price_cny_per_mwh", options={"where": {"Country": "FR"}})
    assert made.values["price_cny_per_mwh"].tolist() == [100] * 3
    with pytest.raises(DataError, match="no 'PL' in column Country; it has DE, FR"):
        read("price_csv", path, "price_cny_per_mwh", options={"where": {"Country": "PL"}})


@pytest.mark.parametrize(
    ("quantity", "column", "usual", "spike", "more"),
    [
        ("demand_shape", "demand_mw", 5e4, 1e8, {}),
        ("demand_shape", "demand_mw", 5e4, 1e6, {}),
        ("demand_shape", "demand_shape", 1.0, 50.0, {}),
        ("wind_cf", "generation_mw", 20, 1e6, {"capacity_mw": 50}),
        ("wind_cf", "wind_100m_m_per_s", 8, 800, {}),
        ("pv_cf", "pv_cf", 0.5, 50, {}),
        ("price_cny_per_mwh", "price_cny_per_mwh", 300, 3e6, {}),
        ("carbon_kg_per_mwh", "carbon_kg_per_mwh", 500, 5e5, {}),
        ("temperature_c", "temperature_c", 20, 200, {}),
    ],
)
@pytest.mark.parametrize("minutes", [60, 15])
def test_a_value_that_cannot_be_names_its_row_before_anything_is_averaged(
    tmp_path: Path, quantity: str, column: str, usual: float, spike: float, more: dict[str, Any], minutes: int
) -> None:
    cells = [usual] * 48
    cells[30] = spike
    path = tidy(tmp_path / "t.csv", "x", column, cells, minutes=minutes)
    said = refused(path, quantity, **more)
    assert f"t.csv, row 32: {column} = {spike:g} is outside" in said


def test_several_files_that_follow_each_other_become_one_series(tmp_path: Path) -> None:
    day = timedelta(hours=24)
    a = tidy(tmp_path / "a.csv", "x", "temperature_c", list(range(24)))
    b = tidy(tmp_path / "b.csv", "x", "temperature_c", list(range(22, 46)), start=START + timedelta(hours=22))
    made = read("tidy_csv", [b, a], "temperature_c")  # in any order, and they may overlap
    assert made.values["temperature_c"].tolist() == list(range(46))
    late = tidy(tmp_path / "c.csv", "x", "temperature_c", list(range(26, 30)), start=START + day + timedelta(hours=2))
    made = read("tidy_csv", [a, late], "temperature_c")
    assert made.values["temperature_c"].tolist() == list(range(30))
    assert made.repairs == {"hours_interpolated": 2}
    with pytest.raises(DataError, match=r"c\.csv: begins 2 h after the end of the file before; max_gap_h = 1"):
        read("tidy_csv", [a, late], "temperature_c", max_gap_h=1)
    other = tidy(tmp_path / "d.csv", "x", "temperature_c", [9] * 4, start=START + timedelta(hours=22))
    with pytest.raises(
        DataError, match=r"d\.csv, row 2: 2023-01-02 22:00:00\+00:00: temperature_c = 9; the file before"
    ):
        read("tidy_csv", [a, other], "temperature_c")
