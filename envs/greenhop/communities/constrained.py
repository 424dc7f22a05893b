"""Budgets as constrained reinforcement learning has them: `info["cost"]`, and Safety-Gymnasium's step of six values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from greenhop.episode.budgets import Budgets, used
from greenhop.errors import ConfigError
from greenhop.gym.env import HubEnv
from greenhop.physics.rewards import REPORTED
from greenhop.scenario.config import describe


class CostInfo(gym.Wrapper[Any, NDArray[Any], Any, NDArray[Any]]):
    """Adds to `info` of every step what it uses of the budgets of an episode.

    `info["cost_NAME"]` is what a step uses of one budget, in kg or MWh (`carbon_kg`, `missed_mwh`, `green_lack_mwh`);
    `info["cost"]` is their sum, each in units of about a step's worth. A policy keeps its budgets if an episode's sum
    of `info["cost"]` is at most `cost_limit` on average; with several budgets each must be kept by itself, and
    `limits` names them. `green_lack_mwh` may be negative: green energy beyond the share makes up for other hours.

    Args:
        env: an environment of Greenhop with a number as its reward.
        budgets: see `greenhop.episode.budgets.Budgets`; at least one.

    Raises:
        ConfigError: no budget, an unknown or impossible one, or an environment of another kind.
    """

    def __init__(self, env: gym.Env[Any, Any], budgets: Budgets | Mapping[str, float]) -> None:
        super().__init__(env)
        if not isinstance(env.unwrapped, HubEnv):
            raise ConfigError(f"budgets are of Greenhop's environments, not of {type(env.unwrapped).__name__}")
        params = env.unwrapped.sim.params
        self.budgets = checked_budgets(budgets).listed(params)
        if not self.budgets:
            raise ConfigError(f"no budget is given; allowed: {', '.join(Budgets.model_fields)}")

    @property
    def limits(self) -> dict[str, float]:
        """Budget of an episode by the name of what it is used for, in kg or MWh."""
        return {b.name: b.limit for b in self.budgets}

    @property
    def cost_limit(self) -> float:
        """What an episode's sum of `info["cost"]` may be."""
        return sum(b.limit / b.unit for b in self.budgets)

    def step(self, action: NDArray[Any]) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step; `info` also says what it used."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        told = torch.tensor([float(info[name]) for name in REPORTED], dtype=torch.float64)
        spent = used(self.budgets, told).tolist()
        costs = {f"cost_{b.name}": x for b, x in zip(self.budgets, spent, strict=True)}
        total = sum(x / b.unit for b, x in zip(self.budgets, spent, strict=True))
        return obs, reward, terminated, truncated, {**info, **costs, "cost": total}


class SixTuple(gym.Wrapper[Any, NDArray[Any], Any, NDArray[Any]]):
    """`step` returns observation, reward, *cost*, terminated, truncated, info, as Safety-Gymnasium's do.

    Args:
        env: a `CostInfo`, or anything whose `info` holds a `cost`.
    """

    def step(  # type: ignore[override]  # six values where Gymnasium has five: that is the convention
        self, action: NDArray[Any]
    ) -> tuple[Any, Any, float, bool, bool, dict[str, Any]]:
        """One step."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        return obs, reward, info["cost"], terminated, truncated, info


def checked_budgets(given: Budgets | Mapping[str, float]) -> Budgets:
    """The budgets that a mapping stands for.

    Raises:
        ConfigError: an unknown or impossible one.
    """
    if isinstance(given, Budgets):
        return given
    try:
        return Budgets.model_validate(dict(given))
    except ValidationError as error:
        raise ConfigError(describe(error, "budgets")) from None
