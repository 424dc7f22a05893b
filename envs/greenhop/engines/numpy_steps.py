"""The step of a few environments without torch: `begin` and `tick` recorded as NumPy programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from greenhop.compiler.recorded import record
from greenhop.engines.compiled import Tick, examples, tick
from greenhop.episode.simulator import Carry, Simulator
from greenhop.physics.state import State


class NumpySteps:
    """`num_envs` running environments, few and on a CPU, behind recorded programs. Flows are not kept.

    Raises:
        RecordError: the decoder cannot be recorded: it writes into tensors, draws, or asks for values.
    """

    def __init__(self, sim: Simulator, num_envs: int) -> None:
        self.sim = sim

        def begin(start: Tensor) -> tuple[Carry, Tensor]:
            carry = sim.begin(start)
            return carry, sim.observe(carry)

        self._begin = record(begin, torch.zeros(num_envs, dtype=torch.int64))
        self._step = record(lambda carry, action: tick(sim, carry, action), *examples(sim, num_envs))
        self._running: list[NDArray[Any]] = []

    def begin(self, start: Tensor) -> Tensor:
        """Start episodes everywhere, `start` `[B]` int64; observations `[B, O]`."""
        *self._running, self._obs = self._begin(start.numpy())
        return torch.from_numpy(self._obs)

    @property
    def carry(self) -> Carry:
        """A copy of the running episodes."""
        *state, packed = (torch.from_numpy(x.copy()) for x in self._running)
        return Carry(State(*state), packed)

    def step(self, action: Tensor) -> Tick:
        """One step with `[B, A]` actions."""
        return Tick(*map(torch.from_numpy, self.step_arrays(action.numpy())))

    def step_arrays(self, action: NDArray[np.float32]) -> list[NDArray[Any]]:
        """The same from and to NumPy."""
        *self._running, self._obs, reward, reported = self._step(*self._running, action)
        return [self._obs, reward, reported]

    def restart(self, envs: NDArray[np.int64], start: Tensor) -> Tensor:
        """Begin new episodes in `envs` `[N]` at their `start` `[B]`; observations `[B, O]`."""
        fresh = self._begin(start.numpy())
        if len(envs) < len(start):
            fresh = _mixed(envs, fresh, [*self._running, self._obs])
        *self._running, self._obs = fresh
        return torch.from_numpy(self._obs)


def _mixed(rows: NDArray[np.int64], fresh: Sequence[NDArray[Any]], old: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Copies of `old` with these rows of `fresh`."""
    mixed = [x.copy() for x in old]
    for x, new in zip(mixed, fresh, strict=True):
        x[rows] = new[rows]
    return mixed
