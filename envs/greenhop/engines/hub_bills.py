"""What each hub pays for a step: the step is run again for it, by machine code where there is any."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from greenhop.compiler.program import Program
from greenhop.compiler.unroll import UnrollError
from greenhop.engines.compiled import examples, say_slow, to_compile, with_table
from greenhop.engines.engine import present
from greenhop.errors import ConfigError
from greenhop.physics.shares import bill_by_hub
from greenhop.physics.state import State

if TYPE_CHECKING:
    from greenhop.episode.simulator import Simulator


def hub_bills(sim: Simulator, state: State, action: Tensor) -> Tensor:
    """`[B, R]` CNY of the step from `state` (batch first) with actions `[B, A]`."""
    before = present(sim.bank.table, state)
    after, flows = sim.act(before, action)
    row, _ = sim.unpack(before)
    return bill_by_hub(sim.params, row, flows, before.state, after.state)


class HubBills:
    """`hub_bills` of one simulator, as machine code where that is asked for and possible.

    Args:
        sim: the simulator.
        compile: machine code; False for torch; None for machine code on a CPU that can have it.

    Raises:
        UnrollError: `compile` is True, and the decoder does what machine code cannot follow.
        ConfigError: `compile` is True, and there is no compiler that works.
    """

    def __init__(self, sim: Simulator, compile: bool | None = None) -> None:
        self.sim = sim
        self._program: Program | None = None
        if to_compile(sim, compile):
            try:
                self._program = self._followed()
            except (UnrollError, ConfigError) as error:
                if compile:
                    raise
                say_slow(str(error))

    def __call__(self, state: State, action: Tensor) -> Tensor:
        """`[B, R]` CNY of the step from `state` with actions `[B, A]`, without gradient."""
        with torch.no_grad():
            if self._program is None:
                return hub_bills(self.sim, state, action)
            return self._program.batch_first(self.sim.bank.table, [*state, action])[0]

    def _followed(self) -> Program:
        def bills(table: Tensor, state: State, action: Tensor) -> Tensor:
            return hub_bills(with_table(self.sim, table), state, action)

        with torch.inference_mode(False), torch.device(self.sim.params.device):
            carry, action = examples(self.sim, 1)
            return Program(bills, self.sim.bank.table, (carry.state, action), "first", "first")
