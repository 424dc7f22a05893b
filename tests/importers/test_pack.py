"""A pack is checked before it is believed, its weeks go to one split only, and what it lacks stays generated."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest

from greenhop.errors import ConfigError, DataError
from greenhop.importers.build import build_pack, weeks_by_split
from greenhop.importers.spec import parse_import
from greenhop.scenario.config import SPLITS, ScenarioConfig
from greenhop.scenario.find import load_scenario
from greenhop.scenario.sites import it_capacity_mw
from greenhop.world.forecast import Forecast
from greenhop.world.given import complete_weeks, pack_checksum, split_of, week_date
from greenhop.world.pack import ARRAYS, MANIFEST, WAITING, Manifest, SplitPlan, load_pack, save_pack
from greenhop.world.year import WorldYear, generate_year
from tests.importers.writers import START, hours, table, tidy
from tests.killing import kill_often

WEEKS = 12
N = WEEKS * 168
RNG = np.random.default_rng(1)
SERIES = {
    "pv_cf": np.tile(np.maximum(0.0, np.sin((np.arange(24) - 6) / 24 * 2 * np.pi)), WEEKS * 7) * RNG.uniform(0.2, 1, N),
    "wind_cf": np.arange(N) / N,  # every hour has a value of its own
    "temperature_c": RNG.uniform(-5, 15, N),
    "price_cny_per_mwh": RNG.uniform(-100, 900, N),
    "carbon_kg_per_mwh": RNG.uniform(200, 900, N),
    "demand_shape": RNG.uniform(0.5, 1.5, N),
}
WORK = "arrivals_ai_training_mwh_per_mw"


def build(folder: Path, **more: Any) -> Manifest:
    """A pack of both sites of `pair2`; the first has every series, the second only a job trace's."""
    inputs = []
    for quantity, values in SERIES.items():
        path = tidy(folder / f"{quantity}.csv", "horinger", quantity, list(values))
        inputs.append({"layout": "tidy_csv", "path": str(path), "region": "horinger", "quantity": quantity})
    frame = table(folder / "w.csv", f"time,region,{WORK}", hours(N), ["y"] * N, [0.25] * N)
    inputs.append({"layout": "tidy_csv", "path": str(frame), "region": "yangtze_demo", "quantity": WORK})
    return build_pack(parse_import({"inputs": inputs, **more}, "test"), folder / "pack")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("world")
    build(path, regions={"horinger": {"shift_h": -8}})  # Mondays of the pack begin at its first row
    return path / "pack"


@pytest.fixture(scope="module")
def scenario(folder: Path) -> ScenarioConfig:
    return load_scenario("pair2", [f"world={folder}"])


@pytest.fixture(scope="module")
def years(scenario: ScenarioConfig) -> dict[str, WorldYear]:
    return {split: generate_year(scenario, split, 0) for split in SPLITS}


def test_the_manifest_tells_what_is_inside_and_where_it_came_from(folder: Path) -> None:
    manifest = load_pack(folder).manifest
    assert len(manifest.arrays) == len(SERIES) + 1
    info = manifest.arrays["horinger/price_cny_per_mwh"]
    assert (info.unit, info.hours, info.start_utc) == ("CNY/MWh", N, START)
    source = manifest.sources[info.source]
    content = (folder.parent / "price_cny_per_mwh.csv").read_bytes()
    assert source["file_sha256"] == hashlib.sha256(content).hexdigest()
    assert load_pack(folder / MANIFEST).manifest == manifest


def test_no_hour_of_one_split_is_seen_in_another(years: dict[str, WorldYear]) -> None:
    seen = {split: set(np.unique(year.weather.wind[:, 0])) for split, year in years.items()}
    assert not seen["train"] & seen["val"]
    assert not seen["train"] & seen["test"]
    assert not seen["val"] & seen["test"]
    assert sum(map(len, seen.values())) == N  # and none is lost
    assert {split: len(values) // 168 for split, values in seen.items()} == {"train": 8, "val": 2, "test": 2}


def test_hours_and_weekdays_stay_in_place_and_series_stay_together(years: dict[str, WorldYear]) -> None:
    year = years["test"]
    row = np.rint(year.weather.wind[:, 0] * N).astype(np.int64)
    assert (row % 168 == np.arange(len(row)) % 168).all()
    np.testing.assert_allclose(year.weather.solar[:, 0], SERIES["pv_cf"][row], rtol=1e-6)
    np.testing.assert_allclose(year.temperature_c[:, 0], SERIES["temperature_c"][row], rtol=1e-6)
    np.testing.assert_allclose(year.grid_price_cny_per_mwh[:, 0], SERIES["price_cny_per_mwh"][row], rtol=1e-6)
    np.testing.assert_allclose(year.carbon_kg_per_mwh[:, 0], SERIES["carbon_kg_per_mwh"][row], rtol=1e-6)
    work = year.online_mwh[:, 0, 0] / SERIES["demand_shape"][row]
    assert work.std() / work.mean() < 1e-5
    assert (year.export_price_cny_per_mwh <= year.grid_price_cny_per_mwh).all()


def test_what_the_pack_lacks_stays_as_it_would_be_without_it(
    years: dict[str, WorldYear], scenario: ScenarioConfig
) -> None:
    plain = generate_year(load_scenario("pair2"), "test", 0)
    year = years["test"]
    assert np.array_equal(year.weather.wind[:, 1], plain.weather.wind[:, 1])
    assert np.array_equal(year.grid_price_cny_per_mwh[:, 1], plain.grid_price_cny_per_mwh[:, 1])
    assert np.array_equal(year.online_mwh[:, 1], plain.online_mwh[:, 1])
    training = list(scenario.deferrable).index("ai_training")
    np.testing.assert_allclose(year.arrivals_mwh[:, 1, training], 0.25 * it_capacity_mw(scenario)[1])
    other = [k for k in range(len(scenario.deferrable)) if k != training]
    assert np.array_equal(year.arrivals_mwh[:, 1, other], plain.arrivals_mwh[:, 1, other])


def test_direct_supply_changes_neither_energy_nor_feed_in_price_of_a_pack(
    years: dict[str, WorldYear], folder: Path
) -> None:
    direct = generate_year(
        load_scenario("pair2", [f"world={folder}", "+sites.horinger.tariff_mode=direct_green"]), "test", 0
    )
    assert np.array_equal(direct.grid_price_cny_per_mwh, years["test"].grid_price_cny_per_mwh)
    assert np.array_equal(direct.export_price_cny_per_mwh, years["test"].export_price_cny_per_mwh)


def test_forecasts_of_real_series_err_and_keep_to_what_is_possible(
    years: dict[str, WorldYear], scenario: ScenarioConfig
) -> None:
    year = years["val"]
    seen = Forecast(scenario, year).at(1000, 24)
    assert np.array_equal(seen["grid_price_cny_per_mwh"][0], year.grid_price_cny_per_mwh[1000])
    apart = np.abs(seen["grid_price_cny_per_mwh"][1:] - year.grid_price_cny_per_mwh[1001:1025])
    assert apart[:, 0].max() > 1.0  # the pack's price is a market price
    assert apart[:, 1].max() == 0.0  # the tariff of the other site is a published schedule
    dark = year.weather.clear[1000:1025, 0] == 0.0
    assert dark.any()
    capacity = [s.wind_mw for s in scenario.sites.values()]
    assert (seen["green_mwh"][dark, 0] <= capacity[0] + 1e-9).all()


def test_quarter_hours_repeat_the_hour(folder: Path, years: dict[str, WorldYear]) -> None:
    fine = generate_year(load_scenario("pair2", [f"world={folder}", "dt_h=0.5"]), "test", 0)
    np.testing.assert_array_equal(fine.weather.wind[::2, 0], years["test"].weather.wind[:, 0])
    np.testing.assert_array_equal(fine.weather.wind[1::2, 0], years["test"].weather.wind[:, 0])


@pytest.mark.parametrize("by", ["weeks", "months", "years"])
def test_every_rule_gives_each_week_to_one_split(by: Any) -> None:
    months = ("train", "val", "test") * 4
    known = {2020: "train", 2021: "val", 2022: "test"}
    plan = SplitPlan.model_validate({"by": by, **({"pattern": months} if by == "months" else {}), "years": known})
    weeks = np.arange(2600, 2800)  # 2019 to 2023
    owner = split_of(weeks, plan)
    assert set(owner) - {""} == set(SPLITS)
    if by == "years":
        year, _, _ = week_date(weeks)
        assert all(o == known.get(int(y), "") for o, y in zip(owner, year, strict=True))


def test_a_split_without_a_week_is_refused_when_the_pack_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"splits: 'val' owns no complete week .* of horinger/pv_cf"):
        build(tmp_path, splits={"by": "months", "pattern": ["train"] * 4 + ["val"] * 4 + ["test"] * 4})
    with pytest.raises(ConfigError, match="no weeks are given to split 'val'"):
        build(tmp_path, splits={"by": "weeks", "pattern": ["train", "test"]})
    with pytest.raises(ConfigError, match="needs 12"):
        build(tmp_path, splits={"by": "months", "pattern": ["train", "val", "test"]})
    with pytest.raises(ConfigError, match="'berlin' has no input"):
        build(tmp_path, regions={"berlin": {"shift_h": 1}})


def test_weeks_begin_on_monday_of_the_shifted_clock(folder: Path) -> None:
    manifest = load_pack(folder).manifest
    info = manifest.arrays["horinger/wind_cf"]
    first, weeks = complete_weeks(info, -8)
    assert weeks[0] * 168 == first
    assert sum(weeks_by_split(info, manifest.regions["horinger"], manifest.splits).values()) == WEEKS
    assert len(complete_weeks(info, 0)[1]) == WEEKS - 1


def resave(folder: Path, edit: Callable[[dict[str, Any]], None] = lambda m: None, data: bytes | None = None) -> None:
    """Change a pack; with new arrays the checksum is made to fit, as an attacker would."""
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    if data is not None:
        (folder / ARRAYS).write_bytes(data)
        manifest["sha256"] = hashlib.sha256(data).hexdigest()
    edit(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def archive(**changed: Any) -> bytes:
    buffer = BytesIO()
    names = [*(f"horinger/{q}" for q in SERIES), f"yangtze_demo/{WORK}"]
    np.savez(buffer, **{name: changed.get(name.partition("/")[2], np.zeros(N, np.float32)) for name in names})
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not a readable archive"),
        (b"PK\x03\x04 broken", "not a readable archive"),
        (archive()[:-40], "not a readable archive"),
        (archive(wind_cf=np.array([{"a": 1}] * 3, dtype=object)), "ValueError"),  # a pickle is never opened
        (archive(wind_cf=np.zeros(N, np.float64)), "larger than 2016 hours"),
        (archive(wind_cf=np.zeros(7, np.float32)), r"expected float32 \(2016,\)"),
        (archive(wind_cf=np.full(N, np.nan, np.float32)), "horinger/wind_cf, hour 0: nan is outside 0…1"),
        (archive(wind_cf=np.full(N, 7, np.float32)), "7 is outside 0…1"),
    ],
)
def test_hostile_arrays_are_refused_even_with_a_fitting_checksum(
    folder: Path, tmp_path: Path, data: bytes, said: str
) -> None:
    copytree(folder, tmp_path / "pack")
    resave(tmp_path / "pack", data=data)
    with pytest.raises(DataError, match=said):
        load_pack(tmp_path / "pack")


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda m: m.update(version=2), "version = 2"),
        (lambda m: m.update(format="zip"), "format = 'zip'"),
        (lambda m: m.update(run="rm"), "run = 'rm'"),
        (lambda m: m.update(sha256="0" * 64), "checksum differs"),
        (lambda m: m["arrays"].pop("horinger/pv_cf"), "other arrays than pack.json lists"),
        (lambda m: m["arrays"]["horinger/pv_cf"].update(hours=10**9), r"hours = 1000000000"),
        (lambda m: m["arrays"]["horinger/pv_cf"].update(quantity="heat"), "unknown quantity 'heat'"),
        (lambda m: m["arrays"]["horinger/pv_cf"].update(source=99), "there are 7 sources"),
        (lambda m: m["regions"].pop("horinger"), "'horinger' is missing"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    folder: Path, tmp_path: Path, edit: Callable[[dict[str, Any]], None], said: str
) -> None:
    copytree(folder, tmp_path / "pack")
    resave(tmp_path / "pack", edit)
    with pytest.raises(DataError, match=said) as caught:
        load_pack(tmp_path / "pack")
    assert "\n" not in str(caught.value)


def test_what_could_not_be_read_again_is_not_written(folder: Path, tmp_path: Path) -> None:
    pack = load_pack(folder)
    wrong = dict(pack.arrays)
    wrong["horinger/wind_cf"] = np.full(N, 7.0, np.float32)
    rest = {name: value for name, value in pack.manifest if name != "sha256"}
    with pytest.raises(DataError, match="array horinger/wind_cf, hour 0: 7 is outside"):
        save_pack(tmp_path / "pack", wrong, **rest)
    assert not (tmp_path / "pack").exists()


KILLED = """
import json, os, signal, sys
from pathlib import Path
import numpy as np
from greenhop.world.pack import RegionClock, SplitPlan, info_of, load_pack, save_pack

folder = Path(sys.argv[1])

def save(value):
    series = {"a/temperature_c": np.full(2016, value, np.float32)}
    infos = {name: info_of(x, "a", "temperature_c", 0, 0) for name, x in series.items()}
    rest = {"splits": SplitPlan(), "regions": {"a": RegionClock()}, "arrays": infos, "sources": [{}]}
    save_pack(folder, series, created_with="test", **rest)

def die_after(calls):
    left = iter(range(calls))
    def dying(call):
        def maybe(*args, **kwargs):
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)
        return maybe
    for name in ("replace", "unlink"):
        setattr(Path, name, dying(getattr(Path, name)))
    for name in ("open", "fdopen", "fsync"):
        setattr(os, name, dying(getattr(os, name)))

save(0.0)
for calls in range(100):
    child = os.fork()
    if not child:
        die_after(calls)
        save(calls + 1.0)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    pack = load_pack(folder)
    values = np.unique(pack.arrays["a/temperature_c"]).tolist()
    print(json.dumps([code, values, pack.manifest.arrays["a/temperature_c"].mean]))
    if code == 0:
        break
"""


def test_a_pack_killed_while_it_is_written_over_another_is_all_of_the_old_or_all_of_the_new(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]  # killed after 0, 1, 2, … calls that touch the disk
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seen = [json.loads(line) for line in done.stdout.splitlines()]
    before = 0.0
    for calls, (code, values, mean) in enumerate(seen):
        assert code == (0 if calls == len(seen) - 1 else -signal.SIGKILL)
        assert values in ([before], [calls + 1.0])  # what a killed import left whole is the old one for the next
        assert values == [mean]
        [before] = values
    assert len(seen) > 6  # both drafts, their renames and the sweep
    assert before == len(seen)
    assert not list(tmp_path.glob(f".{MANIFEST}.*{WAITING}"))


WRITER = """
import sys
from pathlib import Path
import numpy as np
from greenhop.world.pack import RegionClock, SplitPlan, info_of, save_pack

def write(number):
    series = {"a/price_cny_per_mwh": np.full(50_400, number, np.float32)}
    infos = {name: info_of(x, "a", "price_cny_per_mwh", 0, 0) for name, x in series.items()}
    rest = {"splits": SplitPlan(), "regions": {"a": RegionClock()}, "arrays": infos, "sources": [{}]}
    save_pack(Path(sys.argv[1]), series, created_with="test", **rest)
"""


@pytest.mark.skipif(os.name != "posix", reason="forks")
def test_packs_killed_at_any_moment_are_whole_and_no_older_than_the_last_finished_one(
    tmp_path: Path, kills: int
) -> None:
    for done in kill_often(WRITER, kills, str(tmp_path)):
        if not (tmp_path / MANIFEST).is_file():
            assert not done
            continue
        [number] = np.unique(load_pack(tmp_path).arrays["a/price_cny_per_mwh"]).tolist()
        assert number >= max(done, default=0)
    assert (tmp_path / MANIFEST).is_file()


def test_a_scenario_must_name_a_pack_that_is_there_and_fits(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no folder with pack\.npz and pack\.json"):
        generate_year(load_scenario("pair2", [f"world={tmp_path}"]), "test", 0)
    with pytest.raises(ConfigError, match="its regions horinger, yangtze_demo are no sites of tri3"):
        generate_year(load_scenario("tri3", [f"world={folder}"]), "test", 0)


def test_a_changed_pack_is_another_world_to_the_cache(folder: Path, tmp_path: Path) -> None:
    copytree(folder, tmp_path / "pack")
    scenario = load_scenario("pair2", [f"world={tmp_path / 'pack'}"])
    before = pack_checksum(scenario)
    assert before == pack_checksum(load_scenario("pair2", [f"world={folder}"]))
    resave(tmp_path / "pack", lambda m: m["splits"].update(pattern=["val", "train", "test"]))
    assert pack_checksum(scenario) != before
