"""Scoring agents that were trained with other libraries: all they need is a function from observations to actions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table
from torch import Tensor

from greenhop.episode.simulator import build_simulator
from greenhop.gym.interface import checked_action
from greenhop.scenario.config import ScenarioConfig, Split
from greenhop_agents.policies.policy import ActionPolicy
from greenhop_agents.policies.rules import PriceFollow, Stay
from greenhop_agents.scoring.bounds import episode_bounds
from greenhop_agents.scoring.evaluate import evaluate
from greenhop_agents.scoring.scoreboard import as_table, summarise

Act = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def outside_policy(name: str, act: Act, action_size: int) -> ActionPolicy:
    """`act` maps float32 observations `[B, O]` to actions `[B, action_size]` in −1…1, in NumPy.

    Raises:
        ActionError: when deciding, where the actions have another shape or are not finite.
    """

    def decide(obs: Tensor) -> Tensor:
        action = checked_action(act(obs.cpu().numpy()), (obs.shape[0], action_size))
        return torch.from_numpy(action).to(obs)

    return ActionPolicy(name, decide)


def score_table(
    act: Act,
    scenario: ScenarioConfig | str = "hub10",
    *,
    overrides: Sequence[str] = (),
    split: Split = "test",
    episodes: int = 8,
    name: str = "agent",
    workers: int = 1,
) -> Table:
    """The table that `scripts/train.py` prints, for an agent of your own: beside `stay`, `price_follow` and the bound.

    Raises:
        ConfigError: a scenario, split or number of episodes that does not exist.
        ActionError: actions that do not fit the scenario.
    """
    sim = build_simulator(scenario, split, overrides=overrides)
    starts = sim.bank.spread(episodes)
    policies = (Stay(), PriceFollow(), outside_policy(name, act, sim.action_size))
    by_policy = {policy.name: evaluate(sim, policy, starts) for policy in policies}
    bounds = episode_bounds(sim, starts.tolist(), workers=workers)
    by_policy["bound"] = [b.as_episode() for b in bounds]
    title = f"{sim.scenario.name}, {split}: means of {episodes} episodes"
    return as_table(summarise(by_policy, [b.bound_cny for b in bounds]), title)
