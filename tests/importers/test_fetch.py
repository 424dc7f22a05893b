"""Real weather in one command from services that are busy, broken or wrong: a stand-in on this machine plays them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.core.global_hydra import GlobalHydra

from greenhop.episode.simulator import build_simulator
from greenhop.errors import ConfigError, DataError
from greenhop.importers.fetch import FetchConfig, fetch
from greenhop.importers.spec import read_input
from greenhop.scenario.find import load_scenario
from greenhop.world.pack import load_pack
from greenhop_agents.commands.main import run_command
from tests.importers.weather_services import Answer, Services, nasa_power, weather_services
from tests.importers.writers import read, tidy, write

pytest.importorskip("pvlib", reason="the extra `weather` is not installed")
NAMES = ("nasa_power", "openmeteo", "pvgis")
HOURS = 8760


@pytest.fixture
def services() -> Iterator[Services]:
    with weather_services() as running:
        yield running


def config(services: Services, name: str, years: tuple[int, ...] = (2023,), **more: Any) -> FetchConfig:
    how = {"base_url": services.endpoint(name), "wait_s": 0.0, "tries": 3, "timeout_s": 5, **more.pop("service", {})}
    return FetchConfig.model_validate({"fetch": name, "years": list(years), "service": how, **more})


def site_inputs(services: Services, name: str, folder: Path, **more: Any) -> dict[str, Any]:
    """One site's series by quantity."""
    inputs = fetch(config(services, name, **more), load_scenario("pair2"), folder)
    return {i.quantity: read_input(i) for i in inputs if i.region == "horinger"}


@pytest.mark.parametrize("name", NAMES)
def test_two_years_of_every_service_become_series_without_a_seam(services: Services, name: str, tmp_path: Path) -> None:
    made = site_inputs(services, name, tmp_path, years=(2022, 2023))
    for series in made.values():
        assert 2 * HOURS - 1 <= series.hours <= 2 * HOURS + 24
        assert "hours_interpolated" not in series.repairs
    sun = made["pv_cf"].values["pv_cf"]
    noon = sun[: len(sun) // 24 * 24].reshape(-1, 24).mean(0).argmax()
    assert (noon + 8) % 24 in (11, 12)  # of the site's clock, UTC+8
    assert 0.05 < sun.mean() < 0.4
    assert np.abs(np.diff(made["temperature_c"].values["temperature_c"])).max() < 3.0  # at the turn of the year too
    assert 0.1 < made["wind_cf"].values["wind_cf"].mean() < 0.6


def test_what_has_arrived_is_not_asked_for_again(services: Services, tmp_path: Path) -> None:
    scenario, wanted = load_scenario("pair2"), config(services, "nasa_power", (2022, 2023))
    full = [Answer(429, "", {"Retry-After": "0"})] * 3
    services.instead = [Answer(503, "down")]  # gone through at the second try
    first = fetch(wanted, scenario, tmp_path)
    assert len(services.asked) == 5
    paths = sorted({p for i in first for p in i.path})
    assert len(paths) == 4
    paths[2].unlink()
    services.asked.clear()
    services.instead = list(full)
    with pytest.raises(DataError, match=r"HTTP 429: Too Many Requests, 3 times; run the same command again later"):
        fetch(wanted, scenario, tmp_path)
    assert fetch(wanted, scenario, tmp_path) == first
    assert len(services.asked) == 4
    assert {a["start"] for a in services.asked} == {f"{paths[2].name.split('-')[1]}0101"}
    assert not list(tmp_path.rglob("*.unchecked"))


def test_a_busy_service_is_waited_for_as_long_as_it_says(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("greenhop.importers.download.time.sleep", waits.append)
    limit = '{"error":true,"reason":"Minutely API request limit exceeded. Please try again in one minute."}'
    services.instead = [
        Answer(429, limit),
        Answer(429, limit, {"Retry-After": "61"}),
        Answer(502, "<html>"),
        Answer(429, limit),
    ]
    caplog.set_level("INFO", "greenhop")
    site_inputs(services, "openmeteo", tmp_path, service={"tries": 8, "wait_s": 20.0})
    assert waits == [20.0, 61.0, 60.0, 60.0]  # doubled up to a minute, unless the service says how long
    assert "openmeteo, horinger 2023: HTTP 429: Minutely API request limit exceeded" in caplog.messages[0]


@pytest.mark.parametrize(
    ("name", "answer", "said"),
    [
        (
            "openmeteo",
            Answer(400, '{"error":true,"reason":"Parameter out of range"}'),
            "HTTP 400: Parameter out of range",
        ),
        ("pvgis", Answer(400, '{"message":"Location over the sea.","status":400}'), "HTTP 400: Location over the sea"),
        ("nasa_power", Answer(422, '{"messages":["start is wrong"],"type":"x"}'), "HTTP 422: start is wrong"),
        ("nasa_power", Answer(404, "<html>nothing</html>"), "HTTP 404: Not Found"),
    ],
)
def test_a_refusal_is_said_in_the_words_of_the_service_and_not_repeated(
    services: Services, tmp_path: Path, name: str, answer: Answer, said: str
) -> None:
    services.instead = [answer]
    with pytest.raises(DataError, match=f"{name}, horinger 2023: {said}"):
        site_inputs(services, name, tmp_path)
    assert len(services.asked) == 1


@pytest.mark.parametrize(
    "body", ["<html>maintenance</html>", '{"hourly": {"time": ["2023-01-01T00:00"', "", "{}", "[]"]
)
@pytest.mark.parametrize("name", NAMES)
def test_an_answer_that_is_no_weather_is_not_kept(services: Services, tmp_path: Path, name: str, body: str) -> None:
    services.instead = [Answer(200, body)] * 3
    with pytest.raises(DataError, match=f"{name}, horinger 2023: the answer cannot be read .* 3 times"):
        site_inputs(services, name, tmp_path)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_an_answer_that_breaks_off_is_asked_for_again(services: Services, tmp_path: Path) -> None:
    services.instead = [Answer(200, "-BEGIN", {"Content-Length": "5000", "Connection": "close"})]
    site_inputs(services, "nasa_power", tmp_path, service={"timeout_s": 1})
    assert len(services.asked) == 3  # two sites, one of them twice


@pytest.mark.parametrize("name", NAMES)
def test_short_gaps_are_bridged_and_long_ones_name_their_row(services: Services, tmp_path: Path, name: str) -> None:
    services.gaps = [5000, 5001]
    made = site_inputs(services, name, tmp_path / "short")["temperature_c"]
    assert made.repairs["hours_interpolated"] >= 2
    services.gaps = list(range(5000, 5010))
    with pytest.raises(DataError, match=r"row \d+: \w+ is missing for 1[01] h from 2023-0\S+ UTC on; max_gap_h = 3"):
        site_inputs(services, name, tmp_path / "long")


def test_a_key_is_sent_and_told_to_nobody(services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENHOP_WEATHER_KEY", "s3cret")
    services.instead = [Answer(400, '{"reason":"no"}')]
    with pytest.raises(DataError) as caught:
        site_inputs(services, "openmeteo", tmp_path)
    assert "s3cret" not in str(caught.value)
    site_inputs(services, "openmeteo", tmp_path)
    assert {a["apikey"] for a in services.asked} == {"s3cret"}
    kept = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert not any("s3cret" in f"{p} {p.read_text('utf-8')}" for p in kept)
    with pytest.raises(ConfigError, match=r"NASA POWER .* wants no key"):
        site_inputs(services, "nasa_power", tmp_path, service={"key": "x"})


def test_wrong_years_and_addresses_are_refused(services: Services, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="they must follow each other"):
        config(services, "pvgis", (2020, 2022))
    with pytest.raises(ConfigError, match=r"must begin with https:// or http://"):
        site_inputs(services, "pvgis", tmp_path, service={"base_url": "file:///etc/passwd"})
    with pytest.raises(DataError, match=r"nasa_power, horinger 2023: no answer .* 3 times"):
        site_inputs(services, "nasa_power", tmp_path, service={"base_url": "http://127.0.0.1:1/x"})


def test_pvgis_files_are_read_as_csv_too_and_only_level_radiation_counts(tmp_path: Path) -> None:
    head = "Latitude (decimal degrees):\t40.000\r\nLongitude (decimal degrees):\t113.000\r\nElevation (m):\t1000\r\n"
    head += "Radiation database:\tPVGIS-ERA5\r\n\r\n\r\nSlope: SLOPE deg. \r\nAzimuth: 0 deg. \r\n"
    rows = "".join(f"20230102:{h:02}30,{100 * h},50.0,0.0,10.0,{h}.5,3.0,0.0\r\n" for h in range(4))
    text = f"{head}time,Gb(i),Gd(i),Gr(i),H_sun,T2m,WS10m,Int\r\n{rows}\r\nGb(i): Beam\r\n"
    path = write(tmp_path / "p.csv", text.replace("SLOPE", "0"))
    assert read("pvgis", path, "temperature_c").values["temperature_c"].tolist() == [0.5, 1.5, 2.5, 3.5]
    write(path, text.replace("SLOPE", "0").replace("20230102:03", "20230102:01"))
    with pytest.raises(DataError, match=r"p\.csv, row 13: time goes back"):
        read("pvgis", path, "temperature_c")
    write(path, text.replace("SLOPE", "35"))
    with pytest.raises(ConfigError, match="needs irradiance or cloud cover"):
        read("pvgis", path, "pv_cf")


def command(monkeypatch: pytest.MonkeyPatch, *overrides: str) -> None:
    monkeypatch.setattr(sys, "argv", ["greenhop", *overrides])
    GlobalHydra.instance().clear()
    run_command("import_data")


def test_one_command_makes_a_world_that_a_scenario_can_live_in(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = tmp_path / "pack"
    own = tidy(tmp_path / "price.csv", "x", "price_cny_per_mwh", [300.0 + i % 24 for i in range(HOURS)])
    price = f"{{layout: tidy_csv, path: {own}, region: horinger, quantity: price_cny_per_mwh}}"
    base = f"service.base_url={services.endpoint('nasa_power')}"
    command(
        monkeypatch, "fetch=nasa_power", "scenario=pair2", "years=[2023]", base, f"output={pack}", f"inputs=[{price}]"
    )
    manifest = json.loads((pack / "pack.json").read_text(encoding="utf-8"))
    assert len(manifest["arrays"]) == 7
    source = manifest["sources"][manifest["arrays"]["horinger/wind_cf"]["source"]]
    assert source["source"].startswith("NASA POWER")
    assert "acknowledge" in source["licence"]
    assert (pack / "downloads" / "nasa_power" / source["file"]).is_file()
    assert len(source["file_sha256"]) == 64
    scenario = load_scenario("pair2", [f"world={pack}", "episode.length_h=24", "years={train:1,val:1,test:1}"])
    sim = build_simulator(scenario, "test")
    held = load_pack(pack).arrays["horinger/temperature_c"]
    assert np.isin(sim.bank.table.numpy().astype(np.float32), held).any()


def test_the_scenario_of_real_weather_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        build_simulator("hub10-real", "test")
    wanted = "greenhop import fetch=nasa_power scenario=hub10-real 'years=[2022,2023]' output=runs/hub10-real"
    assert wanted in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_stand_in_speaks_as_the_service_does() -> None:
    asked = {"start": "20230101", "end": "20230101", "latitude": "40", "longitude": "113", "time-standard": "UTC"}
    text = nasa_power({**asked, "parameters": "T2M"}, [3])
    assert text.startswith("-BEGIN HEADER-\nNASA/POWER")
    assert "2023,1,1,3,-999.0\n" in text
