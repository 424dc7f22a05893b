"""The simulator of an environment that is made by name: shared while one lives, with episodes as long as asked for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any
from weakref import WeakValueDictionary

import gymnasium as gym

from greenhop.cache import key_of
from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.errors import ConfigError
from greenhop.scenario.config import ScenarioConfig, Split, parse_scenario
from greenhop.scenario.find import load_scenario
from greenhop.world.given import pack_checksum

_ALIVE: WeakValueDictionary[str, Simulator] = WeakValueDictionary()  # a world of ten hubs takes seconds and 700 MB


def simulator_of(
    scenario: ScenarioConfig | str,
    split: Split,
    overrides: Sequence[str],
    year_ids: Sequence[int] | None,
    device: str,
    max_episode_steps: int | None,
) -> Simulator:
    """The simulator that these describe; environments made alike share one.

    Raises:
        ConfigError: for anything the scenario schema, the split or the year ids do not allow.
    """
    config = scenario if isinstance(scenario, ScenarioConfig) else load_scenario(scenario, overrides)
    if max_episode_steps is not None:
        config = with_steps(config, max_episode_steps)
    years = None if year_ids is None else list(year_ids)
    key = key_of(config.model_dump(mode="json"), pack_checksum(config), split, years, device)
    found = _ALIVE.get(key)
    if found is None:
        found = _ALIVE[key] = build_simulator(config, split, year_ids=year_ids, device=device)
    return found


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
