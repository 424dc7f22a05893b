"""The compiled step: deciding, stepping, rewarding and observing as one program of straight-line machine code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from greenhop.program import Program, to_first, to_last
from greenhop.recorded import record
from greenhop.rewards import report, reward_of
from greenhop.scalar_code import Layout
from greenhop.simulator import Carry, Simulator
from greenhop.state import State

FEW = 8  # environments up to which episodes begin as a NumPy program


class Tick(NamedTuple):
    """What one step gives, batch first."""

    obs: Tensor  # [B, O] after the step, before any restart
    reward: Tensor  # [B]
    reported: Tensor  # [B, len(REPORTED)]


def tick(sim: Simulator, carry: Carry, action: Tensor) -> tuple[Carry, Tick]:
    """One step with actions `[B, A]`, its reward and report, and the observation after it."""
    carry, flows = sim.act(carry, action)
    return carry, Tick(sim.observe(carry), reward_of(sim.params, flows), report(sim.params, flows))


def begun(sim: Simulator, start: Tensor) -> tuple[Carry, Tensor]:
    """New episodes at `start` `[B]`, and their observations `[B, O]`."""
    carry = sim.begin(start)
    return carry, sim.observe(carry)


def step_program(sim: Simulator) -> Program:
    """State batch last and actions `[B, A]` → state batch last after the step, and its `Tick`.

    On a GPU observations and reports lie batch last too: neighbouring threads write neighbouring numbers.
    """

    def run(table: Tensor, state: State, action: Tensor) -> tuple[State, Tick]:
        carry, seen = tick(with_table(sim, table), present(table, state), action)
        return carry.state, seen

    carry, action = examples(sim, 1)
    states: list[Layout] = ["last"] * len(carry.state)
    seen = [outside_of(sim)] * len(Tick._fields)
    return Program(run, sim.bank.table, (carry.state, action), [*states, "first"], [*states, *seen])


def outside_of(sim: Simulator) -> Layout:
    """Where the batch of what a program shows the world lies fastest."""
    return "last" if sim.params.device.type == "cuda" else "first"


def present(table: Tensor, state: State) -> Carry:
    """The carry of a state: the row it is in follows from it."""
    return Carry(state, table.index_select(0, state.world_row + state.t))


def examples(sim: Simulator, batch: int) -> tuple[Carry, Tensor]:
    """A carry and an action of the right shapes."""
    carry = sim.begin(torch.zeros(batch, dtype=torch.int64, device=sim.params.device))
    return carry, carry.packed.new_zeros(batch, sim.action_size)


def with_table(sim: Simulator, table: Tensor) -> Simulator:
    """World rows as an input: others with the same physics share the compiled code."""
    return replace(sim, bank=replace(sim.bank, table=table))


class CompiledSteps:
    """`num_envs` running environments behind one compiled program.

    The state lives batch last in two sets of tensors that take turns; nothing is compiled after the first step and
    nothing synchronises with the device. Flows are not kept. An episode that ended must be restarted before it goes on.
    """

    def __init__(self, sim: Simulator, num_envs: int, program: Program | None = None) -> None:
        self.sim, self.num_envs = sim, num_envs
        self.program = program or step_program(sim)
        self._begun = _beginning(sim, num_envs)
        n = len(State._fields)
        self.state, self._spare = self.program.empty(num_envs)[:n], self.program.empty(num_envs)[:n]

    def begin(self, start: Tensor) -> Tensor:
        """Start episodes everywhere, `start` `[B]` int64; observations `[B, O]`."""
        carry, self._obs = self._begun(start)
        for ours, x in zip(self.state, carry.state, strict=True):
            ours.copy_(x.movedim(0, -1))
        return self._obs

    @property
    def carry(self) -> Carry:
        """A batch-first copy of the running episodes."""
        return present(
            self.sim.bank.table, State(*(to_first(x).clone(memory_format=torch.contiguous_format) for x in self.state))
        )

    def step(self, action: Tensor) -> Tick:
        """One step with `[B, A]` actions."""
        made = self.program.empty(self.num_envs, first=len(self.state))
        self.program(self.sim.bank.table, [*self.state, action.contiguous()], [*self._spare, *made], self.num_envs)
        self.state, self._spare = self._spare, self.state
        done = Tick(*made) if outside_of(self.sim) == "first" else Tick(*map(to_first, made))
        self._obs = done.obs
        return done

    def restart(self, envs: NDArray[np.int64], start: Tensor) -> Tensor:
        """Begin new episodes in `envs` `[N]` (known to the host) at their `start` `[B]`; all observations `[B, O]`."""
        index = torch.from_numpy(envs).to(start.device)
        fresh = self.sim.begin(start.index_select(0, index))
        for ours, x in zip(self.state, fresh.state, strict=True):
            ours.index_copy_(-1, index, to_last(x))
        self._obs = self._obs.index_copy(0, index, self.sim.observe(fresh))
        return self._obs


def _beginning(sim: Simulator, num_envs: int) -> Callable[[Tensor], tuple[Carry, Tensor]]:
    """`begun`; for few environments on a CPU as a NumPy program."""
    if sim.params.device.type != "cpu" or num_envs > FEW:
        return lambda start: begun(sim, start)
    program = record(lambda start: begun(sim, start), torch.zeros(num_envs, dtype=torch.int64))

    def run(start: Tensor) -> tuple[Carry, Tensor]:
        *state, packed, obs = (torch.from_numpy(x) for x in program(start.numpy()))
        return Carry(State(*state), packed), obs

    return run
