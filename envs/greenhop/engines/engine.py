"""What every engine keeps: a batch of running environments that is begun, stepped and begun anew.

`TorchSteps` runs the step as it is written, `CompiledSteps` as machine code; who holds one need not know which.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from greenhop.episode.carry import Carry
from greenhop.physics.rewards import gain, report, reward_of
from greenhop.physics.state import State

if TYPE_CHECKING:
    from greenhop.episode.simulator import Simulator


class Tick(NamedTuple):
    """What one step gives, batch first."""

    obs: Tensor  # [B, O] after the step, before any restart
    reward: Tensor  # [B] minus the step's bill
    gain: Tensor  # [B] change of the potential
    reported: Tensor  # [B, len(REPORTED)]


class TickArrays(NamedTuple):
    """The same as arrays; the engine may overwrite them in its next step."""

    obs: NDArray[Any]
    reward: NDArray[Any]
    gain: NDArray[Any]
    reported: NDArray[Any]


def tick(sim: Simulator, carry: Carry, action: Tensor) -> tuple[Carry, Tick]:
    """One step with actions `[B, A]`, what it pays and reports, and the observation after it."""
    after, flows = sim.act(carry, action)
    p = sim.params
    paid = reward_of(p, flows), gain(p, carry.state, after.state)
    return after, Tick(sim.observe(after), *paid, report(p, flows))


def present(table: Tensor, state: State) -> Carry:
    """The carry of a state: the row it is in follows from it."""
    return Carry(state, table.index_select(0, state.world_row + state.t))


class Engine(Protocol):
    """`num_envs` running environments of `sim`. An episode that ended must be restarted before it goes on."""

    sim: Simulator
    num_envs: int

    @property
    def obs(self) -> Tensor:
        """`[B, O]` observations as they are now; the next step may overwrite them."""

    @property
    def state(self) -> State:
        """Of the running episodes, batch first; no later step changes it."""

    def keep(self) -> Callable[[], State]:
        """The state as it is now, put in order only when called: cheap for who may never look at it."""

    def begin(self, start: Tensor) -> Tensor:
        """Start episodes everywhere, `start` `[B]` int64; observations `[B, O]`."""

    def restart(self, envs: NDArray[np.int64], start: Tensor) -> Tensor:
        """Begin new episodes in `envs` `[N]` (known to the host) at their `start` `[B]`; all observations `[B, O]`."""

    def resume(self, state: State, obs: Tensor) -> None:
        """Go on from a state, batch first, and its observations `[B, O]`."""

    def step(self, action: Tensor) -> Tick:
        """One step with actions `[B, A]` on the simulator's device."""

    def step_arrays(self, action: NDArray[np.float32]) -> TickArrays:
        """The same from and to NumPy, without gradient."""
