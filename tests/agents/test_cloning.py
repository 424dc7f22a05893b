"""Warm starts: teachers' plans come back through the decoder, and every learner can begin with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.errors import ConfigError
from greenhop_agents.policies.policy import Policy
from greenhop_agents.policies.rules import PriceFollow, Stay
from greenhop_agents.scoring.bounds import episode_bounds, episode_plans
from greenhop_agents.scoring.evaluate import evaluate
from greenhop_agents.training.cloning import Written, demonstrate, distance, find_teacher, parse_warm_start, warm_start
from greenhop_agents.training.train import train
from tests.agents.test_training import SMALL, config_of, ignore
from tests.agents.toy import learner_on

STARTS = [30, 180]


def cost(sim: Simulator, policy: Policy) -> float:
    """Mean cost of eight episodes."""
    return float(np.mean([e.cost_cny for e in evaluate(sim, policy, sim.bank.spread(8))]))


def test_a_written_plan_costs_what_its_bound_said(day: Simulator) -> None:
    followed = evaluate(day, Written("optimal", episode_plans(day, STARTS)), STARTS)
    for episode, bound in zip(followed, episode_bounds(day, STARTS), strict=True):
        assert episode.cost_cny == pytest.approx(bound.replay_cny, rel=1e-4)


def test_the_teacher_called_optimal_plans_from_any_state_and_beats_price_following(moment: Simulator) -> None:
    planned, bound = evaluate(moment, find_teacher("optimal", moment), STARTS), episode_bounds(moment, STARTS)
    for episode, b in zip(planned, bound, strict=True):
        assert episode.cost_cny == pytest.approx(b.bound_cny, rel=1e-3)


def test_the_zero_action_is_no_distance_away_from_price_following(moment: Simulator) -> None:
    data = demonstrate(moment, PriceFollow(), torch.tensor(STARTS))
    assert len(data.goal) == len(STARTS) * moment.params.steps
    assert float(distance(moment, lambda obs: obs.new_zeros(len(obs), moment.action_size), data)) < 1e-10
    assert float(distance(moment, lambda obs: obs.new_ones(len(obs), moment.action_size), data)) > 1e-3


def test_with_a_driver_the_teacher_speaks_in_states_the_driver_came_through(moment: Simulator) -> None:
    starts = torch.tensor(STARTS)
    staying = demonstrate(moment, Stay(), starts)
    corrected = demonstrate(moment, PriceFollow(), starts, driver=Stay())
    assert torch.equal(corrected.carry.state.backlog_mwh, staying.carry.state.backlog_mwh)
    assert torch.equal(corrected.goal[:2], demonstrate(moment, PriceFollow(), starts).goal[:2])
    assert not torch.allclose(corrected.goal, staying.goal)


def test_cloning_clairvoyant_plans_beats_price_following_on_days_never_seen(day: Simulator) -> None:
    learner = learner_on(day, "ppo", {"num_envs": 8, "horizon": 1, "network": {"width": 32, "layers": 1}}, 0)
    actor = learner.actor
    config = parse_warm_start({"teacher": "optimal", "episodes": 24, "epochs": 15, "batch_size": 128})
    losses = warm_start(day, actor.act, actor.parameters(), config, 0, ignore)
    assert len(losses) == 15
    assert losses[-1] < 0.5 * losses[0]
    held_out = build_simulator(day.scenario, "val", year_ids=[0])
    assert cost(held_out, learner.policy()) < cost(held_out, PriceFollow())


def test_in_later_rounds_the_learner_drives(moment: Simulator) -> None:
    learner = learner_on(moment, "shac", {"num_envs": 1, "network": {"width": 8, "layers": 0}}, 0)
    actor = learner.actor
    notes: list[str] = []
    config = parse_warm_start({"teacher": "optimal", "episodes": 2, "epochs": 3, "dagger_rounds": 1})
    losses = warm_start(moment, actor.act, actor.parameters(), config, 0, lambda _, __, note="": notes.append(note))
    assert len(losses) == 6
    assert notes[0] == "cloning optimal, round 1/2"
    assert "optimal plans" in notes
    assert notes[-1].startswith("cloning optimal, round 2/2: loss ")


QUICK = ["agent.warm_start.teacher=greenest", "agent.warm_start.episodes=2", "agent.warm_start.epochs=2"]
OFF_POLICY = ["agent.options.learning_starts=8", "agent.options.gradient_steps=1", "agent.options.batch_size=8"]
LEARNERS = {
    "ppo": ["agent.options.num_envs=4", "agent.options.group_size=2", "agent.options.horizon=3"],
    "shac": ["agent.options.num_envs=4"],
    "sb3_ppo": ["agent.num_envs=4", "agent.group_size=2", "agent.options.n_steps=6", "agent.options.batch_size=24"],
    "sb3_sac": ["agent.num_envs=4", "agent.group_size=2", *OFF_POLICY],
    "sb3_td3": ["agent.num_envs=4", "agent.group_size=2", *OFF_POLICY],
}


@pytest.mark.parametrize("agent", LEARNERS)
def test_every_learner_may_begin_with_a_teacher(agent: str, tmp_path: Path) -> None:
    overrides = [*SMALL, f"agent={agent}", "total_steps=12", *LEARNERS[agent], *QUICK]
    train(config_of(tmp_path / "run", overrides), ignore)
    curves = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    curves.Reload()
    assert [e.step for e in curves.Scalars("warm_start/loss")] == [0, 1]


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "unknown teacher": ({"teacher": "mcp"}, "did you mean mpc"),
    "too many": ({"teacher": "stay", "episodes": 100_000}, "more than the"),
    "unknown key": ({"teachr": "mpc"}, "teachr"),
    "no epoch": ({"teacher": "stay", "epochs": 0}, "epochs = 0"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_in_a_warm_start_is_told(case: str, moment: Simulator) -> None:
    data, message = MISTAKES[case]
    with pytest.raises(ConfigError, match=message):
        warm_start(moment, lambda obs: obs, [], parse_warm_start(data), 0, ignore)
