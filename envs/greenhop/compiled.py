"""The compiled step: deciding, stepping, rewarding and observing as one graph, in chunks that fit a cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from greenhop.batch_last import batch_last, to_first, to_last
from greenhop.machine_code import STACK_BYTES, machine_code
from greenhop.params import Params
from greenhop.recorded import record
from greenhop.rewards import report, reward_of
from greenhop.simulator import Carry, Simulator
from greenhop.state import State

LARGEST_CHUNK = 128  # environments a CPU steps together: more gain nothing
BYTES_PER_SIZE = 240  # of intermediate results, by environment and `Params.size`: measured, docs/performance.md
OPTIONS: dict[str, Any] = {  # of torch's compiler: measured
    "realize_reads_threshold": 2,  # keep what is used twice instead of computing it again
    "realize_opcount_threshold": 10,
    "cpp.enable_tiling_heuristics": False,  # the batch, last, is what vectorises: nothing to search for
}
LANES = 8  # float32 numbers in a vector register: chunks are multiples of it


Body = Callable[..., Sequence[Tensor]]


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


def chunk_for(params: Params) -> int:
    """Environments whose intermediate results fit on the stack, and so in a core's cache."""
    fit = max(LANES, STACK_BYTES // (BYTES_PER_SIZE * params.size))
    return min(LARGEST_CHUNK, 1 << fit.bit_length() - 1)  # a power of two divides most batches


def chunk_sizes(num_envs: int, device: torch.device, largest: int) -> tuple[int, int]:
    """How many chunks and how many environments in each; the last may run a few that nobody asked for.

    An accelerator takes all at once.
    """
    if device.type != "cpu" or num_envs <= LANES:
        return 1, num_envs
    chunks = -(-num_envs // largest)
    return chunks, -(-num_envs // chunks // LANES) * LANES


class CompiledSteps:
    """`num_envs` running environments behind one compiled graph.

    The state lives batch last, chunk by chunk, in `chunks`; nothing is recompiled after the first step and nothing
    synchronises with the device. Flows are not kept. On a CPU `chunk` environments are stepped together; None: as many
    as suit a cache.
    """

    def __init__(self, sim: Simulator, num_envs: int, chunk: int | None = None, backend: str = "inductor") -> None:
        self.sim, self.num_envs = sim, num_envs
        self.n_chunks, self.chunk = chunk_sizes(num_envs, sim.params.device, chunk or chunk_for(sim.params))
        carry, action = examples(sim, self.chunk)

        def inside(table: Tensor, carry: Carry, action: Tensor) -> tuple[Carry, Tick]:
            return tick(with_table(sim, table), carry, action)

        self.program = batch_last(inside, shared=sim.bank.table, state=carry, given=action)
        self._run = CompiledProgram(self.program.body, self.program.inputs, backend)
        self._begun = _beginning(sim, num_envs)
        self.chunks: list[list[Tensor]] = []
        *self._spare, obs, reward, reported = self._run.empty()  # what the next chunk writes its state into
        self._tick = Tick(obs, reward, reported)

    def begin(self, start: Tensor) -> Tensor:
        """Start episodes everywhere, `start` `[B]` int64; observations `[B, O]`."""
        carry, self._obs = self._begun(start)
        parts = [(*part.state, part.packed) for part in self._split(carry)]
        self.chunks = [[to_last(x).clone() for x in part] for part in parts]  # steps will write into them
        return self._obs

    @property
    def carry(self) -> Carry:
        """A batch-first copy of the running episodes."""
        *state, packed = (joined(parts)[: self.num_envs] for parts in zip(*self.chunks, strict=True))
        return Carry(State(*state), packed)

    def step(self, action: Tensor) -> Tick:
        """One step with `[B, A]` actions."""
        missing = self.n_chunks * self.chunk - self.num_envs
        if missing:
            action = torch.cat((action, action.new_zeros(missing, action.shape[1])))
        done = Tick(*(x.new_empty(self.n_chunks * self.chunk, *x.shape[1:]) for x in self._tick))
        whole = (action.contiguous(), *done)
        parts = [whole] if self.n_chunks == 1 else zip(*(x.chunk(self.n_chunks) for x in whole), strict=True)
        for i, (chosen, *seen) in enumerate(parts):
            before = self.chunks[i]
            self._run(self.sim.bank.table, *before, chosen, out=[*self._spare, *seen])
            self.chunks[i], self._spare = self._spare, before
        if missing:
            done = Tick(*(x[: self.num_envs] for x in done))
        self._obs = done.obs
        return done

    def restart(self, envs: NDArray[np.int64], start: Tensor) -> Tensor:
        """Begin new episodes in `envs` `[N]` (known to the host) at their `start` `[B]`; all observations `[B, O]`."""
        index = torch.from_numpy(envs)
        fresh = self.sim.begin(start.index_select(0, index.to(start.device)))
        for i in np.unique(envs // self.chunk):
            mine = torch.from_numpy(np.flatnonzero(envs // self.chunk == i))
            column, mine = (index[mine] % self.chunk).to(start.device), mine.to(start.device)
            self.chunks[i] = [
                x.index_copy(-1, column, to_last(y.index_select(0, mine)))
                for x, y in zip(self.chunks[i], (*fresh.state, fresh.packed), strict=True)
            ]
        self._obs = self._obs.index_copy(0, index.to(start.device), self.sim.observe(fresh))
        return self._obs

    def _split(self, carry: Carry) -> list[Carry]:
        """Chunks of equal size, the last filled up with copies of the last environment."""
        if self.num_envs == self.chunk:
            return [carry]
        index = torch.arange(self.n_chunks * self.chunk, device=carry.packed.device).clamp_max(self.num_envs - 1)
        parts = torch.split(index, self.chunk)
        return [
            Carry(State(*(x.index_select(0, i) for x in carry.state)), carry.packed.index_select(0, i)) for i in parts
        ]


def _beginning(sim: Simulator, num_envs: int) -> Callable[[Tensor], tuple[Carry, Tensor]]:
    """`begun`; for few environments on a CPU as a NumPy program."""
    if sim.params.device.type != "cpu" or num_envs > LANES:
        return lambda start: begun(sim, start)
    program = record(lambda start: begun(sim, start), torch.zeros(num_envs, dtype=torch.int64))

    def run(start: Tensor) -> tuple[Carry, Tensor]:
        *state, packed, obs = (torch.from_numpy(x) for x in program(start.numpy()))
        return Carry(State(*state), packed), obs

    return run


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Chunks `[…, chunk]` as one new tensor `[B, …]`."""
    return torch.cat([to_first(x) for x in parts])


def examples(sim: Simulator, batch: int) -> tuple[Carry, Tensor]:
    """A carry and an action of the shapes that a chunk has."""
    carry = sim.begin(torch.zeros(batch, dtype=torch.int64, device=sim.params.device))
    return carry, carry.packed.new_zeros(batch, sim.action_size)


def with_table(sim: Simulator, table: Tensor) -> Simulator:
    """World rows as an input: they are large, and others with the same physics share the compiled code."""
    return replace(sim, bank=replace(sim.bank, table=table))


class CompiledProgram:
    """A function of tensors, compiled for the shapes of `inputs`, which writes its results into tensors it is given.

    On a CPU there is no Python around the compiler's output.
    """

    def __init__(self, body: Body, inputs: Sequence[Tensor], backend: str = "inductor") -> None:
        with torch.no_grad():
            self._like = [(x.shape, x.dtype, x.device) for x in body(*inputs)]
            examples = [*inputs, *self.empty()]
            graph = make_fx(_writing(body, len(inputs)))(*examples)
        if backend == "inductor" and examples[0].device.type == "cpu":
            self._call = machine_code(graph, examples, OPTIONS)
        else:
            options = OPTIONS if backend == "inductor" else None
            self._call = torch.compile(graph, fullgraph=True, dynamic=False, backend=backend, options=options)

    def empty(self) -> list[Tensor]:
        """Tensors for the results of one call."""
        return [torch.empty(shape, dtype=dtype, device=device) for shape, dtype, device in self._like]

    def __call__(self, *inputs: Tensor, out: Sequence[Tensor] | None = None) -> Sequence[Tensor]:
        """The results, in `out` where given; it must share no memory with the inputs."""
        results = self.empty() if out is None else out
        self._call(*inputs, *results)
        return results


def _writing(body: Body, n_inputs: int) -> Callable[..., tuple[()]]:
    """`body` as a function that copies its results into the tensors after its inputs."""

    def run(*given: Tensor) -> tuple[()]:
        for result, x in zip(given[n_inputs:], body(*given[:n_inputs]), strict=True):
            result.copy_(x)
        return ()

    return run
