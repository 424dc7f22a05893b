"""The compiled step as a pure function that gradients flow through: for learners that differentiate the simulator.

A step and its derivative are two graphs. The second runs the step again, from the same carry and action, and pulls a
gradient back through it, so that nothing is kept between the two but their inputs. It is one straight graph to the
compiler: what a derivative needs to know, such as which of two limits was met, is computed once and in one place.
(Left to itself a compiler cuts forward and backward apart and computes some values anew, rounded differently, and this
physics is full of totals that meet their limits exactly: docs/performance.md.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from greenhop.batch_last import BatchLast, batch_last, to_last
from greenhop.compiled import CompiledProgram, chunk_for, examples, joined, with_table
from greenhop.rewards import reward_of
from greenhop.simulator import Carry, Simulator
from greenhop.state import State

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
    """`outcome` for `num_envs` environments, compiled; the derivative is compiled when it is first asked for.

    Turning the batch to the end and back costs a little in every step: where episodes keep running and no gradient is
    needed `CompiledSteps` is faster.
    """

    def __init__(self, sim: Simulator, num_envs: int, chunk: int | None = None, backend: str = "inductor") -> None:
        self.sim, self.backend = sim, backend
        most = chunk or chunk_for(sim.params)
        self.n_chunks = _equal_chunks(num_envs, most) if sim.params.device.type == "cpu" else 1
        self._examples = examples(sim, num_envs // self.n_chunks)

    def __call__(self, carry: Carry, action: Tensor) -> tuple[Carry, Outcome]:
        """One step from `carry` with actions `[B, A]`."""
        done: tuple[Tensor, ...] = _Step.apply(self, *carry.state, carry.packed, action)  # type: ignore[no-untyped-call]
        *state, packed, obs, reward = done
        return Carry(State(*state), packed), Outcome(obs, reward)

    @cached_property
    def forward(self) -> Any:
        """Batch-last carry and action of a chunk → batch-last carry, observation and reward after it."""

        def inside(table: Tensor, given: tuple[Carry, Tensor], _: Any) -> tuple[Any, tuple[()]]:
            return outcome(with_table(self.sim, table), *given), ()

        return self._compiled(batch_last(inside, self.sim.bank.table, state=self._examples))

    @cached_property
    def backward(self) -> Any:
        """Batch-last carry, action and pull of a chunk → batch-last gradients of state and action."""
        example = (*self._examples, even_pull(self.sim, self._examples[0]))

        def inside(table: Tensor, given: tuple[Carry, Tensor, Pull], _: Any) -> tuple[Any, tuple[()]]:
            return pull_back(partial(outcome, with_table(self.sim, table)), *given), ()

        return self._compiled(batch_last(inside, self.sim.bank.table, state=example))

    def _compiled(self, program: BatchLast) -> Any:
        return CompiledProgram(program.body, program.inputs, self.backend)

    def run(self, program: Any, inputs: Sequence[Tensor]) -> list[Tensor]:
        """A program on all chunks; batch first before and after."""
        chunks = zip(*(x.chunk(self.n_chunks) for x in inputs), strict=True)
        parts = [program(self.sim.bank.table, *map(to_last, chunk)) for chunk in chunks]
        return [joined(part) for part in zip(*parts, strict=True)]


class _Step(torch.autograd.Function):
    """Ties the two programs together for autograd."""

    @staticmethod
    def forward(ctx: Any, owner: CompiledOutcome, *inputs: Tensor) -> tuple[Tensor, ...]:
        ctx.owner = owner
        ctx.save_for_backward(*inputs)
        out = owner.run(owner.forward, inputs)
        fixed = [x for name, x in zip((*State._fields, "packed"), out, strict=False) if name not in FLOATS]
        ctx.mark_non_differentiable(*fixed)
        return tuple(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        by_name = dict(zip((*State._fields, "packed", "obs", "reward"), grads, strict=True))
        pulls = [by_name[name] for name in (*FLOATS, "obs", "reward")]
        *state, action = ctx.owner.run(ctx.owner.backward, [*ctx.saved_tensors, *pulls])
        found = dict(zip(FLOATS, state, strict=True))
        return None, *(found.get(name) for name in State._fields), None, action


def _equal_chunks(num_envs: int, largest: int) -> int:
    """The smallest number of equal chunks of at most `largest` environments."""
    return next(n for n in range(-(-num_envs // largest), num_envs + 1) if num_envs % n == 0)
