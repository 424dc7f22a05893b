"""What a mechanism is worth: blind and absent optima against the true one, and the script that prints them."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

from greenhop import saying
from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.errors import ConfigError
from greenhop.lp.solve import Options
from greenhop_agents.scoring.bounds import Task, episode_window
from greenhop_agents.studies.felt import FeltConfig, Mechanism, View, felt, overridden, seen_as

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "felt.py"
FEW = ["scenario=pair2", "scenario.years.test=1", "episodes=2", "length_h=6"]
Script = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def sim() -> Simulator:
    return build_simulator("pair2", "test", overrides=["episode.length_h=12"], year_ids=[0])


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Script:
    """Runs `scripts/felt.py` in this process: exit code, output, errors."""

    def call(*arguments: str) -> tuple[int, str, str]:
        GlobalHydra.instance().clear()
        monkeypatch.setattr(saying, "_ended_s", float("-inf"))  # no work of other tests is part of its wait
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
        code: Any = 0
        try:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return call


def measured(sim: Simulator, **mechanisms: Mechanism) -> dict[str, tuple[float | None, float | None]]:
    found = felt(FeltConfig(only=[], mechanisms=mechanisms), sim, [3, 200])
    return {f.name: (f.blind_cny, f.absent_cny) for f in found}


def test_who_ignores_nothing_pays_nothing_and_who_lacks_nothing_saves_nothing(sim: Simulator) -> None:
    nothing = View()
    found = measured(sim, nothing=Mechanism(blind=nothing, absent=nothing))
    assert found["nothing"] == pytest.approx((0.0, 0.0), abs=2.0)  # CNY, of a bill near two million


def test_ignoring_costs_money_and_absence_costs_or_spares_it(sim: Simulator) -> None:
    free = View(factors={"demand_fee_cny_per_mw": 0.0})
    still = View(factors={"charge_limit_mwh": 0.0})
    found = measured(sim, fee=Mechanism(blind=free, absent=free), store=Mechanism(absent=still))
    blind, absent = found["fee"]
    assert blind is not None
    assert absent is not None
    assert blind > 1000.0  # who knows of no fee pays more of it
    assert absent < -1000.0  # where there is none, the bill is smaller
    assert found["store"][0] is None
    assert (found["store"][1] or 0.0) > 1000.0  # batteries earn


def test_a_view_changes_what_it_names_and_nothing_else(sim: Simulator) -> None:
    task = Task(*episode_window(sim, 3), Options())
    rules = ["deferrable.ai_training.restart_overhead=0.5"]
    view = View(overrides=rules, factors={"link_gb": 10.0, "green_mwh": 0.5}, flat=["pue_full"])
    seen = seen_as(view, sim.scenario, task)
    k = task.params.deferrable.index("ai_training")
    assert float(seen.params.restart_overhead[k]) == 0.5
    assert torch.equal(seen.params.link_gb, 10.0 * task.params.link_gb)
    assert torch.equal(seen.params.capacity_mwh, task.params.capacity_mwh)
    assert torch.equal(seen.rows.green_mwh, 0.5 * task.rows.green_mwh)
    assert torch.equal(seen.rows.grid_price_cny_per_mwh, task.rows.grid_price_cny_per_mwh)
    assert torch.allclose(seen.rows.pue_full, task.rows.pue_full.mean(0).expand_as(task.rows.pue_full))
    assert float(task.rows.pue_full.std(0).max()) > 0.0


def test_a_rule_that_the_schema_does_not_know_is_refused(sim: Simulator) -> None:
    with pytest.raises(ConfigError, match="restart_overhed"):
        overridden(sim.scenario, ["deferrable.ai_training.restart_overhed=0.5"])


def test_the_script_prints_a_line_per_mechanism_and_writes_records(script: Script, tmp_path: Path) -> None:
    code, out, _ = script(*FEW, "only=[demand fee,batteries]", f"json={tmp_path / 'felt.json'}")
    assert code == 0
    assert "| demand fee" in out
    assert "| batteries" in out
    fee, store = json.loads((tmp_path / "felt.json").read_text(encoding="utf-8"))
    assert fee["blind_percent"] == pytest.approx(100.0 * fee["blind_cny"] / fee["bound_cny"])
    assert fee["absent_points"] == pytest.approx(100.0 * fee["absent_cny"] / fee["saving_cny"])
    assert store["blind_cny"] is None


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("only=[bandwith]", "'bandwith' is no mechanism; allowed: hourly price"),
        ("+mechanisms.mine={blind:{factors:{link_gigabytes:2}}}", "'link_gigabytes' is no number of a step"),
        ("+mechanisms.mine={blind:{flat:[price]}}", "'price' is no number of a step"),
        ("length_h=0.3", "length_h = 0.3"),
    ],
)
def test_mistakes_end_in_one_line_and_exit_code_two(script: Script, argument: str, said: str) -> None:
    code, out, err = script(*FEW, argument)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
