"""The compiled step as a pure function that gradients flow through: for learners that differentiate the simulator.

A step and its derivative are two programs. The second runs the step again, from the same state and action, and pulls a
gradient back through it, so that nothing is kept between the two but their inputs. What a derivative needs to know,
such as which of two limits was met, is computed once and in one place. (A compiler that cuts forward and backward apart
computes some values anew, rounded differently, and this physics is full of totals that meet their limits exactly:
docs/performance.md.)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from greenhop.compiler.program import Program
from greenhop.engines.compiled import examples, outside_of, programs_of, with_table
from greenhop.engines.engine import Tick, present, tick
from greenhop.engines.seen import name_of_step
from greenhop.episode.carry import Carry
from greenhop.physics.state import State

if TYPE_CHECKING:
    from greenhop.episode.simulator import Simulator

FLOATS = tuple(name for name in State._fields if name not in ("t", "world_row"))  # what a gradient flows through
GIVEN = (*State._fields, *Tick._fields)  # by a step, in this order
PULLED = (*FLOATS, "obs", "reward")  # of that, what a gradient comes back from


def floats(state: State) -> tuple[Tensor, ...]:
    """The parts of a state called FLOATS."""
    return tuple(getattr(state, name) for name in FLOATS)


Step = Callable[[Carry, Tensor], tuple[Carry, Tick]]  # from a carry with actions [B, A]


class Pull(NamedTuple):
    """The gradient of something with respect to what a step gives; what it reports has none."""

    state: tuple[Tensor, ...]  # of FLOATS, each [B, …]
    obs: Tensor  # [B, O]
    reward: Tensor  # [B]


def even_pull(sim: Simulator, carry: Carry) -> Pull:
    """Ones: the gradient of the sum of all that a step from `carry` gives."""
    reward = carry.packed.new_ones(len(carry.packed))
    return Pull(tuple(map(torch.ones_like, floats(carry.state))), torch.ones_like(sim.observe(carry)), reward)


def pull_back(step: Step, carry: Carry, action: Tensor, pull: Pull) -> tuple[tuple[Tensor, ...], Tensor]:
    """The gradient with respect to the state (of FLOATS) and the action `[B, A]` that a step began with."""
    with torch.enable_grad():
        leaves = tuple(x.detach().requires_grad_() for x in floats(carry.state))
        chosen = action.detach().requires_grad_()
        before = Carry(carry.state._replace(**dict(zip(FLOATS, leaves, strict=True))), carry.packed)
        after, seen = step(before, chosen)
        given = [*floats(after.state), seen.obs, seen.reward]
        *state, by_action = torch.autograd.grad(given, [*leaves, chosen], [*pull.state, pull.obs, pull.reward])
    return tuple(state), by_action


class CompiledOutcome:
    """`tick`, compiled, for batches of any size; the derivative is compiled when it is first asked for.

    On a CPU `threads` share out the environments of both, see `threads_for`.
    """

    def __init__(self, sim: Simulator, threads: int | None = None) -> None:
        self.sim, self.threads = sim, threads
        self._carry, self._action = examples(sim, 1)

    def __call__(self, carry: Carry, action: Tensor) -> tuple[Carry, Tick]:
        """One step from `carry` with actions `[B, A]`."""
        made, n = _Step.apply(self, *carry.state, action), len(State._fields)  # type: ignore[no-untyped-call]
        return present(self.sim.bank.table, State(*made[:n])), Tick(*made[n:])

    @cached_property
    def forward(self) -> Program:
        """State and action → state and `Tick` after it: the program of the environments."""
        return programs_of(self.sim).step

    @cached_property
    def backward(self) -> Program:
        """State, action and pull → gradients of state and action."""

        def run(table: Tensor, state: State, action: Tensor, pull: Pull) -> tuple[tuple[Tensor, ...], Tensor]:
            return pull_back(partial(tick, with_table(self.sim, table)), present(table, state), action, pull)

        given, layout = (self._carry.state, self._action, even_pull(self.sim, self._carry)), outside_of(self.sim)
        name = name_of_step(self.sim)
        return Program(run, self.sim.bank.table, given, layout, layout, name and f"{name} derivative")


class _Step(torch.autograd.Function):
    """Ties the two programs together for autograd."""

    @staticmethod
    def forward(ctx: Any, owner: CompiledOutcome, *inputs: Tensor) -> tuple[Tensor, ...]:
        ctx.owner = owner
        ctx.save_for_backward(*inputs)
        out = owner.forward.batch_first(owner.sim.bank.table, inputs, owner.threads)
        fixed = [x for name, x in zip(GIVEN, out, strict=True) if name not in PULLED]
        ctx.mark_non_differentiable(*fixed)
        return tuple(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        by_name = dict(zip(GIVEN, grads, strict=True))
        pulls = [by_name[name] for name in PULLED]
        owner, given = ctx.owner, [*ctx.saved_tensors, *pulls]
        *state, action = owner.backward.batch_first(owner.sim.bank.table, given, owner.threads)
        found = dict(zip(FLOATS, state, strict=True))
        return None, *(found.get(name) for name in State._fields), action
