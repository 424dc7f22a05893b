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
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from greenhop.compiler.program import Program
from greenhop.engines.compiled import examples, outside_of, with_table
from greenhop.engines.engine import present
from greenhop.episode.simulator import Carry, Simulator
from greenhop.physics.rewards import reward_of
from greenhop.physics.state import State

FLOATS = tuple(name for name in State._fields if name not in ("t", "world_row"))  # what a gradient flows through


def floats(state: State) -> tuple[Tensor, ...]:
    """The parts of a state called FLOATS."""
    return tuple(getattr(state, name) for name in FLOATS)


class Outcome(NamedTuple):
    """What a learner needs of a step, batch first."""

    obs: Tensor  # [B, O] after the step, before any restart
    reward: Tensor  # [B]


def outcome(sim: Simulator, carry: Carry, action: Tensor) -> tuple[Carry, Outcome]:
    """One step with actions `[B, A]`, the observation after it and its reward; gradients flow through it."""
    carry, flows = sim.act(carry, action)
    return carry, Outcome(sim.observe(carry), reward_of(sim.params, flows))


Step = Callable[[Carry, Tensor], tuple[Carry, Outcome]]  # from a carry with actions [B, A]


class Pull(NamedTuple):
    """The gradient of something with respect to what a step gives."""

    state: tuple[Tensor, ...]  # of FLOATS, each [B, …]
    seen: Outcome


def even_pull(sim: Simulator, carry: Carry) -> Pull:
    """Ones: the gradient of the sum of all that a step from `carry` gives."""
    reward = carry.packed.new_ones(len(carry.packed))
    return Pull(tuple(map(torch.ones_like, floats(carry.state))), Outcome(torch.ones_like(sim.observe(carry)), reward))


def pull_back(step: Step, carry: Carry, action: Tensor, pull: Pull) -> tuple[tuple[Tensor, ...], Tensor]:
    """The gradient with respect to the state (of FLOATS) and the action `[B, A]` that a step began with."""
    with torch.enable_grad():
        leaves = tuple(x.detach().requires_grad_() for x in floats(carry.state))
        chosen = action.detach().requires_grad_()
        before = Carry(carry.state._replace(**dict(zip(FLOATS, leaves, strict=True))), carry.packed)
        after, seen = step(before, chosen)
        given = [*floats(after.state), *seen]
        *state, by_action = torch.autograd.grad(given, [*leaves, chosen], [*pull.state, *pull.seen])
    return tuple(state), by_action


class CompiledOutcome:
    """`outcome`, compiled, for batches of any size; the derivative is compiled when it is first asked for."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim
        self._carry, self._action = examples(sim, 1)

    def __call__(self, carry: Carry, action: Tensor) -> tuple[Carry, Outcome]:
        """One step from `carry` with actions `[B, A]`."""
        *state, obs, reward = _Step.apply(self, *carry.state, action)  # type: ignore[no-untyped-call]
        after = State(*state)
        return present(self.sim.bank.table, after), Outcome(obs, reward)

    @cached_property
    def forward(self) -> Program:
        """State and action → state, observation and reward after it."""

        def run(table: Tensor, state: State, action: Tensor) -> tuple[State, Outcome]:
            carry, seen = outcome(with_table(self.sim, table), present(table, state), action)
            return carry.state, seen

        return self._program(run, self._carry.state, self._action)

    @cached_property
    def backward(self) -> Program:
        """State, action and pull → gradients of state and action."""

        def run(table: Tensor, state: State, action: Tensor, pull: Pull) -> tuple[tuple[Tensor, ...], Tensor]:
            return pull_back(partial(outcome, with_table(self.sim, table)), present(table, state), action, pull)

        return self._program(run, self._carry.state, self._action, even_pull(self.sim, self._carry))

    def _program(self, run: Callable[..., Any], *given: Any) -> Program:
        layout = outside_of(self.sim)
        return Program(run, self.sim.bank.table, given, layout, layout)


class _Step(torch.autograd.Function):
    """Ties the two programs together for autograd."""

    @staticmethod
    def forward(ctx: Any, owner: CompiledOutcome, *inputs: Tensor) -> tuple[Tensor, ...]:
        ctx.owner = owner
        ctx.save_for_backward(*inputs)
        out = owner.forward.batch_first(owner.sim.bank.table, inputs)
        fixed = [x for name, x in zip(State._fields, out, strict=False) if name not in FLOATS]
        ctx.mark_non_differentiable(*fixed)
        return tuple(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        by_name = dict(zip((*State._fields, *Outcome._fields), grads, strict=True))
        pulls = [by_name[name] for name in (*FLOATS, *Outcome._fields)]
        *state, action = ctx.owner.backward.batch_first(ctx.owner.sim.bank.table, [*ctx.saved_tensors, *pulls])
        found = dict(zip(FLOATS, state, strict=True))
        return None, *(found.get(name) for name in State._fields), action
