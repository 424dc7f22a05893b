"""From files to a certified bound: a miniature that always runs, and the real German, Indian and Chinese series."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.core.global_hydra import GlobalHydra

from greenhop.episode.simulator import build_simulator
from greenhop.scenario.find import load_scenario
from greenhop_agents.base.cli import run
from greenhop_agents.commands.import_data import main
from greenhop_agents.scoring.bounds import episode_bounds
from greenhop_agents.scoring.evaluate import evaluate
from greenhop_agents.shelf.find import find_policy
from tests.importers.writers import REAL, open_meteo, table, tidy, write

SMALL = ["episode.length_h=24", "years={train:1,val:1,test:1}"]
N = 13 * 168  # more than the 12 weeks needed: clocks cut the first and the last


def import_data(monkeypatch: pytest.MonkeyPatch, *overrides: str) -> None:
    """The script as it is called."""
    monkeypatch.setattr(sys, "argv", ["import_data.py", *overrides])
    GlobalHydra.instance().clear()
    run("import_data", main)


def drive(folder: Path) -> tuple[float, float]:
    """Cost of a rule in one test episode of `pair2` in the world of a pack, and the certified bound."""
    sim = build_simulator(load_scenario("pair2", [f"world={folder}", *SMALL]), "test")
    starts = sim.bank.spread(1)
    [episode] = evaluate(sim, find_policy("price_follow", sim), starts)
    [bound] = episode_bounds(sim, starts.tolist())
    assert abs(bound.replay_cny - bound.bound_cny) <= 1e-5 * abs(bound.bound_cny)
    return episode.cost_cny, bound.bound_cny


def test_own_files_drive_an_episode_and_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hour, rng = np.arange(N), np.random.default_rng(0)
    speed = (15 + 10 * rng.random(N)).tolist()
    warm = (15 + 8 * np.sin(hour / 24 * 2 * np.pi)).tolist()
    units = {"windspeed_10m": "km/h", "temperature_2m": "°C"}
    open_meteo(tmp_path / "weather.json", {"windspeed_10m": speed, "temperature_2m": warm}, units, offset_s=3600)
    stamps = [str(t) for t in np.datetime64("2023-01-02T00:30") + hour * np.timedelta64(60, "m")]
    price = 60 + 40 * np.sin(hour / 12 * np.pi)
    table(tmp_path / "price.csv.gz", "Datetime (UTC),Price (EUR/MWh)", stamps, price)
    tidy(tmp_path / "shape.csv", "zone", "demand_shape", list(1 + 0.3 * np.sin(hour / 12 * np.pi)))
    spec = """
inputs:
  - {layout: open_meteo_json, path: weather.json, region: horinger, quantity: wind_cf, wind: {hub_height_m: 120}}
  - {layout: open_meteo_json, path: weather.json, region: horinger, quantity: temperature_c}
  - layout: price_csv
    path: price.csv.gz
    region: yangtze_demo
    quantity: price_cny_per_mwh
    source: made up
    licence: none
    options: {cny_per_unit: 7.6, rate_source: made up}
  - {layout: tidy_csv, path: shape.csv, region: yangtze_demo, quantity: demand_shape}
regions: {horinger: {shift_h: 7}}
"""
    write(tmp_path / "spec.yaml", spec)
    pack = tmp_path / "pack"
    import_data(monkeypatch, f"spec={tmp_path / 'spec.yaml'}", f"output={pack}", "tables=true")
    manifest = json.loads((pack / "pack.json").read_text(encoding="utf-8"))
    source = manifest["sources"][2]
    assert (source["licence"], source["repairs"]) == ("none", {"rows_split_over_two_hours": N})
    assert source["notes"] == ["1 EUR = 7.6 CNY, made up"]
    assert (pack / "tables" / "horinger.wind_cf.csv").is_file()
    cost, bound = drive(pack)
    assert bound < cost


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["spec=nowhere.yaml"], "nowhere.yaml"),
        ([], "nothing to import"),
        (["inputs=[{layout: tidy_csv}]"], "inputs.0.path"),
        (["colour=red"], "colour: unknown key"),
    ],
)
def test_mistakes_end_in_one_line_and_exit_code_two(
    overrides: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        import_data(monkeypatch, *overrides)
    shown = capsys.readouterr().err.strip().splitlines()
    assert caught.value.code == 2
    assert len(shown) == 1
    assert said in shown[0]


def real_inputs() -> list[dict[str, Any]]:
    """Germany for Horinger, western India for the delta, a Chinese plant on Horinger's roof."""
    inputs: list[dict[str, Any]] = []
    for site, zone in (("horinger", "DE-LU"), ("yangtze_demo", "IN-WE")):
        weather = {"layout": "open_meteo_json", "path": str(REAL / zone / "weather_2023.json.gz"), "region": site}
        inputs += [{**weather, "quantity": q} for q in ("wind_cf", "temperature_c")]
        carbon = {"layout": "electricity_maps", "path": str(REAL / zone / "ci_2023.csv.gz"), "region": site}
        inputs.append({**carbon, "quantity": "carbon_kg_per_mwh", "licence": "ODbL"})
        price = {"layout": "price_csv", "path": str(REAL / zone / "price_2023.csv.gz"), "region": site}
        rate = {"cny_per_unit": 7.05, "rate_source": "assumption of this test"}
        inputs.append({**price, "quantity": "price_cny_per_mwh", "options": rate})
    inputs.append({**weather, "quantity": "pv_cf"})
    plant = {"layout": "state_grid_xlsx", "path": str(REAL / "china_pv_site3_30mw.xlsx"), "region": "horinger"}
    inputs.append({**plant, "quantity": "pv_cf", "capacity_mw": 30})
    trace = {"layout": "jobs_pai", "path": str(REAL / "jobs_pai_100k.csv.gz"), "region": "yangtze_demo"}
    jobs = {"mean_loading": 0.1, "classes": {"ai_training": {}}}
    inputs.append({**trace, "quantity": "arrivals", "jobs": jobs, "options": {"start": "2023-01-01T00:00+08:00"}})
    return inputs


def test_real_zones_and_a_chinese_plant_drive_an_episode_and_its_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not REAL.is_dir():
        pytest.skip(f"no real data: {REAL} is absent")
    pytest.importorskip("pvlib", reason="the extra `weather` is not installed")
    write(tmp_path / "spec.yaml", json.dumps({"inputs": real_inputs()}))
    import_data(monkeypatch, f"spec={tmp_path / 'spec.yaml'}", f"output={tmp_path / 'pack'}")
    manifest = json.loads((tmp_path / "pack" / "pack.json").read_text(encoding="utf-8"))
    arrays = manifest["arrays"]
    assert arrays["horinger/price_cny_per_mwh"]["minimum"] < 0.0  # Germany had negative prices
    assert 600.0 < arrays["yangtze_demo/carbon_kg_per_mwh"]["mean"] < 750.0
    assert 0.15 < arrays["horinger/pv_cf"]["mean"] < 0.2
    assert 0.15 < arrays["yangtze_demo/pv_cf"]["mean"] < 0.25
    assert arrays["horinger/pv_cf"]["hours"] == 212 * 24
    assert math.isclose(arrays["yangtze_demo/arrivals_ai_training_mwh_per_mw"]["mean"], 0.1, rel_tol=1e-4)
    india = manifest["sources"][arrays["yangtze_demo/price_cny_per_mwh"]["source"]]
    assert india["repairs"] == {"rows_split_over_two_hours": 8760}
    cost, bound = drive(tmp_path / "pack")
    assert bound < cost
