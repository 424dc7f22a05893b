"""What a user meets first: the names that the two packages offer, and a score in three lines."""

from __future__ import annotations

import inspect
import logging
import re
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import greenhop
import greenhop_agents
from greenhop import ConfigError, build_simulator, saying
from greenhop.cache import cached
from greenhop.importers.build import build_pack
from greenhop.lp.bound import bound as lp_bound
from greenhop.lp.replay import replay
from greenhop.lp.window import make_window
from greenhop.scenario.join import build_params
from greenhop.world.bank import build_bank
from greenhop.world.year import generate_year
from greenhop_agents import bound, evaluate, load_policy
from greenhop_agents.commands.main import command_names
from greenhop_agents.scoring.bounds import episode_bounds
from greenhop_agents.scoring.evaluate import evaluate as run_episodes
from greenhop_agents.scoring.scoreboard import summarise

PACKAGES = (greenhop, greenhop_agents)
DAY = ["episode.length_h=24", "years.test=1"]
SCORE = """
from greenhop_agents import score
table = score("greenest", "pair2", overrides=["episode.length_h=24", "years.test=1"], episodes=1)
print(table)
"""


def test_a_score_from_python_is_three_lines_and_a_data_frame(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(SCORE.strip().splitlines()) == 3
    names: dict[str, pd.DataFrame] = {}
    exec(SCORE, names)
    table = names["table"]
    costs = table["cost_cny"].to_numpy()
    assert list(table.index) == ["greenest", "stay", "price_follow", "bound"]
    assert table.loc["price_follow", "score"] == 0.0
    assert table.loc["bound", "score"] == pytest.approx(100.0, abs=0.01)
    assert (costs >= costs[-1] * (1 - 1e-6)).all()
    assert "greenest" in capsys.readouterr().out


def test_what_takes_long_is_said_on_stderr_unless_logging_is_set_up(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = logging.Logger("alone")
    monkeypatch.setattr(saying, "log", alone)
    for handlers, expected in (([], "year 1 of 2\n"), ([logging.NullHandler()], "")):
        alone.handlers[:] = handlers
        monkeypatch.setattr(saying, "_last_s", float("-inf"))
        saying.say("year %s of %d", "1", 2)
        saying.say("not again a moment later")
        assert capsys.readouterr().err == expected


def test_what_is_at_work_says_so_whenever_nothing_was_said_for_a_while(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SILENCE_S", "EVERY_S"):
        monkeypatch.setattr(saying, name, 0.05)
    monkeypatch.setattr(saying, "log", logging.Logger("alone"))
    monkeypatch.setattr(saying, "_last_s", float("-inf"))
    with saying.at_work("outside"):
        with saying.at_work("quick"):
            pass
        assert capsys.readouterr().err == ""
        for title in ("inside", "outside"):  # the innermost alone speaks
            with saying.at_work("inside") if title == "inside" else nullcontext():
                time.sleep(0.4)
            lines = capsys.readouterr().err.splitlines()
            assert len(lines) > 1
            assert all(line.startswith(f"{title}: at work for ") for line in lines)


def test_one_wait_of_several_works_is_not_silent_for_longer_than_one_work(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saying, "SILENCE_S", 0.4)
    monkeypatch.setattr(saying, "EVERY_S", 0.2)
    monkeypatch.setattr(saying, "log", logging.Logger("alone"))
    monkeypatch.setattr(saying, "_ended_s", float("-inf"))  # no work of other tests is part of this wait
    monkeypatch.setattr(saying, "_last_s", float("-inf"))
    for title in ("importing", "making", "stepping"):
        with saying.at_work(title):
            time.sleep(0.3)
    assert capsys.readouterr().err.startswith("making: at work for 1 s\n")


def test_evaluate_gives_a_row_per_episode_and_the_bound_of_the_same_ones_lies_below() -> None:
    did, best = evaluate("stay", "pair2", overrides=DAY, episodes=2), bound("pair2", overrides=DAY, episodes=2)
    assert list(did.index) == list(best.index) == [0, 1]
    assert (best["bound_cny"] < did["cost_cny"]).all()
    assert {"demand_cny", "green_share", "missed_mwh"} <= set(did.columns)


def test_a_policy_may_be_a_name_an_object_or_a_function_of_observations() -> None:
    sim = build_simulator("pair2", overrides=DAY)
    named = load_policy("price_follow", sim)
    asked = (named.name, named, lambda obs: np.zeros((len(obs), sim.action_size), dtype=np.float32))
    costs = [evaluate(policy, "pair2", overrides=DAY, episodes=1)["cost_cny"].item() for policy in asked]
    assert costs == pytest.approx([costs[0]] * 3, rel=1e-6)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_there_and_says_what_it_is(package: object) -> None:
    names = package.__all__  # type: ignore[attr-defined]
    assert names == sorted(names, key=lambda name: (not name.isupper(), name[0].islower(), name))
    assert set(names) <= set(dir(package))
    for name in names:
        found = getattr(package, name)
        assert name.isupper() or inspect.getdoc(found), name
    with pytest.raises(AttributeError, match="make_coffee"):
        package.make_coffee  # type: ignore[attr-defined]  # noqa: B018


PUBLIC = [getattr(package, name) for package in PACKAGES for name in package.__all__]
MOST_USED = [  # of what is not promised, but called by whoever looks inside
    build_bank, build_pack, build_params, cached, episode_bounds, generate_year, lp_bound, make_window, replay,
    run_episodes, summarise,
]  # fmt: skip


@pytest.mark.parametrize("found", [*PUBLIC, *MOST_USED], ids=lambda found: getattr(found, "__name__", "constant"))
def test_what_takes_three_or_more_arguments_describes_each_of_them(found: object) -> None:
    if not callable(found) or (isinstance(found, type) and issubclass(found, Exception)):
        return
    wanted = list(inspect.signature(found).parameters)
    about = (inspect.getdoc(found) or "").partition("Args:")[2].partition("\n\n")[0]
    assert len(wanted) < 3 or re.findall(r"^    (\w+): \S", about, re.MULTILINE) == wanted


def test_what_the_page_of_communities_names_is_behind_the_door() -> None:
    page = (Path(__file__).parents[1] / "docs" / "communities.md").read_text(encoding="utf-8")
    named = set(re.findall(r"greenhop\.(\w+)\(", page))
    named |= {name for names in re.findall(r"from greenhop import (.+)", page) for name in names.split(", ")}
    assert {"parallel_env", "CostInfo", "SixTuple", "TorchRLEnv"} <= named
    for name in named - {"TorchRLEnv"}:
        assert name in greenhop.__all__
    assert "TorchRLEnv" in dir(greenhop), "apart from __all__, because it imports TorchRL"
    assert {f"greenhop:{name}" for name in greenhop.MO_ENV_IDS} >= set(re.findall(r"greenhop:\w+MO-v1", page))
    commands = {a or b for a, b in re.findall(r"`greenhop (\w+)`|^ *greenhop (\w+) ", page, re.MULTILINE)}
    assert {"pareto", "budgets", "collect"} <= commands <= set(command_names())


def test_importing_the_packages_waits_for_nothing_slow() -> None:
    code = (
        "import sys, greenhop, greenhop_agents\n"
        "slow = {'torch', 'pandas', 'scipy', 'hydra', 'stable_baselines3', 'matplotlib'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("wrong", [{"scenario": "pair3"}, {"policy": "price_folow"}, {"episodes": 0}, {"split": "dev"}])
def test_what_does_not_exist_is_a_config_error(wrong: dict[str, object]) -> None:
    asked = {"policy": "stay", "scenario": "pair2", "overrides": DAY, "episodes": 1, **wrong}
    with pytest.raises(ConfigError):
        evaluate(**asked)  # type: ignore[arg-type]


@pytest.mark.parametrize("default", [torch.float64, torch.bfloat16, "meta"])
def test_the_defaults_of_torch_that_a_caller_has_set_change_no_score(default: torch.dtype | str) -> None:
    """Loading a policy builds its network, under torch's defaults."""

    def cost() -> float:
        return float(evaluate("pretrained/pair2-shac", "pair2", overrides=DAY, episodes=1)["cost_cny"].item())

    expected = cost()
    try:
        if isinstance(default, str):
            torch.set_default_device(default)
        else:
            torch.set_default_dtype(default)
        assert cost() == expected
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
