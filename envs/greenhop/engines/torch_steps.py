"""The step as it is written: torch, operation by operation. Gradients flow through it, whatever the device."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from greenhop.engines.engine import Tick, TickArrays, present, tick
from greenhop.episode.carry import choose
from greenhop.physics.state import State

if TYPE_CHECKING:
    from greenhop.episode.simulator import Simulator


class TorchSteps:
    """An `Engine` that calls the simulator's own functions."""

    def __init__(self, sim: Simulator, num_envs: int) -> None:
        self.sim, self.num_envs = sim, num_envs
        self.begin(torch.zeros(num_envs, dtype=torch.int64, device=sim.params.device))

    @property
    def obs(self) -> Tensor:
        """`[B, O]` observations as they are now."""
        return self._obs

    @property
    def state(self) -> State:
        """Of the running episodes, batch first."""
        return self._carry.state

    def keep(self) -> Callable[[], State]:
        """The state as it is now, for later."""
        return partial(State, *self._carry.state)

    def begin(self, start: Tensor) -> Tensor:
        """Start episodes everywhere, `start` `[B]` int64; observations `[B, O]`."""
        self._carry = self.sim.begin(start)
        self._obs = self.sim.observe(self._carry)
        return self._obs

    def restart(self, envs: NDArray[np.int64], start: Tensor) -> Tensor:
        """Begin new episodes in `envs` `[N]` at their `start` `[B]`; all observations `[B, O]`."""
        mask = np.isin(np.arange(self.num_envs), envs)
        self._carry = choose(torch.from_numpy(mask).to(start.device), self.sim.begin(start), self._carry)
        self._obs = self.sim.observe(self._carry)
        return self._obs

    def resume(self, state: State, obs: Tensor) -> None:
        """Go on from a state and its observations; where telemetry is late, that state is its first report."""
        carry = present(self.sim.bank.table, state)
        self._carry, self._obs = carry._replace(past=(state,) * len(self._carry.past)), obs

    def step(self, action: Tensor) -> Tick:
        """One step with actions `[B, A]`."""
        self._carry, done = tick(self.sim, self._carry, action)
        self._obs = done.obs
        return done

    def step_arrays(self, action: NDArray[np.float32]) -> TickArrays:
        """The same from and to NumPy."""
        with torch.no_grad():
            done = self.step(torch.from_numpy(action).to(self.sim.params.device))
        return TickArrays(*(x.cpu().numpy() for x in done))
