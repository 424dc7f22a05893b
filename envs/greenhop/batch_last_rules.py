"""What becomes of every operation when the batch moves from the first axis to the last (see batch_last.py)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import getitem
from typing import Any

import torch
from torch import Tensor

from greenhop.errors import GreenhopError
from greenhop.ops import gather_ends, sum_at

aten = torch.ops.aten


class LayoutError(GreenhopError):
    """An operation that cannot be replayed with the batch last."""


def stored(x: Tensor) -> Tensor:
    """The same tensor, contiguous; a compiler takes `as_strided` for an order to store what it views."""
    x = x.contiguous()
    return x.as_strided(x.shape, x.stride())


class Last:
    """A tensor whose batch is its last axis; every other value met in a replay is the same for all environments."""

    __slots__ = ("x",)

    def __init__(self, x: Tensor) -> None:
        self.x = x

    @property
    def rank(self) -> int:
        return self.x.dim()

    def axis(self, axis: int, rank: int | None = None) -> int:
        """Where an axis of the batch-first tensor is now."""
        rank = rank or self.rank
        if axis % rank == 0:
            raise LayoutError("an operation over the batch axis mixes environments")
        return axis % rank - 1


def is_tensor(x: Any) -> bool:
    return isinstance(x, Tensor | Last)


def is_pointwise(target: Any) -> bool:
    return target in _LIKE or torch.Tag.pointwise in getattr(target, "tags", ())


def rolled(x: Last | Tensor, rank: int) -> Tensor:
    """The batch-last form of what broadcasts to `rank` axes."""
    if isinstance(x, Last):
        return x.x
    if x.dim() == 0:
        return x
    return x.reshape((1,) * (rank - x.dim()) + tuple(x.shape)).permute(*range(1, rank), 0)


def _sum(x: Last, axes: Sequence[int], keepdim: bool = False) -> Last:
    return Last(x.x.sum([x.axis(a) for a in axes], keepdim))


def _mean(x: Last, axes: Sequence[int], keepdim: bool = False) -> Last:
    return Last(x.x.mean([x.axis(a) for a in axes], keepdim))


def _amax(x: Last, axes: Sequence[int], keepdim: bool = False) -> Last:
    return Last(x.x.amax([x.axis(a) for a in axes], keepdim))


def _cumsum(x: Last, axis: int) -> Last:
    """Written out: axes are short, and a library call would end the fused loop."""
    parts = x.x.unbind(x.axis(axis))
    sums = [parts[0]]
    for part in parts[1:]:
        sums.append(sums[-1] + part)
    return Last(torch.stack(sums, x.axis(axis)))


def _cat(parts: Sequence[Any], axis: int = 0) -> Last:
    first = next(p for p in parts if isinstance(p, Last))
    return Last(torch.cat([rolled(p, first.rank) for p in parts], first.axis(axis)))


def _stack(parts: Sequence[Any], axis: int = 0) -> Last:
    first = next(p for p in parts if isinstance(p, Last))
    return Last(torch.stack([rolled(p, first.rank) for p in parts], first.axis(axis, first.rank + 1)))


def _slice(x: Last, axis: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Last:
    return x if axis % x.rank == 0 else Last(aten.slice.Tensor(x.x, x.axis(axis), start, end, step))


def _index_select(x: Any, axis: int, index: Any) -> Last:
    """Constant places of every environment, or every environment's own row of a table."""
    if isinstance(x, Last):
        return Last(x.x.index_select(x.axis(axis), index))
    if axis != 0:
        raise LayoutError("a table is looked up along its first axis")
    rows = stored(x.flatten(1).index_select(0, index.x))
    return Last(stored(rows.t()).reshape(*x.shape[1:], -1))


def _index_add(x: Any, axis: int, index: Tensor, added: Last, alpha: int = 1) -> Last:
    """Sums at constant places, as every place picking what belongs to it: additions that do not wait for each other."""
    at, base = added.axis(axis), rolled(x, added.rank)
    ends = gather_ends(index.tolist(), base.shape[at])
    total = sum_at(added.x.movedim(at, 0).unsqueeze(0), ends).squeeze(0).movedim(0, at)
    return Last(base + alpha * total)


def _padded(x: Tensor, axis: int, before: int, after: int) -> Tensor:
    """Zeros before and after along an axis."""
    return torch.nn.functional.pad(x, [0, 0] * (x.dim() - 1 - axis) + [before, after])


def _slice_backward(x: Last, shape: Sequence[int], axis: int, start: int, end: int, step: int) -> Last:
    if axis % x.rank == 0:
        return x
    if step != 1:
        raise LayoutError("the derivative of a slice with a step has no batch-last rule")
    return Last(_padded(x.x, x.axis(axis), start, shape[axis] - min(end, shape[axis])))


def _select_backward(x: Last, shape: Sequence[int], axis: int, i: int) -> Last:
    at, count = x.axis(axis, x.rank + 1), shape[axis]
    return Last(_padded(x.x.unsqueeze(at), at, i % count, count - 1 - i % count))


_LIKE = (aten.zeros_like.default, aten.ones_like.default, aten._to_copy.default)
RULES: dict[Any, Callable[..., Any]] = {
    aten.sum.dim_IntList: _sum,
    aten.mean.dim: _mean,
    aten.amax.default: _amax,
    aten.cumsum.default: _cumsum,
    aten.cat.default: _cat,
    aten.stack.default: _stack,
    aten.slice.Tensor: _slice,
    aten.detach.default: lambda x: x,
    aten.alias.default: lambda x: x,
    aten.mv.default: lambda x, v: _sum(Last(x.x * v.unsqueeze(-1)), [-1]),
    aten.unsqueeze.default: lambda x, a: Last(x.x.unsqueeze(x.axis(a, x.rank + 1))),
    aten.view.default: lambda x, shape: Last(x.x.reshape(*shape[1:], x.x.shape[-1])),
    aten.expand.default: lambda x, shape: Last(x.x.expand(*shape[1:], x.x.shape[-1])),
    aten.transpose.int: lambda x, a, b: Last(x.x.transpose(x.axis(a), x.axis(b))),
    aten.select.int: lambda x, a, i: Last(x.x.select(x.axis(a), i)),
    aten.unbind.int: lambda x, a=0: [Last(y) for y in x.x.unbind(x.axis(a))],
    aten.split_with_sizes.default: lambda x, sizes, a=0: [Last(y) for y in x.x.split(sizes, x.axis(a))],
    aten.index_select.default: _index_select,
    getitem: lambda parts, i: parts[i],
    aten.new_zeros.default: lambda x, shape, **_: torch.zeros(shape, dtype=x.x.dtype, device=x.x.device),
    # met in derivatives
    aten.index_add.default: _index_add,
    aten.slice_backward.default: _slice_backward,
    aten.select_backward.default: _select_backward,
    aten.squeeze.dim: lambda x, a: Last(x.x.squeeze(x.axis(a))),
    aten.flip.default: lambda x, axes: Last(x.x.flip([x.axis(a) for a in axes])),
    aten.permute.default: lambda x, axes: Last(x.x.permute(*(x.axis(a) for a in axes[1:]), -1)),
    aten.masked_fill_.Scalar: lambda x, mask, v: Last(x.x.masked_fill(rolled(mask, x.rank), v)),
}
