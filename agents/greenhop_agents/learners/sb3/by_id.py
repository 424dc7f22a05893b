"""What Stable-Baselines3 makes of an environment's id by itself, without our adapter."""

from __future__ import annotations

from typing import Any

from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv


def env_of_ppo(env_id: str) -> VecEnv:
    """The environment that `PPO("MlpPolicy", env_id)` makes."""
    env = PPO("MlpPolicy", env_id, device="cpu").get_env()
    assert env is not None
    return env


def vec_env(env_id: str, num_envs: int, settings: dict[str, Any]) -> VecEnv:
    """What `make_vec_env` makes of so many single environments."""
    return make_vec_env(env_id, num_envs, env_kwargs=settings)
