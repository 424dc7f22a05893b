"""A function of single environments as a program for batches of them, on a CPU or a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from greenhop.compiler import cpu as machine_code
from greenhop.compiler import gpu as cuda_code
from greenhop.compiler.cpp_text import Bind, Call, Layout
from greenhop.compiler.threads import threads_for
from greenhop.compiler.written import Written, each, kept
from greenhop.errors import ConfigError


def to_last(x: Tensor) -> Tensor:
    """`[B, …]` → `[…, B]`, contiguous; nothing is copied where it lies so already."""
    return x.movedim(0, -1).contiguous()


def to_first(x: Tensor) -> Tensor:
    """`[…, B]` → `[B, …]`, a view."""
    return x.movedim(-1, 0)


_NUMPY = {torch.float32: np.float32, torch.float64: np.float64, torch.int64: np.int64, torch.bool: np.bool_}


def _empty(size: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A tensor to be filled; on a CPU in NumPy's memory, whose large pages cost a fifth of those of torch."""
    if device.type == "cpu":
        return torch.from_numpy(np.empty(size, _NUMPY[dtype]))
    return torch.empty(size, dtype=dtype, device=device)


class Program:
    """`function(table, *examples)`, written for one environment, for batches of any size.

    Args:
        function: of tensors, nested in tuples; it treats environments alike and apart.
        table: `[N, C]` shared by all environments, whose rows they look up; a call may give another.
        examples: tensors `[1, …]`, nested in tuples; all floating-point ones in the dtype of `table`.
        inputs: "last" where inputs lie batch last, `[…, B]`, else "first"; one word for all, or one for each, flat.
        results: the same for what the function returns.
        key: names all that the function sees beside its arguments, code included: what was followed under it is not
            followed again, in later processes either. None: always followed.

    Raises:
        UnrollError: the function uses an operation that has no rule.
        ConfigError: the machine has no compiler, or its GPU is asked for float64.
    """

    compiled: ClassVar[int] = 0  # machine codes made or loaded by this process: none once all are warm
    followed: ClassVar[int] = 0  # functions that this process followed: none that are kept on disk

    def __init__(
        self,
        function: Callable[..., Any],
        table: Tensor,
        examples: tuple[Any, ...],
        inputs: Layout | Sequence[Layout],
        results: Layout | Sequence[Layout],
        key: str | None = None,
    ) -> None:
        self.dtype, self.device = table.dtype, table.device
        if self.device.type == "cuda" and self.dtype != torch.float32:
            raise ConfigError(f"compile=True on a GPU needs dtype float32, not {self.dtype}")
        self._given = [(x.shape[1:], x.dtype) for x in tree_leaves(examples)]
        self.inputs, cuda = each(inputs, len(self._given)), self.device.type == "cuda"

        def follow() -> Written:
            Program.followed += 1
            size = cuda_code.part_size if cuda else lambda _: machine_code.PART_SIZE
            last_first = not cuda  # on a GPU its compiler then spills a little more
            return Written.follow(function, table, examples, self.inputs, results, size, last_first)

        written = kept(follow, key, self.device)
        self.code, self.numbers, self._constants = written.code, written.numbers, written.constants
        self.results = each(results, len(written.results))
        dtypes = {"float": self.dtype, "int": torch.int64, "bool": torch.bool}
        self._made = [
            (torch.Size(shape), dtypes[kind], at)
            for (shape, kind), at in zip(written.results, self.results, strict=True)
        ]
        self._by_lanes: dict[int, Bind] = {}

    def empty(self, num_envs: int, first: int = 0) -> list[Tensor]:
        """Tensors for the results of one call, from number `first` on."""
        return [
            _empty((*shape, num_envs) if at == "last" else (num_envs, *shape), dtype, self.device)
            for shape, dtype, at in self._made[first:]
        ]

    def batch_first(self, table: Tensor, inputs: Sequence[Tensor], threads: int | None = None) -> list[Tensor]:
        """New results for inputs `[B, …]`, batch first as well."""
        num_envs = len(inputs[0])
        out = self.empty(num_envs)
        placed = [to_last(x) if at == "last" else x.contiguous() for x, at in zip(inputs, self.inputs, strict=True)]
        self.bind(table, placed, out, num_envs, threads)()
        return [to_first(x) if at == "last" else x for x, at in zip(out, self.results, strict=True)]

    def __call__(self, table: Tensor, inputs: Sequence[Tensor], out: Sequence[Tensor], num_envs: int) -> None:
        """Results of the contiguous `inputs` into `out`, which shares no memory with them.

        Raises:
            ValueError: a tensor has another size or type than the examples: machine code would read past its end.
        """
        self.bind(table, inputs, out, num_envs)()

    def bind(
        self,
        table: Tensor,
        inputs: Sequence[Tensor],
        out: Sequence[Tensor],
        num_envs: int,
        threads: int | None = None,
    ) -> BoundCall:
        """That call, to be repeated: what it must check and look up is done once.

        On a CPU `threads` share out the environments, see `threads_for`.
        """
        lanes = 1 if self.device.type == "cuda" else machine_code.lanes_for(num_envs, self.dtype)
        if lanes not in self._by_lanes:
            self._by_lanes[lanes] = self._code_for(lanes)
            Program.compiled += 1
        first = 1 + len(self._constants)
        call = self._by_lanes[lanes](num_envs, [table, *self._constants, *inputs, *out], threads_for(threads))
        bound = BoundCall(call, num_envs, self._given, first)
        for number, x in enumerate(inputs):
            bound.give(number, x)
        return bound

    def _code_for(self, lanes: int) -> Bind:
        if self.device.type == "cuda":
            return cuda_code.cuda_code(self.code, self.device)
        return machine_code.machine_code(self.code, lanes, self.dtype)


class BoundCall:
    """A call of a program with its tensors in place; single ones may be replaced between calls."""

    def __init__(self, call: Call, num_envs: int, given: Sequence[tuple[torch.Size, torch.dtype]], first: int) -> None:
        self._call, self._num_envs, self._first, self._given = call, num_envs, first, given
        self._sizes = [shape.numel() * num_envs for shape, _ in given]

    def __call__(self) -> None:
        self._call()

    def give(self, number: int, x: Tensor) -> None:
        """Another contiguous tensor for input `number`.

        Raises:
            ValueError: it has another size or type than the example.
        """
        shape, dtype = self._given[number]
        if x.dtype != dtype or x.numel() != self._sizes[number] or not x.is_contiguous():
            wanted = f"{self._num_envs} times {tuple(shape)} of {dtype}"
            raise ValueError(f"an input of {x.dtype} {tuple(x.shape)} where {wanted} belongs")
        self._call.replace(self._first + number, x)

    def receive(self, number: int, x: Tensor) -> None:
        """Another tensor for result `number`, as `Program.empty` makes it."""
        self._call.replace(self._first + len(self._given) + number, x)
