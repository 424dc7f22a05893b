"""The table of targets, what is measured against it, and the figures of a world."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from greenhop.episode.simulator import build_simulator
from greenhop.scenario.find import load_scenario
from greenhop.scenario.tables import load_table
from greenhop_agents.policies.rules import Stay
from greenhop_agents.report.calibration_figures import draw_all
from greenhop_agents.scoring.evaluate import evaluate
from greenhop_agents.studies.calibration import Check, checks, facts, ladder, measure

ROOT = Path(__file__).resolve().parents[1]
QUICK = ["forecast.mode=perfect", "episode.length_h=24"]


def check(value: float | None, low: float | None = None, high: float | None = None) -> Check:
    return Check("x", "what", "%", low, high, "assumption", value)


def test_a_check_passes_inside_its_range_and_is_silent_without_a_value() -> None:
    assert check(5.0, low=5.0).passed
    assert not check(4.9, low=5.0).passed
    assert check(50.0, high=50.0).passed
    assert not check(50.1, 40.0, 50.0).passed
    assert check(None, low=5.0).passed is None
    assert [check(1.0, *r).wanted for r in ((5.0, None), (None, 5.0), (4.0, 5.0))] == ["≥ 5", "≤ 5", "4–5"]


def test_every_target_has_a_range_a_unit_and_a_source() -> None:
    for c in checks({}):
        assert c.low is not None or c.high is not None, c.name
        assert c.unit, c.name
        assert c.source, c.name


def test_every_target_is_measured_on_hub10_but_those_of_other_scenarios() -> None:
    sim = build_simulator("hub10", "test", year_ids=[0], overrides=["forecast.mode=perfect", "episode.length_h=4"])
    measured = measure(sim, [100], bounds=1, workers=1)
    values = {**facts(sim), **ladder(sim, measured)}
    assert set(load_table("calibration")) - set(values) == {"direct_saving", "price_xinjiang"}
    assert set(values) <= set(load_table("calibration"))


def test_the_ladder_measures_what_it_says() -> None:
    sim = build_simulator("pair2", "test", year_ids=[0], overrides=QUICK)
    starts = [40, 200]
    measured = measure(sim, starts, bounds=2, workers=1)
    found = ladder(sim, measured)
    stay = evaluate(sim, Stay(), starts)
    costs = measured.costs_cny()
    assert costs["stay"] == pytest.approx(sum(e.cost_cny for e in stay) / 2)
    assert found["bound_of_stay"] == pytest.approx(100 * costs["bound"] / costs["stay"])
    assert costs["bound"] < costs["price_follow"] < costs["stay"]
    it_mwh = sum(site["it_mwh"] for e in stay for site in e.sites.values())
    assert found["it_power"] == pytest.approx(100 * it_mwh / (500.0 * 48), rel=1e-6)
    for name in ("pools_bind", "links_bind", "batteries_bind"):
        assert 0.0 <= found[name] <= 100.0


def test_energies_by_site_add_up_to_the_totals() -> None:
    sim = build_simulator("tri3", "test", year_ids=[0], overrides=QUICK)
    episode = evaluate(sim, Stay(), [10])[0]  # a policy of plans, whose every step is seen
    for name, total in (("facility_mwh", "facility_mwh"), ("exported_mwh", "exported_mwh")):
        assert sum(s[name] for s in episode.sites.values()) == pytest.approx(episode.totals[total], rel=1e-5, abs=1e-3)
    for site in episode.sites.values():
        parts = site["self_used_mwh"] + site["exported_mwh"] + site["curtailed_mwh"]
        assert parts == pytest.approx(site["green_mwh"], rel=1e-5, abs=1e-3)


def test_the_script_prints_writes_and_exits_with_one_when_a_target_is_missed(tmp_path: Path) -> None:
    out = tmp_path / "calibration.json"
    direct = tmp_path / "direct.yaml"
    direct.write_text(
        "defaults: [pair2, _self_]\nname: direct\nepisode: {length_h: 12}\nyears: {test: 1}\n"
        "sites: {horinger: {tariff_mode: direct_green}}\n"
    )
    command = ["scenario=pair2", "episodes=1", "workers=1", f"json={out}", *(f"scenario.{q}" for q in QUICK)]
    command += [f"direct={direct}", "direct_bounds=1"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "calibrate.py"), *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr  # two hubs have no mean latency like that of ten
    assert "missed" in done.stdout
    written = json.loads(out.read_text(encoding="utf-8"))
    verdicts = {c["name"]: c["passed"] for c in written["checks"]}
    assert verdicts["latency_mean"] is False
    saving = next(c["value"] for c in written["checks"] if c["name"] == "direct_saving")
    assert abs(saving) < 100.0
    assert written["cost_cny"]["bound"] < written["cost_cny"]["stay"]


def test_figures_are_drawn_and_small(tmp_path: Path) -> None:
    scenario = load_scenario("pair2", ["years.train=1"])
    spot = load_scenario("pair2", [f"+sites.{s}.tariff_mode=spot" for s in scenario.sites])
    for path in draw_all(scenario, spot, tmp_path):
        assert path.read_bytes()[:4] == b"\x89PNG"
        assert 5_000 < path.stat().st_size < 300_000
