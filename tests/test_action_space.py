"""What an action space can express and what noise in it costs: the two studies, on a few hours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from greenhop.physics.state import COST_TERMS
from greenhop_agents.policies.policy import ActionPolicy
from greenhop_agents.policies.rules import PriceFollow
from greenhop_agents.scoring.bounds import episode_bounds
from greenhop_agents.scoring.evaluate import evaluate
from greenhop_agents.studies.ceiling import CeilingConfig, OpenLoop, actions_of, ceiling, points_left
from greenhop_agents.studies.conditioning import ALL, ConditioningConfig, condition, uniform, with_noise
from tests.sims import day_sim
from tests.test_cli import script  # noqa: F401 (a fixture)

STARTS = [3, 200]
SHORT = ("scenario=pair2", "scenario.episode.length_h=6", "scenario.years.val=1", "episodes=2")


def test_optimised_bids_beat_those_they_began_with_and_stay_below_the_bound() -> None:
    sim = day_sim("pair2")
    told: list[int] = []
    config = CeilingConfig(updates=12, learning_rate=0.1, seed=0)
    bounds = episode_bounds(sim, STARTS)

    def heard(done: int, total: int, note: str = "") -> None:
        told.append(done)

    found = ceiling(sim, PriceFollow(), STARTS, bounds, config, heard)
    assert told == list(range(1, 13))
    assert found.before == pytest.approx(0.0, abs=0.01)
    assert 5.0 < found.score < 100.0
    assert sum(found.left.values()) == pytest.approx(100.0 - found.score, abs=0.1)


def test_points_left_add_up_to_what_is_missing() -> None:
    sim = day_sim("pair2")
    bounds, usual = episode_bounds(sim, STARTS), evaluate(sim, PriceFollow(), STARTS)
    left = points_left(usual, sum(e.cost_cny for e in usual) / len(usual), bounds)
    assert list(left) == list(COST_TERMS)
    assert sum(left.values()) == pytest.approx(100.0, abs=0.1)


def test_a_list_of_actions_does_what_the_policy_that_gave_them_did() -> None:
    sim = day_sim("pair2")
    policy = ActionPolicy("tilted", lambda obs: 0.3 * torch.tanh(obs[:, : sim.action_size]))
    actions = actions_of(sim, policy, torch.tensor(STARTS))
    ours, theirs = (evaluate(sim, p, STARTS) for p in (OpenLoop("list", actions), policy))
    for one, other in zip(ours, theirs, strict=True):
        assert one.cost_cny == pytest.approx(other.cost_cny, rel=1e-5)


def test_noise_keeps_to_its_block_and_to_the_box() -> None:
    sigma = torch.tensor([0.0, 0.5, 0.0])
    edge = ActionPolicy("edge", lambda obs: torch.full((len(obs), 3), 0.9))
    noisy = with_noise(edge, sigma, 0).act(torch.zeros(500, 1))
    assert bool((noisy[:, [0, 2]] == 0.9).all())
    assert float(noisy[:, 1].max()) == 1.0
    assert float(noisy[:, 1].std()) > 0.2
    drawn = uniform(3, 0).act(torch.zeros(2000, 1))
    assert float(drawn.mean().abs()) < 0.05
    assert float(drawn.std()) == pytest.approx(3**-0.5, rel=0.05)


def test_conditioning_says_what_noise_on_each_block_costs_the_zero_action() -> None:
    sim = day_sim("pair2")
    bounds = [b.bound_cny for b in episode_bounds(sim, STARTS)]
    found = condition(sim, PriceFollow(), STARTS, bounds, ConditioningConfig(sigma=0.2, repeats=2))
    assert found.clean == pytest.approx(0.0, abs=0.01)
    assert set(found.lost) == {*sim.decoder.parts, ALL}
    assert all(points < 10.0 for name, points in found.lost.items() if name != ALL)
    assert found.uniform < found.noisy[ALL]


def test_both_scripts_print_and_write_their_figures(script: Any, tmp_path: Path) -> None:  # noqa: F811
    ended = script("ceiling", *SHORT, "updates=3", f"json={tmp_path / 'ceiling.json'}")
    assert ended.code == 0
    assert "score reached" in ended.out
    assert json.loads((tmp_path / "ceiling.json").read_text())["score"] > -1.0
    ended = script("conditioning", *SHORT, "sigma=0.2", "repeats=1", f"json={tmp_path / 'noise.json'}")
    assert ended.code == 0
    assert "all blocks" in ended.out
    assert json.loads((tmp_path / "noise.json").read_text())["sigma"] == 0.2


@pytest.mark.parametrize(
    ("name", "argument", "said"),
    [
        ("ceiling", "policy=stay", "has no bids to begin with"),
        ("ceiling", "updates=0", "updates = 0"),
        ("conditioning", "policy=stay", "takes no actions"),
        ("conditioning", "sigma=0", "sigma = 0"),
    ],
)
def test_mistakes_end_in_one_line_and_exit_code_two(script: Any, name: str, argument: str, said: str) -> None:  # noqa: F811
    ended = script(name, *SHORT, argument)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert said in ended.err
