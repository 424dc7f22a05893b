"""The compiled step: deciding, stepping, rewarding and observing as one program of straight-line machine code.

What follows the step once is shared by all engines of a simulator.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from greenhop.compiler.cpp_text import Layout
from greenhop.compiler.program import BoundCall, Program, to_first
from greenhop.compiler.toolchain import trouble
from greenhop.engines.engine import Tick, TickArrays, present, tick
from greenhop.engines.seen import name_of_step
from greenhop.episode.carry import Carry
from greenhop.errors import ConfigError
from greenhop.physics.state import State
from greenhop.saying import at_work

if TYPE_CHECKING:
    from greenhop.episode.simulator import Simulator

log = logging.getLogger(__name__)


class Programs(NamedTuple):
    """What environments with the same physics share."""

    begin: Program  # rows and backlogs `[B, …]` → state batch last, observations
    step: Program  # state batch last and actions `[B, A]` → state batch last after the step, and its `Tick`


_PROGRAMS: WeakKeyDictionary[Simulator, Programs] = WeakKeyDictionary()


def programs_of(sim: Simulator) -> Programs:
    """The programs of a simulator, read or followed when they are first asked for; neither is compiled yet."""
    if sim not in _PROGRAMS:
        with (
            at_work(f"following a step of {sim.params.name} number by number"),
            torch.inference_mode(False),  # whatever the caller has set
            torch.device(sim.params.device),
        ):
            _PROGRAMS[sim] = _followed(sim)
    return _PROGRAMS[sim]


def _followed(sim: Simulator) -> Programs:
    """The beginning of an episode and the step as programs.

    On a GPU observations and reports lie batch last too: neighbouring threads write neighbouring numbers.
    """

    def begin(table: Tensor, row: Tensor, warm_mwh: Tensor) -> tuple[State, Tensor]:
        own = with_table(sim, table)
        carry = own.begin_at(row, warm_mwh)
        return carry.state, own.observe(carry)

    def step(table: Tensor, state: State, action: Tensor) -> tuple[State, Tick]:
        carry, seen = tick(with_table(sim, table), present(table, state), action)
        return carry.state, seen

    (carry, action), table, outside = examples(sim, 1), sim.bank.table, outside_of(sim)
    states: list[Layout] = ["last"] * len(carry.state)
    opening = sim.bank.opening(torch.zeros(1, dtype=torch.int64, device=sim.params.device))
    told: list[Layout] = [*states, *[outside] * len(Tick._fields)]
    name = name_of_step(sim)
    beginning, stepping = (None if name is None else f"{name} {which}" for which in ("begin", "step"))
    return Programs(
        Program(begin, table, opening, "first", [*states, outside], beginning),
        Program(step, table, (carry.state, action), [*states, "first"], told, stepping),
    )


def outside_of(sim: Simulator) -> Layout:
    """Where the batch of what a program shows the world lies fastest."""
    return "last" if sim.params.device.type == "cuda" else "first"


def to_compile(sim: Simulator, compile: bool | None) -> bool:
    """Whether to compile; None leaves it to the machine: on a CPU where a compiler works.

    Raises:
        ConfigError: `compile` is True, and the telemetry is late, in part or with errors: only torch does that.
    """
    if compile not in (None, True, False):
        raise ConfigError(f"compile = {compile!r}; allowed: True, False, or None for what is possible")
    if sim.telemetry is not None:
        if compile:
            raise ConfigError("machine code knows full telemetry only: leave out compile, or observation.telemetry")
        return False
    if compile is not None or sim.params.device.type != "cpu":
        return bool(compile)
    reason = trouble()
    if reason is not None:
        say_slow(reason)
    return reason is None


@cache
def say_slow(reason: str) -> None:
    """Say once why steps are not machine code."""
    log.warning(
        "%s: environments step in torch, without machine code, some hundred times slower; compile=False says "
        "that this is meant",
        reason,
    )


def examples(sim: Simulator, batch: int) -> tuple[Carry, Tensor]:
    """A carry and an action of the right shapes."""
    carry = sim.begin(torch.zeros(batch, dtype=torch.int64, device=sim.params.device))
    return carry, carry.packed.new_zeros(batch, sim.action_size)


def with_table(sim: Simulator, table: Tensor) -> Simulator:
    """World rows as an input: others with the same physics share the compiled code."""
    return replace(sim, bank=replace(sim.bank, table=table))


class CompiledSteps:
    """An `Engine` behind two compiled programs.

    The state lives batch last in two sets of tensors that take turns; nothing is compiled after construction and
    nothing synchronises with the device. No gradient flows.

    Args:
        sim: the simulator.
        num_envs: how many environments.
        programs: those of a simulator with the same physics, to share.
        threads: of a CPU, which share out the environments and change no bit; None for one a core, see `threads_for`.
    """

    def __init__(
        self, sim: Simulator, num_envs: int, programs: Programs | None = None, threads: int | None = None
    ) -> None:
        self.sim, self.num_envs, self.threads = sim, num_envs, threads
        self.programs = programs or programs_of(sim)
        step, n = self.programs.step, len(State._fields)
        self._states, self._turn = [step.empty(num_envs)[:n] for _ in range(2)], 0
        self._fixed = [sim.bank.table.new_zeros(num_envs, sim.action_size), *step.empty(num_envs, first=n)]
        self._calls = self._bind()
        opening = sim.bank.opening(torch.zeros(num_envs, dtype=torch.int64, device=sim.params.device))
        self._obs = self.programs.begin.empty(num_envs, first=n)[0]
        self._beginnings = [
            self.programs.begin.bind(sim.bank.table, opening, [*state, self._obs], num_envs, threads)
            for state in self._states
        ]

    def _bind(self) -> list[BoundCall]:
        """Calls from either set of states to the other."""
        action, *made = self._fixed
        return [
            self.programs.step.bind(self.sim.bank.table, [*one, action], [*other, *made], self.num_envs, self.threads)
            for one, other in (self._states, self._states[::-1])
        ]

    @property
    def running(self) -> list[Tensor]:
        """The state of the running episodes as it lies, `[…, B]`."""
        return self._states[self._turn]

    @property
    def obs(self) -> Tensor:
        """`[B, O]` observations as they are now."""
        return self._obs

    @property
    def state(self) -> State:
        """A batch-first copy of the state of the running episodes."""
        return State(*(to_first(x).clone(memory_format=torch.contiguous_format) for x in self.running))

    def keep(self) -> Callable[[], State]:
        """The state as it is now, for later."""
        if self.sim.params.device.type != "cpu":
            return partial(State, *self.state)
        return partial(_state_of, [x.copy() for x in self._arrays[self._turn]])

    @cached_property
    def _arrays(self) -> list[list[NDArray[Any]]]:
        """Both sets of states as arrays, which NumPy copies in a tenth of torch's time."""
        return [[x.numpy() for x in states] for states in self._states]

    def begin(self, start: Tensor) -> Tensor:
        """Start episodes everywhere, `start` `[B]` int64; observations `[B, O]`."""
        return self._begin(start, self._turn)

    def _begin(self, start: Tensor, where: int) -> Tensor:
        """Start episodes in one of the sets of states."""
        call, n = self._beginnings[where], len(State._fields)
        for number, x in enumerate(self.sim.bank.opening(start)):
            call.give(number, x)
        made = self.programs.begin.empty(self.num_envs, first=n)
        call.receive(n, made[0])
        call()
        (self._obs,) = self._batch_first(made)
        return self._obs

    def _batch_first(self, made: Sequence[Tensor]) -> Sequence[Tensor]:
        return made if outside_of(self.sim) == "first" else [to_first(x) for x in made]

    def restart(self, envs: NDArray[np.int64], start: Tensor) -> Tensor:
        """Begin new episodes in `envs` `[N]` (known to the host) at their `start` `[B]`; all observations `[B, O]`."""
        if len(envs) == self.num_envs:
            return self.begin(start)
        index, old, spare = torch.from_numpy(envs).to(start.device), self._obs, self._turn ^ 1
        fresh = self._begin(start, spare)
        for ours, x in zip(self.running, self._states[spare], strict=True):
            ours.index_copy_(-1, index, x.index_select(-1, index))
        self._obs = old.index_copy(0, index, fresh.index_select(0, index))
        return self._obs

    def resume(self, state: State, obs: Tensor) -> None:
        """Go on from a state and its observations."""
        for ours, x in zip(self.running, state, strict=True):
            ours.copy_(x.movedim(0, -1))
        self._obs = obs.clone()

    def step(self, action: Tensor) -> Tick:
        """One step with `[B, A]` actions."""
        call, n = self._calls[self._turn], len(State._fields)
        call.give(n, action.contiguous())
        made = self.programs.step.empty(self.num_envs, first=n)
        for number, x in enumerate(made, n):
            call.receive(number, x)
        call()
        self._turn ^= 1
        done = Tick(*self._batch_first(made))
        self._obs = done.obs
        return done

    @cached_property
    def _in_place(self) -> tuple[list[BoundCall], NDArray[Any], TickArrays]:
        """Calls whose action and results stay where they are, and those as arrays."""
        given, *made = (x.numpy() for x in self._fixed)
        return self._bind(), given, TickArrays(*made)

    def step_arrays(self, action: NDArray[np.float32]) -> TickArrays:
        """The same from and to NumPy."""
        if self.sim.params.device.type != "cpu":
            return TickArrays(*(x.cpu().numpy() for x in self.step(torch.from_numpy(action).to(self._obs.device))))
        calls, given, made = self._in_place
        given[...] = action
        calls[self._turn]()
        self._turn ^= 1
        self._obs = self._fixed[1]
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> CompiledSteps:
        """Another batch that goes on from here; the programs are shared."""
        return _gone_on(self.sim, self.num_envs, self.state, self._obs, self.threads, self.programs)

    def __reduce__(self) -> tuple[Any, ...]:
        """Machine code is not pickled: whoever unpickles makes it, or finds it in the cache."""
        return _gone_on, (self.sim, self.num_envs, self.state, self._obs.clone(), self.threads)


def _state_of(arrays: Sequence[NDArray[Any]]) -> State:
    return State(*(to_first(torch.from_numpy(x)) for x in arrays))


def _gone_on(
    sim: Simulator, num_envs: int, state: State, obs: Tensor, threads: int | None, programs: Programs | None = None
) -> CompiledSteps:
    steps = CompiledSteps(sim, num_envs, programs, threads)
    steps.resume(state, obs)
    return steps
