"""Running episodes: with everything that happens in a step, or by machine code with what is reported of it.

`walk` is the step as it is written, for every policy and for whoever looks inside. `drive` is a vector environment,
machine code where the machine has a compiler, for policies that map observations to actions: a hundred times as fast.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from greenhop.episode.carry import Carry
from greenhop.episode.simulator import Simulator
from greenhop.gym.tensor_env import TensorVectorEnv
from greenhop.physics.state import Flows
from greenhop_agents.policies.policy import Acting, Policy


class Walked(NamedTuple):
    """One step of a batch of episodes."""

    before: Carry
    after: Carry
    flows: Flows


def walk(sim: Simulator, policy: Policy, starts: Tensor) -> Iterator[Walked]:
    """Run one episode from each of `starts` `[B]` (indices into `sim.bank.starts`), step by step.

    Without gradient; `policy.reset` is called first.
    """
    policy.reset(sim)
    with torch.no_grad():
        carry = sim.begin(starts)
        for _ in range(sim.params.steps):
            before = carry
            carry, flows = sim.advance(before, policy.decide(sim, before))
            yield Walked(before, carry, flows)


class Driven(NamedTuple):
    """One step of a batch of episodes, as far as a vector environment tells."""

    reward: Tensor  # [B]
    reported: Tensor  # [B, len(REPORTED)]


def drive(sim: Simulator, policy: Acting, starts: Tensor) -> Iterator[Driven]:
    """The same for a policy that acts on observations; what it yields may be overwritten by the next step."""
    policy.reset(sim)
    with torch.no_grad():
        env = environments(sim, len(starts))
        obs = env.reset(starts=starts)
        for _ in range(sim.params.steps):
            obs, reward, _, reported = env.step(policy.act(obs))
            yield Driven(reward, reported)


@lru_cache(maxsize=2)
def environments(sim: Simulator, num_envs: int) -> TensorVectorEnv:
    """A vector environment of a simulator; the last two are kept, because making machine code ready takes most of a
    second even where it is stored."""
    return TensorVectorEnv(sim, num_envs, compile=None, reward="bill")
