"""The recipes of docs/agent.md, run as their users run them, with settings that take seconds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from greenhop.cards.environment import described
from greenhop.errors import ActionError
from greenhop_agents import score

RECIPES = Path(__file__).resolve().parents[1] / "docs" / "recipes"
DAY = ["episode.length_h=24"]
SIZE = described("pair2").shapes.action_size


def run_recipe(name: str, *arguments: str) -> str:
    command = [sys.executable, str(RECIPES / f"{name}.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_scored(printed: str, agent: str) -> None:
    assert "beyond price following" in printed
    assert all(name in printed for name in ("stay", "price_follow", agent, "bound", "100.0"))


def test_the_single_file_recipe_trains_and_is_scored() -> None:
    tiny = ("--total-timesteps", "192", "--num-envs", "4", "--hidden", "8", "--eval-episodes", "1")
    assert_scored(run_recipe("ppo", *tiny), "ppo")


def test_the_torchrl_recipe_trains_and_is_scored() -> None:
    if find_spec("torchrl") is None:
        pytest.skip("TorchRL is not installed (extra `torchrl`)")
    tiny = ("--total-timesteps", "192", "--num-envs", "4", "--hidden", "8", "--eval-episodes", "1")
    assert_scored(run_recipe("torchrl_ppo", *tiny), "torchrl_ppo")


def test_the_recipe_of_many_agents_trains_and_is_scored() -> None:
    if find_spec("pettingzoo") is None:
        pytest.skip("PettingZoo is not installed (extra `pettingzoo`)")
    tiny = ("--total-timesteps", "96", "--networks", "2", "--eval-episodes", "1")
    printed = run_recipe("pettingzoo_sb3", *tiny)
    assert all(name in printed for name in ("stay", "price_follow", "pettingzoo_sb3", "bound", "100.0"))


def test_the_offline_recipe_clones_a_dataset_that_the_command_wrote(tmp_path: Path) -> None:
    if find_spec("minari") is None:
        pytest.skip("Minari is not installed (extra `offline`)")
    root, name = tmp_path / "datasets", "greenhop/pair2/few-v0"
    asked = ['overrides=["episode.length_h=24"]', "policies=[price_follow]", "episodes=3", "noise=0.01"]
    command = [sys.executable, str(RECIPES.parents[1] / "scripts" / "collect.py"), *asked]
    done = subprocess.run([*command, f"output={root}", f"dataset={name}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "score" in done.stdout
    tiny = ("--root", str(root), "--dataset", name, "--epochs", "3", "--hidden", "8", "--eval-episodes", "1")
    printed = run_recipe("minari_bc", *tiny)
    assert "3 episodes; mean score" in printed
    assert all(word in printed for word in ("stay", "price_follow", "minari_bc", "bound"))


@pytest.mark.slow
def test_the_rllib_recipe_trains_and_is_scored() -> None:
    pytest.importorskip(
        "ray.rllib.algorithms", reason="RLlib is not installed (see docs/agent.md)", exc_type=ImportError
    )
    tiny = ("--iterations", "1", "--num-envs", "2", "--batch", "48", "--eval-episodes", "1")
    assert_scored(run_recipe("rllib_ppo", *tiny), "rllib_ppo")


def scored(act: Callable[[np.ndarray], np.ndarray]) -> pd.DataFrame:
    return score(act, "pair2", overrides=DAY, episodes=1, name="mine")


def test_an_agent_from_elsewhere_that_does_nothing_scores_what_price_following_scores() -> None:
    table = scored(lambda obs: np.zeros((len(obs), SIZE), dtype=np.float32))
    assert table.loc["mine", "cost_cny"] == pytest.approx(table.loc["price_follow", "cost_cny"], rel=1e-6)
    assert table.loc["mine", "score"] == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("wrong", [np.zeros((1, SIZE - 1)), np.full((1, SIZE), np.nan), np.zeros(SIZE)])
def test_actions_that_do_not_fit_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ActionError):
        scored(lambda obs: wrong)
