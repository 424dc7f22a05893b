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


@runtime_checkable
class Exportable(Policy, Protocol):
    """A policy that may be a network, to be written into a file."""

    def as_module(self) -> Decision | None:
        """The network; None where it is none."""
        ...


class Decision(nn.Module):
    """`act` as a module that holds what it computes with: observations `[B, O]` → actions `[B, A]`."""

    inputs: tuple[str, ...] = ("observation",)
    outputs: tuple[str, ...] = ("action",)

    def __init__(self, act: Callable[[Tensor], Tensor], module: nn.Module) -> None:
        super().__init__()
        self.act, self.module = act, module

    def blank(self, batch: int) -> tuple[Tensor, ...]:
        """The memory that it begins an episode with, further inputs: none."""
        return ()

    def forward(self, obs: Tensor) -> Tensor:
        """`[B, O]` → `[B, A]`."""
        return self.act(obs)


@dataclass
class ActionPolicy:
    """A policy that maps observations `[B, O]` to actions `[B, A]`."""

    name: str
    act: Callable[[Tensor], Tensor]
    network: nn.Module | None = None  # of a native agent
    module: nn.Module | None = None  # what `act` computes with, where that is another one's network

    def reset(self, sim: Simulator) -> None:
        """Nothing to forget."""

    def decide(self, sim: Simulator, carry: Carry) -> Plan:
        """Observe, act, decode."""
        return sim.decode(carry, self.act(sim.observe(carry)))

    def as_module(self) -> Decision | None:
        """The network that decides; None where a rule does."""
        held = self.network if self.module is None else self.module
        return None if held is None else Decision(self.act, held)
