"""Every layout becomes the same tidy hourly table, and says clearly when it cannot."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from greenhop.errors import ConfigError, DataError
from greenhop.importers.registry import NAMES
from greenhop.world.wind import SPEEDS, farm_curve
from tests.importers.writers import START, hours, open_meteo, read, table, tidy, values, write

NUMBERS = [1.0, 2.0, 3.0, 4.0]
DAY = "%Y-%m-%d %H:%M:%S"


def first_hour(moment: datetime) -> int:
    return int(moment.timestamp()) // 3600


def test_open_meteo_json_is_shifted_to_utc_and_keeps_its_place(tmp_path: Path) -> None:
    path = open_meteo(tmp_path / "w.json", {"temperature_2m": NUMBERS}, {"temperature_2m": "°C"}, offset_s=3600)
    made = read("open_meteo_json", path, "temperature_c")
    assert made.first_hour == first_hour(START) - 1
    assert made.values["temperature_c"].tolist() == NUMBERS
    assert (made.spot.lat_deg, made.spot.lon_deg) == (50.0, 8.6)


def test_open_meteo_old_names_and_units_are_understood(tmp_path: Path) -> None:
    path = open_meteo(tmp_path / "w.json", {"windspeed_100m": [36.0] * 4}, {"windspeed_100m": "km/h"})
    assert values("open_meteo_json", path, "wind_cf") == pytest.approx(np.interp([10.0] * 4, SPEEDS, farm_curve()))
    path = open_meteo(tmp_path / "f.json", {"temperature_2m": [50.0, 50.0]}, {"temperature_2m": "°F"})
    assert values("open_meteo_json", path, "temperature_c") == pytest.approx([10.0, 10.0])


def test_open_meteo_radiation_belongs_to_the_hour_before(tmp_path: Path) -> None:
    units = {"shortwave_radiation": "W/m²", "temperature_2m": "°C"}
    sun = [0.0] * 24
    sun[12] = 800.0  # the mean of 11:00 to 12:00
    path = open_meteo(tmp_path / "w.json", {"shortwave_radiation": sun, "temperature_2m": [5.0] * 24}, units)
    assert int(values("open_meteo_json", path, "pv_cf").argmax()) == 11


SUNNY = {"shortwave_radiation": "W/m²", "temperature_2m": "°C"}


def sunny(path: Path, times: list[str]) -> Path:
    """Radiation in the one hour that ends at noon."""
    sun = [200.0 if t.endswith("T12:00") else 0.0 for t in times]
    series = {"shortwave_radiation": sun, "temperature_2m": [5.0] * len(times)}
    return open_meteo(path, series, SUNNY, hourly={"time": times, **series})


def test_open_meteo_radiation_stays_in_its_hour_whatever_the_order_of_rows(tmp_path: Path) -> None:
    def noon(times: list[str]) -> int:
        made = read("open_meteo_json", sunny(tmp_path / "w.json", times), "pv_cf")
        return made.first_hour + int(made.values["pv_cf"].argmax())

    times, wanted = hours(48)[:25], first_hour(START) + 11
    assert noon(times) == wanted
    assert noon(times[::-1]) == wanted
    assert noon([*times[:10], *times[9:]]) == wanted  # a row twice
    assert noon([*times[:11], *times[12:]]) == wanted  # a row missing just before


def test_open_meteo_csv_reads_its_two_headers(tmp_path: Path) -> None:
    body = "\n".join(f"{t},{v}" for t, v in zip(hours(4), NUMBERS, strict=True))
    meta = "latitude,longitude,elevation,utc_offset_seconds,timezone\n50.0,8.6,110.0,3600,Europe/Berlin\n\n"
    path = write(tmp_path / "w.csv", f"{meta}time,temperature_2m (°C)\n{body}\n")
    made = read("open_meteo_csv", path, "temperature_c")
    assert made.first_hour == first_hour(START) - 1
    assert made.values["temperature_c"].tolist() == NUMBERS
    write(path, f"{meta}time,temperature_2m (°C)\n{body.replace('3.0', 'warm')}\n")
    with pytest.raises(DataError, match=r"w\.csv, row 7: .*'warm' is not a number"):
        read("open_meteo_csv", path, "temperature_c")


def nasa(path: Path, clock: str, cells: list[str]) -> Path:
    head = (
        "-BEGIN HEADER-\nNASA/POWER Source Native Resolution Hourly Data\n"
        f"Dates (month/day/year): 01/02/2023 through 01/02/2023 in {clock}\n"
        "Location: latitude  40.0   longitude 113.0\nelevation from MERRA-2: Average = 1000.5 meters\n"
        "Value for missing model data = -999\n"
        "Parameter(s):\nT2M     MERRA-2 Temperature at 2 Meters (C)\n-END HEADER-\n"
    )
    rows = "".join(f"2023,1,2,{h},{cell}\n" for h, cell in enumerate(cells))
    return write(path, f"{head}YEAR,MO,DY,HR,T2M\n{rows}")


def test_nasa_power_turns_solar_time_into_utc_and_fills_its_missing_values(tmp_path: Path) -> None:
    made = read("nasa_power", nasa(tmp_path / "n.csv", "LST", ["1", "-999", "3", "4"]), "temperature_c")
    assert made.first_hour == first_hour(START) - 8
    assert made.values["temperature_c"].tolist() == NUMBERS
    assert made.repairs["hours_interpolated"] == 1
    assert read("nasa_power", nasa(tmp_path / "u.csv", "UTC", ["1", "2"]), "temperature_c").first_hour == first_hour(
        START
    )
    gap = nasa(tmp_path / "g.csv", "UTC", ["1", *["-999"] * 5, "3"])
    with pytest.raises(DataError, match=r"g\.csv, row 11: temperature_c is missing for 5 h"):
        read("nasa_power", gap, "temperature_c")


OLD = "Datetime (UTC),Country,Zone Name,Zone Id,Carbon Intensity gCO₂eq/kWh (direct),Carbon Intensity gCO₂eq/kWh (LCA)"
NEW = (
    "Datetime (UTC),Country,Zone name,Zone id,"
    "Carbon intensity gCO2eq/kWh (direct),Carbon intensity gCO₂eq/kWh (Life cycle)"
)


@pytest.mark.parametrize("header", [OLD, NEW])
def test_electricity_maps_headers_of_both_generations_are_read(tmp_path: Path, header: str) -> None:
    def cells(zone: str) -> tuple[Any, ...]:
        return hours(4, form=DAY), ["D"] * 4, ["D"] * 4, ["DE", "DE", zone, "DE"], [300, 301, 302, 303], [400] * 4

    path = table(tmp_path / "c.csv", header, *cells("DE"))
    assert values("electricity_maps", path, "carbon_kg_per_mwh").tolist() == [300, 301, 302, 303]
    given = values("electricity_maps", path, "carbon_kg_per_mwh", options={"accounting": "life_cycle"})
    assert given.tolist() == [400] * 4
    with pytest.raises(DataError, match="row 4: zone FR in a file of zone DE"):
        read("electricity_maps", table(tmp_path / "m.csv", header, *cells("FR")), "carbon_kg_per_mwh")


def entsoe(path: Path, starts: list[str], price: list[Any]) -> Path:
    mtu = [f'"{a} - {b}"' for a, b in zip(starts, [*starts[1:], starts[-1]], strict=True)]
    header = "MTU (CET/CEST),Day-ahead Price [EUR/MWh],Currency,BZN|DE-LU"
    return table(path, header, mtu, price, ["EUR"] * len(mtu), [""] * len(mtu))


def test_entsoe_prices_pass_both_changes_of_the_clock(tmp_path: Path) -> None:
    spring = [f"26.03.2023 0{h}:00" for h in range(6)]  # 02:00 does not exist, the platform leaves its cell empty
    rate = {"cny_per_unit": 8.0}
    made = read(
        "entsoe_price", entsoe(tmp_path / "s.csv", spring, [1, 2, "", 3, 4, 5]), "price_cny_per_mwh", options=rate
    )
    assert made.first_hour == first_hour(datetime(2023, 3, 25, 23, tzinfo=UTC))
    assert made.values["price_cny_per_mwh"].tolist() == [8, 16, 24, 32, 40]
    assert made.repairs == {"dst_skipped_rows_dropped": 1}
    autumn = [f"29.10.2023 0{h}:00" for h in (0, 1, 2, 2, 3)]
    made = read("entsoe_price", entsoe(tmp_path / "a.csv", autumn, [1, 2, 3, 4, 5]), "price_cny_per_mwh", options=rate)
    assert made.values["price_cny_per_mwh"].tolist() == [8, 16, 24, 32, 40]
    assert made.repairs == {"dst_repeated_rows_resolved": 1}
    with pytest.raises(DataError, match="row 4: a value at a local time that does not exist"):
        read("entsoe_price", entsoe(tmp_path / "x.csv", spring, [1, 2, 9, 3, 4, 5]), "price_cny_per_mwh", options=rate)


def test_the_present_export_of_entsoe_holds_intraday_prices_and_labels_the_repeated_hour(tmp_path: Path) -> None:
    clock = ("00:00:00", "01:00:00", "02:00:00", "03:00:00 (EEST)", "03:00:00 (EET)", "04:00:00")
    starts = ["26/10/2024 23:00:00", *(f"27/10/2024 {c}" for c in clock)]
    header = '"MTU (EET/EEST)","Area","Sequence","Day-ahead Price (EUR/MWh)","Intraday Period (EET/EEST)"'
    header += ',"Intraday Price (EUR/MWh)"'
    rows = [f'"{t} - {t}","BZN|FI","Without Sequence","{p}.00","","77.00"' for p, t in enumerate(starts)]
    path = write(tmp_path / "p.csv", "\n".join([header, *rows]) + "\n")
    rate = {"cny_per_unit": 10.0}
    made = read("entsoe_price", path, "price_cny_per_mwh", options=rate)
    assert made.first_hour == first_hour(datetime(2024, 10, 26, 20, tzinfo=UTC))
    assert made.values["price_cny_per_mwh"].tolist() == [0, 10, 20, 30, 40, 50, 60]
    assert made.repairs == {}
    both = [*rows, *(r.replace("Without", "Other") for r in rows)]
    write(path, "\n".join([header, *both]) + "\n")
    with pytest.raises(DataError, match="column Sequence holds Other Sequence, Without Sequence"):
        read("entsoe_price", path, "price_cny_per_mwh", options=rate)
    one = {**rate, "sequence": "Without Sequence"}
    assert read("entsoe_price", path, "price_cny_per_mwh", options=one).hours == 7


def test_an_hour_missing_in_autumn_is_a_gap_like_any_other(tmp_path: Path) -> None:
    autumn = [f"29.10.2023 0{h}:00" for h in (0, 1, 2, 3)]
    path = entsoe(tmp_path / "a.csv", autumn, [1, 2, 3, 5])
    made = read("entsoe_price", path, "price_cny_per_mwh", options={"cny_per_unit": 1.0 + 1e-12})
    assert made.values["price_cny_per_mwh"] == pytest.approx([1, 2, 3, 4, 5])
    assert made.repairs == {"hours_interpolated": 1}


def test_entsoe_generation_adds_types_of_one_area(tmp_path: Path) -> None:
    header = "DateTime(UTC)\tResolutionCode\tMapCode\tProductionType\tActualGenerationOutput(MW)"
    rows = [
        f"{t}\tPT60M\t{area}\t{kind}\t{mw}"
        for t in hours(3, form=DAY)
        for area in ("DE_LU", "FR")
        for kind, mw in (("Wind Onshore", 30), ("Wind Offshore", 10), ("Solar", 5))
    ]
    path = write(tmp_path / "g.csv", "\n".join([header, *rows]))
    options = {"map_code": "DE_LU", "production_types": ["Wind Onshore", "Wind Offshore"]}
    assert values("entsoe_generation", path, "wind_cf", options=options, capacity_mw=80).tolist() == [0.5] * 3
    with pytest.raises(ConfigError, match="add capacity_mw"):
        read("entsoe_generation", path, "wind_cf", options=options)
    with pytest.raises(DataError, match=r"no 'PL' in column MapCode.*DE_LU, FR"):
        read("entsoe_generation", path, "wind_cf", options={**options, "map_code": "PL"})


def generation(path: Path, rows: list[tuple[str, str, str, float]]) -> Path:
    header = "DateTime(UTC)\tResolutionCode\tAreaTypeCode\tMapCode\tProductionType\tActualGenerationOutput[MW]"
    cells = [f"{t}\tPT60M\t{area}\tBE\t{kind}\t{mw}" for t, area, kind, mw in rows]
    return write(path, "\n".join([header, *cells]) + "\n")


WINDS = {"map_code": "BE", "production_types": ["Wind Onshore", "Wind Offshore"]}


def test_entsoe_generation_mends_each_type_by_itself(tmp_path: Path) -> None:
    times = hours(5, form=DAY)
    rows = [(t, "BZN", "Wind Onshore", (10.0, 0.0, 50.0, 0.0, 10.0)[i]) for i, t in enumerate(times)]
    rows += [(t, "BZN", "Wind Offshore", 10.0 * i) for i, t in enumerate(times) if i != 2]
    made = read("entsoe_generation", generation(tmp_path / "g.csv", rows), "wind_cf", options=WINDS, capacity_mw=100)
    assert made.values["wind_cf"].tolist() == pytest.approx([0.1, 0.1, 0.7, 0.3, 0.5])
    assert made.repairs == {"hours_interpolated": 1}
    later = [row for row in rows if row[2] == "Wind Onshore" or row[0] > times[2]]  # one type begins after the other
    made = read("entsoe_generation", generation(tmp_path / "h.csv", later), "wind_cf", options=WINDS, capacity_mw=100)
    assert made.values["wind_cf"].tolist() == pytest.approx([0.3, 0.5])
    assert made.repairs == {"empty_hours_cut_at_ends": 3}


def test_entsoe_generation_of_an_area_that_is_several_things_is_chosen(tmp_path: Path) -> None:
    rows = [(t, area, "Wind Onshore", 10.0) for area in ("BZN", "CTA", "CTY") for t in hours(3, form=DAY)]
    path = generation(tmp_path / "g.csv", rows)
    options: dict[str, Any] = {"map_code": "BE", "production_types": ["Wind Onshore"]}
    with pytest.raises(DataError, match="AreaTypeCode holds BZN, CTA, CTY; choose the rows of one"):
        read("entsoe_generation", path, "wind_cf", options=options, capacity_mw=20)
    options = {**options, "where": {"AreaTypeCode": "CTY"}}
    assert values("entsoe_generation", path, "wind_cf", options=options, capacity_mw=20).tolist() == [0.5] * 3


def test_eia_hours_end_at_their_period_and_files_may_run_backwards(tmp_path: Path) -> None:
    header = "period,respondent,respondent-name,type,type-name,value,value-units"
    periods = hours(4, form="%Y-%m-%dT%H")[::-1]
    rest = (["CISO"] * 4, ["California"] * 4, ["D"] * 4, ["Demand"] * 4, [40, 30, 20, 10], ["megawatthours"] * 4)
    made = read("eia", table(tmp_path / "e.csv", header, periods, *rest), "demand_shape", options={"code": "D"})
    assert made.first_hour == first_hour(START) - 1
    assert made.values["demand_shape"] == pytest.approx([0.4, 0.8, 1.2, 1.6])
    assert made.repairs == {"files_reversed": 1}
    wrong = table(tmp_path / "w.csv", header, periods, *rest[:-1], ["megawatthours"] * 3 + ["GWh"])
    with pytest.raises(DataError, match="row 5: value-units = 'GWh'"):
        read("eia", wrong, "demand_shape", options={"code": "D"})


def test_a_price_needs_a_stated_rate_and_the_rate_is_noted(tmp_path: Path) -> None:
    path = table(tmp_path / "p.csv", "Datetime (UTC),Price (USD/MWh)", hours(4), [10, 20, -5, 40])
    with pytest.raises(ConfigError, match="prices are in USD; state the rate"):
        read("price_csv", path, "price_cny_per_mwh")
    options = {"cny_per_unit": 7.0, "rate_source": "mean of 2023"}
    made = read("price_csv", path, "price_cny_per_mwh", options=options)
    assert made.values["price_cny_per_mwh"].tolist() == [70, 140, -35, 280]
    assert "1 USD = 7 CNY, mean of 2023" in made.notes
    chinese = table(tmp_path / "c.csv", "Datetime (UTC),Price (CNY/kWh)", hours(2), [0.3, 0.4])
    assert values("price_csv", chinese, "price_cny_per_mwh") == pytest.approx([300, 400])


def test_prices_of_ember_name_their_country_and_electric_energy(tmp_path: Path) -> None:
    times, header = hours(3, form=DAY), "Country,ISO3 Code,Datetime (UTC),Datetime (Local),Price (EUR/MWhe)"
    path = table(tmp_path / "p.csv", header, ["France"] * 3, ["FRA"] * 3, times, times, [10, 20, 30])
    given = values("price_csv", path, "price_cny_per_mwh", options={"cny_per_unit": 8.0})
    assert given.tolist() == [80, 160, 240]


def test_half_hour_zones_are_split_over_whole_hours(tmp_path: Path) -> None:
    times = [f"2023-01-02 0{h}:30:00+00:00" for h in range(4)]
    path = table(tmp_path / "p.csv", "Datetime (UTC),Price (CNY/MWh)", times, [100, 200, 300, 400])
    made = read("price_csv", path, "price_cny_per_mwh")
    assert made.first_hour == first_hour(START) + 1
    assert made.values["price_cny_per_mwh"].tolist() == [150, 250, 350]
    assert made.repairs == {"rows_split_over_two_hours": 4}


def plant(path: Path, power: list[Any], header: str = "Power (MW)") -> Path:
    pytest.importorskip("openpyxl", reason="the extra `weather` is not installed")
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["Time(year-month-day h:m:s)", header])
    for i, mw in enumerate(power):
        sheet.append([datetime(2019, 1, 1, 8 + i // 4, i % 4 * 15), mw])
    book.save(path)
    return path


def test_chinese_plants_are_averaged_to_hours_on_the_clock_of_beijing(tmp_path: Path) -> None:
    path = plant(tmp_path / "s.xlsx", [10, 20, 30, 40, -0.1, -0.1, -0.1, -0.1])
    made = read("state_grid_xlsx", path, "pv_cf", capacity_mw=50)
    assert made.first_hour == first_hour(datetime(2019, 1, 1, tzinfo=UTC))
    assert made.values["pv_cf"].tolist() == [0.5, 0.0]
    assert made.repairs == {"rows_averaged_to_hours": 8, "values_clipped_to_zero": 1}
    with pytest.raises(DataError, match="capacity_mw or the unit wrong"):
        read("state_grid_xlsx", path, "pv_cf", capacity_mw=5)
    with pytest.raises(DataError, match=r"row 3: Power \(MW\) = 'off' is not a number"):
        read("state_grid_xlsx", plant(tmp_path / "t.xlsx", [1, "off", 2, 3]), "pv_cf", capacity_mw=50)
    with pytest.raises(DataError, match=r"no column 'Power \(MW\)'"):
        read("state_grid_xlsx", plant(tmp_path / "u.xlsx", [1, 2, 3, 4], "Power"), "pv_cf", capacity_mw=50)
    with pytest.raises(DataError, match="not an XLSX workbook"):
        read("state_grid_xlsx", write(tmp_path / "v.xlsx", "no workbook"), "pv_cf", capacity_mw=50)


def test_a_workbook_may_have_other_sheets_empty_columns_and_empty_rows(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl", reason="the extra `weather` is not installed")
    from openpyxl import Workbook

    book = Workbook()
    book.create_sheet("notes")
    sheet = book.create_sheet("plant 1")
    sheet.append(["Time(year-month-day h:m:s)", None, "Power (MW)"])
    for i, mw in enumerate([10, 20, None, -999, 50]):
        sheet.append([f"01.02.2019 0{i + 1}:00", None, mw] if i != 2 else [None])
    book.save(tmp_path / "s.xlsx")
    how = {"sheet": "plant 1", "time_format": "%d.%m.%Y %H:%M", "hour_ending": True, "missing": [-999]}
    made = read("state_grid_xlsx", tmp_path / "s.xlsx", "pv_cf", capacity_mw=50, options=how)
    assert made.first_hour == first_hour(datetime(2019, 1, 31, 16, tzinfo=UTC))
    assert made.values["pv_cf"].tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert made.repairs == {"hours_interpolated": 2}
    with pytest.raises(DataError, match=r"row 5: Power \(MW\) = -999 looks like"):
        read("state_grid_xlsx", tmp_path / "s.xlsx", "pv_cf", capacity_mw=50, options={**how, "missing": None})
    with pytest.raises(ConfigError, match=r"options\.sheet = 9; there are Sheet, notes, plant 1"):
        read("state_grid_xlsx", tmp_path / "s.xlsx", "pv_cf", capacity_mw=50, options={"sheet": 9})


def test_a_tidy_table_comes_back_as_it_was(tmp_path: Path) -> None:
    made = read("tidy_csv", tidy(tmp_path / "t.csv", "anywhere", "temperature_c", NUMBERS), "temperature_c")
    frame = made.table("temperature_c", "horinger")
    assert list(frame.columns) == ["time", "region", "temperature_c"]
    assert frame["time"].iloc[0] == pd.Timestamp(START)
    frame.to_csv(tmp_path / "again.csv", index=False)
    again = read("tidy_csv", tmp_path / "again.csv", "temperature_c")
    np.testing.assert_array_equal(again.values["temperature_c"], made.values["temperature_c"])
    assert again.first_hour == made.first_hour
    with pytest.raises(DataError, match="row 1: unknown column 'temp'"):
        read("tidy_csv", tidy(tmp_path / "u.csv", "x", "temp", NUMBERS), "temperature_c")


@pytest.mark.parametrize("layout", [n for n in NAMES if not n.startswith("jobs_")])
def test_every_layout_refuses_empty_and_foreign_files_in_one_line(tmp_path: Path, layout: str) -> None:
    needed: dict[str, dict[str, Any]] = {
        "eia": {"code": "D"},
        "entsoe_generation": {"map_code": "DE", "production_types": ["Solar"]},
    }
    options = needed.get(layout, {})
    for name, text in (
        ("empty", ""),
        ("blank", "\n \n"),
        ("foreign", "a,b\n1,2\n3,4\n"),
        ("binary", "\x00\x01,\x02\n"),
    ):
        path = write(tmp_path / name, text)
        with pytest.raises(DataError, match=name) as caught:
            read(layout, path, "price_cny_per_mwh" if "price" in layout else "pv_cf", options=options)
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="absent"):
        read(layout, tmp_path / "absent", "pv_cf", options=options)
    with pytest.raises(ConfigError, match=f"colour.*{layout}"):
        read(layout, path, "pv_cf", options={**options, "colour": "red"})
