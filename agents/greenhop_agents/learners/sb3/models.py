"""Stable-Baselines3 and sb3-contrib models as an agent's configuration describes them, and their policies."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3 import PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.noise import NormalActionNoise

from greenhop.episode.simulator import Simulator
from greenhop.errors import ConfigError, nearest, one_line
from greenhop_agents.learners.sb3.callbacks import EnvTerms
from greenhop_agents.learners.sb3.config import Sb3Config, keyword_arguments
from greenhop_agents.learners.sb3.policies import HubFeatures, HubPolicy
from greenhop_agents.learners.sb3.vec_env import HubVecEnv

OURS = ("self", "policy", "env", "seed", "device", "_init_setup_model")  # given by us
ALGORITHMS: dict[str, type[BaseAlgorithm]] = {"ppo": PPO, "sac": SAC, "td3": TD3}
CONTRIB = {"recurrent_ppo": "RecurrentPPO", "tqc": "TQC"}  # classes of sb3-contrib


def algorithm_of(name: str) -> type[BaseAlgorithm]:
    """The class of an algorithm.

    Raises:
        ConfigError: it is of sb3-contrib, which is not installed.
    """
    if name in ALGORITHMS:
        return ALGORITHMS[name]
    try:
        return getattr(import_module("sb3_contrib"), CONTRIB[name])  # type: ignore[no-any-return]
    except ImportError:
        raise ConfigError(
            f"agent.algorithm = {name!r} needs sb3-contrib, which is not installed: pip install 'greenhop[contrib]'"
        ) from None


def check_keywords(config: Sb3Config) -> None:
    """Refuse options that the algorithm does not know.

    Raises:
        ConfigError: the first one, or an algorithm that is not installed.
    """
    known = list(signature(algorithm_of(config.algorithm).__init__).parameters)
    for option in config.options.model_dump(exclude_unset=True):
        if option not in known or option in OURS:
            allowed = [name for name in known if name not in OURS]
            hint = nearest(option, allowed)
            raise ConfigError(f"agent.options.{option}: {config.algorithm} has no such option{hint}")


def build_model(env: HubVecEnv, config: Sb3Config, seed: int) -> BaseAlgorithm:
    """A model of SB3 or sb3-contrib on the environments.

    Without `network` and `features` the policy is SB3's own MLP. `features` puts our encoder in front of it, for any
    algorithm; `network` replaces the whole policy of PPO by ours.

    Raises:
        ConfigError: unknown algorithm or keyword, or a network the algorithm cannot have.
    """
    kind, options = algorithm_of(config.algorithm), keyword_arguments(config)
    policy: Any = "MlpLstmPolicy" if config.algorithm == "recurrent_ppo" else "MlpPolicy"
    if config.network is not None:
        if config.algorithm != "ppo" or config.features is not None:
            raise ConfigError(f"agent.network is for algorithm ppo without agent.features, not {config.algorithm!r}")
        policy, options = HubPolicy, {**options, "policy_kwargs": {"sim": env.sim, "network": config.network}}
    elif config.features is not None:
        ours = {
            "features_extractor_class": HubFeatures,
            "features_extractor_kwargs": {"sim": env.sim, "network": config.features},
        }
        options = {**options, "policy_kwargs": {**options.get("policy_kwargs", {}), **ours}}
    if config.action_noise is not None:
        size = env.sim.action_size
        options["action_noise"] = NormalActionNoise(np.zeros(size), np.full(size, config.action_noise))
    try:
        return kind(policy, env, seed=seed, device=str(env.sim.params.device), **options)
    except Exception as error:  # SB3 checks by assertions, by arithmetic and by torch
        raise ConfigError(f"agent.options: {one_line(error) or type(error).__name__}") from None


def build_env(sim: Simulator, config: Sb3Config, seed: int) -> HubVecEnv:
    """The environments that an agent's configuration asks for."""
    return HubVecEnv(
        sim, config.num_envs, seed, group_size=config.group_size, reward=config.reward, baseline=config.baseline
    )


def sync_targets(model: BaseAlgorithm) -> None:
    """Let target actors start from the actor, whose weights were changed from outside (a warm start)."""
    if isinstance(model, TD3):
        model.actor_target.load_state_dict(model.actor.state_dict())


def learn(model: BaseAlgorithm, total_steps: int, log_dir: Path, callbacks: Sequence[BaseCallback]) -> None:
    """Train; curves go to TensorBoard under `log_dir` with SB3's tags plus `env/*`."""
    model.set_logger(configure(str(log_dir), ["tensorboard"]))
    model.learn(total_timesteps=total_steps, callback=[EnvTerms(), *callbacks])
