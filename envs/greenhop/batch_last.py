"""Rewrites a traced function so that the batch is the last, contiguous axis of everything it computes.

The simulator is written batch first, which reads well, but its other axes are short (three classes, four slots), and a
compiler that walks them innermost finds nothing to vectorise. Here the same graph of operations, traced once, is
replayed with the batch last: every loop then runs over neighbouring environments. Rows looked up by environment (of the
world, of the deadline clock) and what changes its layout are stored once: a compiler would do them at every use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import getitem
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

from greenhop.errors import GreenhopError

aten = torch.ops.aten


class LayoutError(GreenhopError):
    """An operation that cannot be replayed with the batch last."""


def to_last(x: Tensor) -> Tensor:
    """`[B, …]` → `[…, B]`, contiguous."""
    return x.movedim(0, -1).contiguous()


def to_first(x: Tensor) -> Tensor:
    """`[…, B]` → `[B, …]`, a view."""
    return x.movedim(-1, 0)


@dataclass(frozen=True)
class BatchLast:
    """A function of flat tensors, as a graph: first what all environments share, then states, then what is given."""

    body: GraphModule  # shared `[…]`, states `[…, B]`, given `[B, …]` → next states `[…, B]`, results `[B, …]`
    inputs: list[Tensor]  # examples

    def __call__(self, *flat: Tensor) -> list[Tensor]:
        """Run without a compiler."""
        return self.body(*flat)  # type: ignore[no-any-return]


def batch_last(
    function: Callable[[Any, Any, Any], tuple[Any, Any]], shared: Any = (), state: Any = (), given: Any = ()
) -> BatchLast:
    """Trace `function(shared, state, given) → (next state, results)` and turn the batch of what stays inside last.

    Arguments are examples: tensors, nested in tuples; all but `shared` are `[B, …]`. Given tensors and results keep the
    batch first, for the world outside. Shapes are those of the examples, B included, from then on.

    Raises:
        LayoutError: the function mixes environments, or uses an operation that has no rule here.
    """
    flat, spec = tree_flatten((shared, state, given))
    n_shared, n_given = len(tree_leaves(shared)), len(tree_leaves(given))
    given_at, results = len(flat) - n_given, 0

    def flat_function(*tensors: Tensor) -> list[Tensor]:
        nonlocal results
        after, out = function(*tree_unflatten(list(tensors), spec))
        results = len(tree_leaves(out))
        return tree_leaves((after, out))

    def replay(*tensors: Tensor) -> list[Tensor]:
        inside, outside = tensors[n_shared:given_at], tensors[given_at:]
        placed = [*tensors[:n_shared], *map(_Last, inside), *(_Last(_stored(x.movedim(0, -1))) for x in outside)]
        values = [_rolled(v, v.rank if isinstance(v, _Last) else v.dim()) for v in _Replay(traced).replay(placed)]
        split = len(values) - results
        return [*values[:split], *(_stored(v).movedim(-1, 0).contiguous() for v in values[split:])]

    with torch.no_grad():
        traced = make_fx(flat_function)(*flat)
        traced.graph.eliminate_dead_code()
        _merge_equal(traced)
        _merge_look_ups(traced)
        last = [to_last(x) if n_shared <= i < given_at else x for i, x in enumerate(flat)]
        body = make_fx(replay)(*last)
    body.graph.eliminate_dead_code()
    body.recompile()
    return BatchLast(body, last)


def _stored(x: Tensor) -> Tensor:
    """The same tensor, contiguous; a compiler takes `as_strided` for an order to store what it views."""
    x = x.contiguous()
    return x.as_strided(x.shape, x.stride())


def _merge_equal(traced: GraphModule) -> None:
    """Operations on the same arguments are done once."""
    first: dict[Any, Node] = {}
    for node in list(traced.graph.nodes):
        if node.op == "get_attr":
            key: Any = id(getattr(traced, str(node.target)))
        elif node.op == "call_function":
            key = (node.target, repr(node.args), repr(node.kwargs))
        else:
            continue
        if key in first:
            node.replace_all_uses_with(first[key])
            traced.graph.erase_node(node)
        else:
            first[key] = node


def _merge_look_ups(traced: GraphModule) -> None:
    """Rows of several constant tables by one index per environment become one row of the tables side by side."""
    groups: dict[Node, list[tuple[Node, Tensor]]] = {}
    for node in traced.graph.nodes:
        if node.target is aten.index_select.default:
            table, index = node.args[0], node.args[2]
            if table.op == "get_attr" and not _constant(index):
                groups.setdefault(index, []).append((node, getattr(traced, str(table.target))))
    for i, (index, found) in enumerate(groups.items()):
        tables = [table for _, table in found]
        traced.register_buffer(f"table_{i}", torch.cat([table.flatten(1) for table in tables], dim=1))
        with traced.graph.inserting_before(found[0][0]):
            row = traced.graph.call_function(aten.index_select.default, (traced.graph.get_attr(f"table_{i}"), 0, index))
            parts = traced.graph.call_function(
                aten.split_with_sizes.default, (row, [table[0].numel() for table in tables], 1)
            )
        for j, (node, table) in enumerate(found):
            with traced.graph.inserting_before(node):
                part = traced.graph.call_function(getitem, (parts, j))
                shape = [-1, *table.shape[1:]]  # a replay does not read the first size, which is the batch
                node.replace_all_uses_with(traced.graph.call_function(aten.view.default, (part, shape)))
            traced.graph.erase_node(node)


def _constant(node: Node) -> bool:
    """The same for all environments."""
    return node.op != "placeholder" and all(_constant(n) for n in node.all_input_nodes)


class _Last:
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


class _Replay(Interpreter):
    """Runs a batch-first graph on batch-last tensors."""

    def replay(self, values: Sequence[Any]) -> Any:
        """`values`: one per input of the graph, `_Last` where it has a batch."""
        inputs = [n for n in self.graph.nodes if n.op == "placeholder"]
        return self.run(initial_env=dict(zip(inputs, values, strict=True)))

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        kwargs = {key: value for key, value in kwargs.items() if key != "pin_memory"}
        leaves = tree_leaves((args, kwargs))
        if not any(isinstance(leaf, _Last) for leaf in leaves):
            return super().call_function(target, args, kwargs)
        if target in _RULES:
            return _RULES[target](*args, **kwargs)
        if not _pointwise(target):
            raise LayoutError(f"{target} has no batch-last rule")
        rank = max(leaf.rank if isinstance(leaf, _Last) else leaf.dim() for leaf in leaves if _tensor(leaf))
        args, kwargs = tree_map(lambda leaf: _rolled(leaf, rank) if _tensor(leaf) else leaf, (args, kwargs))
        return _Last(target(*args, **kwargs))


def _tensor(x: Any) -> bool:
    return isinstance(x, Tensor | _Last)


def _pointwise(target: Any) -> bool:
    return target in _LIKE or torch.Tag.pointwise in getattr(target, "tags", ())


def _rolled(x: _Last | Tensor, rank: int) -> Tensor:
    """The batch-last form of what broadcasts to `rank` axes."""
    if isinstance(x, _Last):
        return x.x
    if x.dim() == 0:
        return x
    return x.reshape((1,) * (rank - x.dim()) + tuple(x.shape)).permute(*range(1, rank), 0)


def _sum(x: _Last, axes: Sequence[int], keepdim: bool = False) -> _Last:
    return _Last(x.x.sum([x.axis(a) for a in axes], keepdim))


def _mean(x: _Last, axes: Sequence[int], keepdim: bool = False) -> _Last:
    return _Last(x.x.mean([x.axis(a) for a in axes], keepdim))


def _amax(x: _Last, axes: Sequence[int], keepdim: bool = False) -> _Last:
    return _Last(x.x.amax([x.axis(a) for a in axes], keepdim))


def _cumsum(x: _Last, axis: int) -> _Last:
    """Written out: axes are short, and a library call would end the fused loop."""
    parts = x.x.unbind(x.axis(axis))
    sums = [parts[0]]
    for part in parts[1:]:
        sums.append(sums[-1] + part)
    return _Last(torch.stack(sums, x.axis(axis)))


def _cat(parts: Sequence[Any], axis: int = 0) -> _Last:
    first = next(p for p in parts if isinstance(p, _Last))
    return _Last(torch.cat([_rolled(p, first.rank) for p in parts], first.axis(axis)))


def _stack(parts: Sequence[Any], axis: int = 0) -> _Last:
    first = next(p for p in parts if isinstance(p, _Last))
    return _Last(torch.stack([_rolled(p, first.rank) for p in parts], first.axis(axis, first.rank + 1)))


def _slice(x: _Last, axis: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> _Last:
    return x if axis % x.rank == 0 else _Last(aten.slice.Tensor(x.x, x.axis(axis), start, end, step))


def _index_select(x: Any, axis: int, index: Any) -> _Last:
    """Constant places of every environment, or every environment's own row of a table."""
    if isinstance(x, _Last):
        return _Last(x.x.index_select(x.axis(axis), index))
    if axis != 0:
        raise LayoutError("a table is looked up along its first axis")
    rows = _stored(x.flatten(1).index_select(0, index.x))
    return _Last(_stored(rows.t()).reshape(*x.shape[1:], -1))


_LIKE = (aten.zeros_like.default, aten.ones_like.default, aten._to_copy.default)
_RULES: dict[Any, Callable[..., Any]] = {
    aten.sum.dim_IntList: _sum,
    aten.mean.dim: _mean,
    aten.amax.default: _amax,
    aten.cumsum.default: _cumsum,
    aten.cat.default: _cat,
    aten.stack.default: _stack,
    aten.slice.Tensor: _slice,
    aten.detach.default: lambda x: x,
    aten.alias.default: lambda x: x,
    aten.mv.default: lambda x, v: _sum(_Last(x.x * v.unsqueeze(-1)), [-1]),
    aten.unsqueeze.default: lambda x, a: _Last(x.x.unsqueeze(x.axis(a, x.rank + 1))),
    aten.view.default: lambda x, shape: _Last(x.x.reshape(*shape[1:], x.x.shape[-1])),
    aten.expand.default: lambda x, shape: _Last(x.x.expand(*shape[1:], x.x.shape[-1])),
    aten.transpose.int: lambda x, a, b: _Last(x.x.transpose(x.axis(a), x.axis(b))),
    aten.select.int: lambda x, a, i: _Last(x.x.select(x.axis(a), i)),
    aten.unbind.int: lambda x, a=0: [_Last(y) for y in x.x.unbind(x.axis(a))],
    aten.split_with_sizes.default: lambda x, sizes, a=0: [_Last(y) for y in x.x.split(sizes, x.axis(a))],
    aten.index_select.default: _index_select,
    getitem: lambda parts, i: parts[i],
    aten.new_zeros.default: lambda x, shape: torch.zeros(shape, dtype=x.x.dtype, device=x.x.device),
}
