"""A function of single environments as a program for batches of them, on a CPU or a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from greenhop import cuda_code, machine_code
from greenhop.errors import ConfigError
from greenhop.scalar_code import Code, Layout, Run, write_code
from greenhop.unrolled import unroll


def to_last(x: Tensor) -> Tensor:
    """`[B, …]` → `[…, B]`, contiguous; nothing is copied where it lies so already."""
    return x.movedim(0, -1).contiguous()


def to_first(x: Tensor) -> Tensor:
    """`[…, B]` → `[B, …]`, a view."""
    return x.movedim(-1, 0)


def _each(layout: Layout | Sequence[Layout], count: int) -> Sequence[Layout]:
    return [layout] * count if isinstance(layout, str) else layout


class Program:
    """`function(table, *examples)`, written for one environment, for batches of any size.

    Args:
        function: of tensors, nested in tuples; it treats environments alike and apart.
        table: `[N, C]` shared by all environments, whose rows they look up; a call may give another.
        examples: tensors `[1, …]`, nested in tuples; all floating-point ones in the dtype of `table`.
        inputs: "last" where inputs lie batch last, `[…, B]`, else "first"; one word for all, or one for each, flat.
        results: the same for what the function returns.

    Raises:
        UnrollError: the function uses an operation that has no rule.
        ConfigError: the machine has no compiler, or its GPU is asked for float64.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        table: Tensor,
        examples: tuple[Any, ...],
        inputs: Layout | Sequence[Layout],
        results: Layout | Sequence[Layout],
    ) -> None:
        self.dtype, self.device = table.dtype, table.device
        if self.device.type == "cuda" and self.dtype != torch.float32:
            raise ConfigError(f"compile=True on a GPU needs dtype float32, not {self.dtype}")
        self.unrolled = unroll(function, table, examples)
        self._given = [(x.shape[1:], x.dtype) for x in tree_leaves(examples)]
        kinds = map(self.unrolled.kind, self.unrolled.results)
        dtypes = {"float": self.dtype, "int": torch.int64, "bool": torch.bool}
        self._made = [(shape, dtypes[kind]) for shape, kind in zip(self.unrolled.shapes, kinds, strict=True)]
        self.inputs, self.results = _each(inputs, len(self._given)), _each(results, len(self._made))
        cuda = self.device.type == "cuda"
        order = self.unrolled.needed()
        size = (cuda_code if cuda else machine_code).part_size(len(order))
        self.code: Code = write_code(self.unrolled, order, self.inputs, self.results, size)
        self._constants = self.unrolled.tables[1:]
        self._by_lanes: dict[int, Run] = {}
        self._by_size: dict[int, Run] = {}  # by number of environments

    def empty(self, num_envs: int, first: int = 0) -> list[Tensor]:
        """Tensors for the results of one call, from number `first` on."""
        out = []
        for (shape, dtype), layout in list(zip(self._made, self.results, strict=True))[first:]:
            size = (*shape, num_envs) if layout == "last" else (num_envs, *shape)
            out.append(torch.empty(size, dtype=dtype, device=self.device))
        return out

    def batch_first(self, table: Tensor, inputs: Sequence[Tensor]) -> list[Tensor]:
        """New results for inputs `[B, …]`, batch first as well."""
        num_envs = len(inputs[0])
        out = self.empty(num_envs)
        placed = [to_last(x) if at == "last" else x.contiguous() for x, at in zip(inputs, self.inputs, strict=True)]
        self(table, placed, out, num_envs)
        return [to_first(x) if at == "last" else x for x, at in zip(out, self.results, strict=True)]

    def __call__(self, table: Tensor, inputs: Sequence[Tensor], out: Sequence[Tensor], num_envs: int) -> None:
        """Results of the contiguous `inputs` into `out`, which shares no memory with them.

        Raises:
            ValueError: a tensor has another size or type than the examples: machine code would read past its end.
        """
        for x, (shape, dtype) in zip(inputs, self._given, strict=True):
            if x.dtype != dtype or x.numel() != shape.numel() * num_envs or not x.is_contiguous():
                wanted = f"{num_envs} times {tuple(shape)} of {dtype}"
                raise ValueError(f"an input of {x.dtype} {tuple(x.shape)} where {wanted} belongs")
        self._run(num_envs)(num_envs, [table, *self._constants, *inputs, *out])

    def _run(self, num_envs: int) -> Run:
        """The machine code for so many environments, made where there is none yet."""
        if num_envs not in self._by_size:
            lanes = 1 if self.device.type == "cuda" else machine_code.lanes_for(num_envs, self.dtype)
            if lanes not in self._by_lanes:
                self._by_lanes[lanes] = self._code_for(lanes)
            self._by_size[num_envs] = self._by_lanes[lanes]
        return self._by_size[num_envs]

    def _code_for(self, lanes: int) -> Run:
        if self.device.type == "cuda":
            return cuda_code.cuda_code(self.code, self.device)
        return machine_code.machine_code(self.code, lanes, self.dtype)
