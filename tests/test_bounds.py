"""The certified bound in generated worlds: no policy goes below it, and its plan costs what it said."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch

from greenhop.episode.simulator import Simulator
from greenhop.errors import SolverError
from greenhop.lp.bound import bound
from greenhop.lp.solve import Options
from greenhop_agents.policies.policy import ActionPolicy
from greenhop_agents.policies.rules import RULES
from greenhop_agents.scoring.bounds import EpisodeBound, episode_bounds, episode_window
from greenhop_agents.scoring.evaluate import Episode, evaluate
from greenhop_agents.shelf.find import find_policy
from tests.sims import SCENARIOS, day_sim

STARTS = {"pair2": range(5, 355, 35), "tri3": range(20, 350, 33), "hub10": (60, 240)}
SPREADS = (0.1, 0.5, 1.0)  # of random actions


@cache
def bounds_of(name: str) -> list[EpisodeBound]:
    return episode_bounds(day_sim(name), list(STARTS[name]))


def randomly(sim: Simulator, spread: float) -> list[Episode]:
    g = torch.Generator().manual_seed(0)
    policy = ActionPolicy("random", lambda obs: spread * torch.randn(obs.shape[0], sim.action_size, generator=g))
    return evaluate(sim, policy, list(STARTS[sim.scenario.name]))


def test_enough_windows_are_solved() -> None:
    assert len(STARTS["pair2"]) + len(STARTS["tri3"]) >= 20


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_plan_replayed_in_a_generated_world_costs_what_the_bound_said(name: str) -> None:
    for b in bounds_of(name):
        assert -1e-9 <= b.relative_gap <= 1e-6
        assert b.as_episode().cost_cny == pytest.approx(b.replay_cny, rel=1e-9)


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_rule_and_no_random_policy_beats_the_bound(name: str) -> None:
    sim = day_sim(name)
    tried = [evaluate(sim, find_policy(rule, sim), list(STARTS[name])) for rule in RULES]
    tried += [randomly(sim, spread) for spread in SPREADS]
    for episodes in tried:
        for episode, b in zip(episodes, bounds_of(name), strict=True):
            assert episode.cost_cny >= b.bound_cny


@pytest.mark.parametrize("name", ["pair2", "tri3"])
def test_doubling_a_battery_that_starts_with_the_same_energy_never_raises_the_bound(name: str) -> None:
    sim = day_sim(name)
    for i, b in enumerate(bounds_of(name)):
        params, state, rows = episode_window(sim, b.start)
        twice = 1.0 + (torch.arange(len(params.units)) == i % len(params.units)).double()
        limits = ("soc_max_mwh", "charge_limit_mwh", "discharge_limit_mwh")
        larger = replace(params, **{field: getattr(params, field) * twice for field in limits})
        assert bound(larger, state, rows).lower_bound <= b.bound_cny + 1e-6 * abs(b.bound_cny)


def test_records_of_bounds_hold_what_machines_are_promised() -> None:
    for i, b in enumerate(bounds_of("pair2")):
        assert set(b.as_row()) == {"episode", "bound_cny", "replay_cny", "relative_gap", "seconds"}
        assert b.as_row()["episode"] == i


def test_two_processes_find_the_same_bounds() -> None:
    sim, starts = day_sim("pair2"), list(STARTS["pair2"])[:3]
    seen: list[tuple[int, int]] = []
    parallel = episode_bounds(sim, starts, workers=2, progress=lambda done, total: seen.append((done, total)))
    assert [b.bound_cny for b in parallel] == [b.bound_cny for b in bounds_of("pair2")[:3]]
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_an_episode_that_cannot_be_solved_in_time_is_an_error() -> None:
    with pytest.raises(SolverError):
        episode_bounds(day_sim("hub10"), [60], Options(time_limit_s=1e-3))
