"""Agents that were trained with other libraries: all they need is a function from observations to actions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from greenhop.gym.interface import checked_action
from greenhop_agents.policies.policy import ActionPolicy

Act = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def foreign_policy(name: str, act: Act, action_size: int) -> ActionPolicy:
    """A function as a policy.

    Args:
        name: how tables call it.
        act: maps float32 observations `[B, O]` to actions `[B, A]` in −1…1, in NumPy.
        action_size: A.

    Raises:
        ActionError: when deciding, where the actions have another shape or are not finite.
    """

    def decide(obs: Tensor) -> Tensor:
        action = checked_action(act(obs.cpu().numpy()), (obs.shape[0], action_size))
        return torch.from_numpy(action).to(obs)

    return ActionPolicy(name, decide)
