"""The ways in which users come by an environment, and how fast each of them steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import perf_counter, process_time
from typing import Any

import gymnasium as gym
import numpy as np

from greenhop import ENV_IDS
from greenhop.episode.simulator import build_simulator
from greenhop_agents.learners.sb3 import HubVecEnv
from greenhop_agents.learners.sb3.by_id import env_of_ppo, vec_env

SHAPE = (0,)


@dataclass
class Made:
    """One way and what it took."""

    env_id: str
    way: str
    num_envs: int
    setup_s: float  # from the call to the first observation, worlds and machine code on disk
    env_steps_per_s: float  # CPU time of this process, episodes that end and begin included


def ways(env_id: str, num_envs: int, settings: dict[str, Any]) -> dict[tuple[str, int], Callable[[], Any]]:
    """What makes an environment, by name and number of environments."""
    name = f"greenhop:{env_id}"
    adapter = partial(_adapter, env_id, settings)
    return {
        ("gymnasium.make", 1): partial(gym.make, name, **settings),
        ("gymnasium.make, render_mode=rgb_array", 1): partial(gym.make, name, render_mode="rgb_array", **settings),
        ("SB3: PPO('MlpPolicy', id), all years", 1): partial(env_of_ppo, name),
        ("SB3: make_vec_env", 1): partial(vec_env, name, 1, settings),
        ("SB3: HubVecEnv", 1): partial(adapter, 1),
        ("gymnasium.make_vec", 1): partial(gym.make_vec, name, 1, **settings),
        ("gymnasium.make_vec, sync", 8): partial(gym.make_vec, name, 8, vectorization_mode="sync", **settings),
        ("SB3: make_vec_env", 8): partial(vec_env, name, 8, settings),
        ("SB3: HubVecEnv", 8): partial(adapter, 8),
        ("gymnasium.make_vec", 8): partial(gym.make_vec, name, 8, **settings),
        ("SB3: HubVecEnv", num_envs): partial(adapter, num_envs),
        ("gymnasium.make_vec", num_envs): partial(gym.make_vec, name, num_envs, **settings),
        ("gymnasium.make_vec, group_size=8, baseline=group", num_envs): partial(
            gym.make_vec, name, num_envs, group_size=8, baseline="group", **settings
        ),
    }


def _adapter(env_id: str, settings: dict[str, Any], num_envs: int) -> HubVecEnv:
    return HubVecEnv(build_simulator(ENV_IDS[env_id], **settings), num_envs)


def measured(env_id: str, way: str, num_envs: int, make: Callable[[], Any], seconds: float, repetitions: int) -> Made:
    """Make it, and step it with one action for about `seconds`, `repetitions` times; the median counts."""
    began = perf_counter()
    env = make()
    env.reset()
    setup = perf_counter() - began
    batched = not isinstance(env, gym.Env)
    action = np.zeros((num_envs,) * batched + (env.action_space.shape or SHAPE)[-1:], dtype=np.float32)
    step = partial(env.step, action) if batched else partial(_step_on, env, action)
    rates = []
    for _ in range(repetitions):
        count, start = 0, process_time()
        while process_time() - start < seconds:
            step()
            count += 1
        rates.append(count * num_envs / (process_time() - start))
    env.close()
    return Made(env_id, way, num_envs, setup, median(rates))


def _step_on(env: gym.Env[Any, Any], action: Any) -> None:
    """A step of a single environment, which does not begin anew by itself."""
    _, _, terminated, truncated, _ = env.step(action)
    if terminated or truncated:
        env.reset()
