"""The ways in which users come by an environment, and how fast each of them steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter, process_time
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch

from greenhop import ENV_IDS
from greenhop.episode.simulator import build_simulator
from greenhop.gym.tensor_env import TensorVectorEnv
from greenhop_agents.learners.sb3 import HubVecEnv
from greenhop_agents.learners.sb3.by_id import env_of_ppo, vec_env
from greenhop_agents.studies.turns import Stepping, in_turn

SHAPE = (0,)
MOST_PROCESSES = 8  # of AsyncVectorEnv, which has one an environment


@dataclass
class Made:
    """One way and what it took."""

    env_id: str
    way: str
    num_envs: int
    setup_s: float  # from the call to the first observation, worlds and machine code on disk
    env_steps_per_s: float  # CPU time of this process, episodes that end and begin included; processes: wall time


@dataclass
class Way:
    """What makes an environment."""

    name: str
    num_envs: int
    make: Callable[[], Any]
    clock: Callable[[], float] = process_time


class _Running(NamedTuple):
    """An environment that was made."""

    setup_s: float
    stepping: Stepping
    close: Callable[[], object]


def ways(env_id: str, batches: Sequence[int], settings: dict[str, Any]) -> list[Way]:
    """Every way at every number of environments that it knows."""
    name = f"greenhop:{env_id}"
    single = partial(gym.make, name, **settings)
    found = [
        Way("gymnasium.make", 1, single),
        Way("gymnasium.make, render_mode=rgb_array", 1, partial(single, render_mode="rgb_array")),
        Way("SB3: PPO('MlpPolicy', id), all years", 1, partial(env_of_ppo, name)),
    ]
    for n in batches:
        batch = partial(gym.make_vec, name, n, **settings)
        found += [
            Way("SB3: make_vec_env", n, partial(vec_env, name, n, settings)),
            Way("SB3: HubVecEnv", n, partial(_adapter, env_id, settings, n)),
            Way("gymnasium.make_vec, sync", n, partial(batch, vectorization_mode="sync")),
        ]
        if n <= MOST_PROCESSES:
            found.append(
                Way(
                    "gymnasium.make_vec, async (wall time)", n, partial(batch, vectorization_mode="async"), perf_counter
                )
            )
        found += [
            Way("gymnasium.make_vec", n, batch),
            Way("TensorVectorEnv", n, partial(_tensors, env_id, settings, n)),
        ]
        if n % 8 == 0:
            found.append(
                Way(
                    "gymnasium.make_vec, group_size=8, baseline=group",
                    n,
                    partial(batch, group_size=8, baseline="group"),
                )
            )
    return found


def _adapter(env_id: str, settings: dict[str, Any], num_envs: int) -> HubVecEnv:
    return HubVecEnv(build_simulator(ENV_IDS[env_id], **settings), num_envs)


def _tensors(env_id: str, settings: dict[str, Any], num_envs: int) -> TensorVectorEnv:
    return TensorVectorEnv(build_simulator(ENV_IDS[env_id], **settings), num_envs, compile=None)


def measured(env_id: str, found: Sequence[Way], seconds: float, repetitions: int) -> list[Made]:
    """Make all, then step each with one action, in turn; medians count."""
    running = [_made(way) for way in found]
    rates = in_turn([r.stepping for r in running], seconds, repetitions)
    for r in running:
        r.close()
    return [
        Made(env_id, way.name, way.num_envs, r.setup_s, rate)
        for way, r, rate in zip(found, running, rates, strict=True)
    ]


def _made(way: Way) -> _Running:
    began = perf_counter()
    env = way.make()
    env.reset()
    setup_s = perf_counter() - began
    if isinstance(env, TensorVectorEnv):
        zero = torch.zeros(env.num_envs, env.sim.action_size, device=env.sim.params.device)
        return _Running(setup_s, Stepping(partial(_tensors_on, env, zero), way.num_envs, way.clock), lambda: None)
    batched = not isinstance(env, gym.Env)
    action = np.zeros((way.num_envs,) * batched + (env.action_space.shape or SHAPE)[-1:], dtype=np.float32)
    step = partial(env.step, action) if batched else partial(_step_on, env, action)
    return _Running(setup_s, Stepping(step, way.num_envs, way.clock), env.close)


def _step_on(env: gym.Env[Any, Any], action: Any) -> None:
    """A step of a single environment, which does not begin anew by itself."""
    _, _, terminated, truncated, _ = env.step(action)
    if terminated or truncated:
        env.reset()


def _tensors_on(env: TensorVectorEnv, action: torch.Tensor) -> None:
    """The same of tensors."""
    ended = env.step(action)[2]
    if ended.any():
        env.restart(ended)
