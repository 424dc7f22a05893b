"""The results that are committed: whole, never below the bound, and quoted as they are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from greenhop_agents.benchmark.results import COLUMNS
from greenhop_agents.scoring.evaluate import scores
from greenhop_agents.scoring.stats import interval

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"
SCENARIOS = ("hub10", "pair2")
ELSEWHERE = "generalisation"
LEAST = {"stay", "price_follow", "greenest", "static", "mpc", "mpc_perfect", "ppo", "shac", "sb3_ppo", "sb3_sac"}


def frame_of(scenario: str) -> pd.DataFrame:
    return pd.read_csv(RESULTS / scenario / "results.csv")


def facts_of(scenario: str) -> dict[str, Any]:
    found = json.loads((RESULTS / scenario / "facts.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_agent_played_every_held_out_episode_and_learners_with_every_seed(scenario: str) -> None:
    frame = frame_of(scenario)
    assert tuple(frame.columns) == COLUMNS
    assert set(frame["agent"]) >= LEAST
    assert frame["split"].unique().tolist() == ["test"]
    assert frame["episode"].nunique() >= 16
    facts = facts_of(scenario)
    for agent, part in frame.groupby("agent"):
        assert sorted(part["seed"].unique()) == (facts["seeds"] if agent in facts["training"] else [0])
        assert len(part) == part["seed"].nunique() * frame["episode"].nunique()


def test_every_agent_played_every_episode_of_every_setting_elsewhere() -> None:
    frame = frame_of(ELSEWHERE)
    assert set(frame["agent"]) >= {"stay", "price_follow", "mpc", "ppo", "shac"}
    assert frame["scenario"].nunique() >= 14
    played = frame.groupby(["agent", "seed"]).size()
    assert played.nunique() == 1
    assert played.iloc[0] == frame.groupby(["scenario", "episode"]).ngroups


def test_what_is_said_of_results_elsewhere_is_what_they_are() -> None:
    frame = frame_of(ELSEWHERE)
    frame["score"] = scores(frame["reference_cny"], frame["cost_cny"], frame["bound_cny"])

    def of(agent: str, setting: str) -> str:
        part = frame[(frame["agent"] == agent) & (frame["scenario"] == setting)]
        return f"{interval(part.pivot(index='seed', columns='episode', values='score').to_numpy()).value:.1f}"

    page = (ROOT / "docs/score.md").read_text(encoding="utf-8")
    for setting, said in (("forecast_persistence", "under persistence"), ("forecast_none", "without forecasts")):
        assert f"{of('shac', setting)} against {of('mpc', setting)} {said}" in page
    for setting in ("dear_carbon", "negotiated", "spot", "surge", "outage", "offgrid"):
        assert f"`{setting}` {of('shac', setting)}" in page
    assert f"{of('shac', 'without_guian')} without Guian, {of('shac', 'hub12')} on `hub12`" in page
    assert of("shac", "capacities_2030").replace("-", "−") in page


@pytest.mark.parametrize("scenario", [*SCENARIOS, ELSEWHERE])
def test_no_committed_cost_is_below_its_bound(scenario: str) -> None:
    frame = frame_of(scenario)
    assert (frame["cost_cny"] >= frame["bound_cny"]).all()


@pytest.mark.parametrize("scenario", [*SCENARIOS, ELSEWHERE])
def test_published_results_say_how_they_were_made(scenario: str) -> None:
    facts = facts_of(scenario)
    assert re.match(rf"(python scripts/benchmark\.py|greenhop benchmark) benchmark={scenario} ", facts["command"])
    assert len(facts["seeds"]) >= 3
    assert facts["hardware"]
    table = (RESULTS / scenario / "table.md").read_text(encoding="utf-8")
    pictures = re.findall(r"\((figures/.+?)\)", table)
    assert pictures
    assert all((RESULTS / scenario / name).is_file() for name in pictures)


def test_the_readme_quotes_scores_and_intervals_as_they_are() -> None:
    frame, facts = frame_of("pair2"), facts_of("pair2")
    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("−", "-")
    quoted = dict(re.findall(r"^\| `(\w+)` \|(.+)\|$", text, re.MULTILINE))
    assert set(quoted) == set(frame["agent"]) - {"price_follow"}
    for agent, cells in quoted.items():
        part = frame[frame["agent"] == agent].pivot(index="seed", columns="episode")
        estimate = interval(scores(part["reference_cny"], part["cost_cny"], part["bound_cny"]))
        found, steps = (cell.strip() for cell in cells.split("|"))
        assert found == f"{estimate.value:.1f} ({estimate.low:.1f} … {estimate.high:.1f})", agent
        if agent not in facts["training"]:
            assert steps == ""
            continue
        number = steps.removesuffix(" steps").replace(",", "")
        trained = float(number.removesuffix(" M")) * (1e6 if number.endswith(" M") else 1)
        assert trained == pytest.approx(facts["training"][agent]["steps"], rel=0.01), agent
