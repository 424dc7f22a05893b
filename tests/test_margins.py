"""No policy below the bound: the script that plays many episodes against their bounds, on a few."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

from greenhop import saying
from greenhop_agents.scoring.bounds import EpisodeBound, episode_bounds
from greenhop_agents.studies import margins as module
from greenhop_agents.studies.margins import MarginsConfig, random_actions, scenario_margins, scenarios_of
from tests.sims import day_sim

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "margins.py"
NOTHING = [f"scenarios.{name}=0" for name in ("hub10", "hub10-outage", "hub10-calm", "hub10-surge", "hub10-offgrid")]
NOTHING += [f"scenarios.{name}=0" for name in ("hub10-spot", "hub10-direct", "hub10-2030", "hub10-15min", "hub12")]
FEW = ["scenarios.city57=0", *NOTHING, "at_most=1", "length_h=6", "workers=1"]
Script = Callable[..., tuple[int, str, str]]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Script:
    """Runs `scripts/margins.py` in this process: exit code, output, errors."""

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


def settings(**changes: Any) -> MarginsConfig:
    given = {"scenarios": {"pair2": 2}, "at_most": None, "length_h": 12.0, "split": "test", "policies": ["stay"]}
    return MarginsConfig.model_validate({**given, "spreads": [1.0], "jobs": [], "only": [], "seed": 0, **changes})


def test_a_controller_that_sees_the_whole_episode_reaches_the_bound_and_stays_above_it() -> None:
    config = settings(policies=["price_follow", "mpc_perfect"])
    [scenario] = scenarios_of(config).values()
    for margin in scenario_margins(config, scenario):
        assert margin.nearest == "mpc_perfect"
        assert 0.0 <= margin.relative < 1e-6
        assert set(margin.costs_cny) == {"price_follow", "mpc_perfect", "random_1"}
        assert margin.as_row()["margin_cny"] == margin.margin_cny


def test_no_policy_pays_less_than_the_bound_of_the_flows_with_whole_jobs() -> None:
    policies = ["stay", "price_follow", "pretrained/pair2-shac"]
    config = settings(scenarios={"pair2-jobs": 3}, length_h=24.0, policies=policies, jobs=[30, 300])
    [scenario] = scenarios_of(config).values()
    found = scenario_margins(config, scenario)
    assert len(found) == 3
    for margin in found:
        assert set(margin.jobs_cny) == {30, 300}
        assert len(margin.paid_cny) == 4 * 3
        assert all(cost >= margin.bound_cny for cost in margin.paid_cny.values())
        assert margin.jobs_cny[30]["price_follow"] != margin.jobs_cny[300]["price_follow"]


def test_the_script_says_how_close_policies_came(script: Script, tmp_path: Path) -> None:
    code, out, _ = script(*FEW, f"json={tmp_path / 'out.json'}")
    assert code == 0
    assert "2 episodes, 6 policies on each: 0 below the bound" in out
    records = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert [r["scenario"] for r in records] == ["pair2", "tri3"]
    for r in records:
        cheapest = min(
            value for key, value in r.items() if key.endswith("_cny") and key[:6] not in ("bound_", "margin")
        )
        assert cheapest - r["bound_cny"] == r["margin_cny"] > 0.0


def test_a_cost_below_the_bound_is_told_and_ends_in_exit_code_one(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_high(*args: Any, **options: Any) -> list[EpisodeBound]:
        return [replace(b, bound_cny=2.0 * b.bound_cny) for b in episode_bounds(*args, **options)]

    monkeypatch.setattr(module, "episode_bounds", too_high)
    code, out, err = script(*FEW, "scenarios.tri3=0")
    assert code == 1
    assert "1 below the bound" in out
    assert " in pair2, start " in err


def test_random_actions_fill_the_action_space_and_repeat() -> None:
    sim = day_sim("pair2")
    obs = torch.zeros(500, 1, dtype=torch.float64)
    first, second = (random_actions(sim, 1.0, 3).act(obs) for _ in range(2))
    assert torch.equal(first, second)
    assert (float(first.min()), float(first.max())) == (-1.0, 1.0)
    assert float(random_actions(sim, 0.1, 3).act(obs).std()) == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("scenarios.pair2=-1", "scenarios.pair2 = -1"),
        ("+scenarios.hub13=1", "did you mean hub12?"),
        ("policies=[price_folow]", "did you mean price_follow?"),
        ("length_h=0.3", "length_h = 0.3"),
        ("at_most=0", "at_most = 0"),
        ("only=[pair3]", "only: 'pair3' is unknown; allowed: pair2"),
        ("jobs=[0]", "jobs.0 = 0"),
    ],
)
def test_mistakes_end_in_one_line_and_exit_code_two(script: Script, argument: str, said: str) -> None:
    code, out, err = script(*FEW, argument)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_nothing_to_do_is_a_mistake(script: Script) -> None:
    code, _, err = script(*FEW, "policies=[]", "spreads=[]")
    assert code == 2
    assert "no policy is left" in err
