"""One protocol for everything that decides: rules, learned policies, Stable-Baselines3 models and LP controllers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from greenhop.episode.carry import Carry
from greenhop.episode.simulator import Simulator
from greenhop.physics.state import Plan


@runtime_checkable
class Policy(Protocol):
    """Decides a plan for every environment of a batch."""

    @property
    def name(self) -> str:
        """How tables and curves call it."""
        ...

    def reset(self, sim: Simulator) -> None:
        """Called before the first step of a batch of episodes."""
        ...

    def decide(self, sim: Simulator, carry: Carry) -> Plan:
        """The plan for the present step."""
        ...


@runtime_checkable
class Acting(Policy, Protocol):
    """A policy whose decisions follow from what it observes, now and since `reset`."""

    def act(self, obs: Tensor) -> Tensor:
        """Actions `[B, A]` for observations `[B, O]`."""
        ...


@dataclass
class ActionPolicy:
    """A policy that maps observations `[B, O]` to actions `[B, A]`."""

    name: str
    act: Callable[[Tensor], Tensor]
    network: nn.Module | None = None  # of a native agent

    def reset(self, sim: Simulator) -> None:
        """Nothing to forget."""

    def decide(self, sim: Simulator, carry: Carry) -> Plan:
        """Observe, act, decode."""
        return sim.decode(carry, self.act(sim.observe(carry)))
