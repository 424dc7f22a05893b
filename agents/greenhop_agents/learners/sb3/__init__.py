"""Stable-Baselines3 on the batched simulator: the `VecEnv` adapter, our networks, callbacks, models and policies."""

from greenhop_agents.learners.sb3.callbacks import EnvTerms, Keep, Quieten, Validate, Watch
from greenhop_agents.learners.sb3.config import Sb3Config, sb3_config
from greenhop_agents.learners.sb3.models import build_env, build_model, check_keywords, learn, sync_targets
from greenhop_agents.learners.sb3.policies import HubFeatures, HubPolicy, as_policy
from greenhop_agents.learners.sb3.vec_env import HubVecEnv

__all__ = [
    "EnvTerms",
    "HubFeatures",
    "HubPolicy",
    "HubVecEnv",
    "Keep",
    "Quieten",
    "Sb3Config",
    "Validate",
    "Watch",
    "as_policy",
    "build_env",
    "build_model",
    "check_keywords",
    "learn",
    "sb3_config",
    "sync_targets",
]
