"""The scenario of an environment that is made by name, with episodes as long as asked for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

import gymnasium as gym

from greenhop.errors import ConfigError
from greenhop.scenario.config import ScenarioConfig, parse_scenario
from greenhop.scenario.find import load_scenario


def scenario_of(
    scenario: ScenarioConfig | str, overrides: Sequence[str], max_episode_steps: int | None
) -> ScenarioConfig:
    """The scenario of an environment that these describe.

    Args:
        scenario: a shipped name, the path of a YAML file, or a scenario that is checked already.
        overrides: changes of a scenario given by name.
        max_episode_steps: another length of the episodes; None keeps the scenario's.

    Raises:
        ConfigError: for anything that the scenario schema does not allow.
    """
    config = scenario if isinstance(scenario, ScenarioConfig) else load_scenario(scenario, overrides)
    return config if max_episode_steps is None else with_steps(config, max_episode_steps)


def with_steps(config: ScenarioConfig, steps: Any) -> ScenarioConfig:
    """The same scenario with episodes of `steps` steps; demand fee and end are those of so long an episode.

    Raises:
        ConfigError: no whole number of at least 1.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ConfigError(f"max_episode_steps = {steps!r}; allowed: whole numbers from 1")
    data = config.model_dump()
    return parse_scenario({**data, "episode": {**data["episode"], "length_h": steps * config.dt_h}})


def steps_asked_of_make() -> int | None:
    """`max_episode_steps` of the `gymnasium.make` that is making an environment; None where none is.

    Gymnasium gives this number to its own `TimeLimit` and to no environment. A limit that the environment does not know
    of would cut the episode without a price, with the demand fee of a longer one, and mean something else than in
    `make_vec`, which does hand it on. So it is read from the caller.
    """
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code is not gym.make.__code__:
        frame = frame.f_back
    if frame is None:
        return None
    asked, spec = (frame.f_locals.get(name) for name in ("max_episode_steps", "env_spec"))
    steps: int | None = getattr(spec, "max_episode_steps", None) if asked is None else asked
    return None if steps == -1 else steps  # −1 asks Gymnasium for no limit
