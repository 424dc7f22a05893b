"""Rewrites a traced function so that the batch is the last, contiguous axis of everything it computes.

The simulator is written batch first, which reads well, but its other axes are short (three classes, four slots), and a
compiler that walks them innermost finds nothing to vectorise. Here the same graph of operations, traced once, is
replayed with the batch last: every loop then runs over neighbouring environments. A look-up by environment (the world
row, the deadline clock) is taken out of the graph and done beforehand, once: a compiler would repeat it at every use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import getitem
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Interpreter, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import TreeSpec, tree_flatten, tree_leaves, tree_map, tree_unflatten

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
    """A function of tensors `[B, …]` in two parts that together do the same with tensors `[…, B]`."""

    look_up: GraphModule  # flat inputs `[…, B]` → rows `[B, M]` looked up by environment
    body: GraphModule  # flat inputs `[…, B]`, then looked-up rows `[M, B]` → flat outputs `[…, B]`
    outputs: TreeSpec

    def rows(self, flat: Sequence[Tensor]) -> list[Tensor]:
        """What the body reads beside the inputs, `[M, B]` each."""
        return [to_last(row) for row in self.look_up(*flat)]

    def __call__(self, *flat: Tensor) -> Any:
        """Run without a compiler; outputs `[…, B]` in the structure that the function returns."""
        return tree_unflatten(self.body(*flat, *self.rows(flat)), self.outputs)


def batch_last(function: Callable[..., Any], *examples: Any) -> BatchLast:
    """Trace `function` on `examples` (tensors `[B, …]`, nested in tuples) and turn the batch to the end.

    Shapes are those of the examples, B included, from then on.

    Raises:
        LayoutError: the function mixes environments, or uses an operation that has no rule here.
    """
    flat, spec = tree_flatten(examples)
    outputs: list[TreeSpec] = []

    def flat_function(*tensors: Tensor) -> list[Tensor]:
        leaves, structure = tree_flatten(function(*tree_unflatten(list(tensors), spec)))
        outputs.append(structure)
        return leaves

    with torch.no_grad():
        traced = make_fx(flat_function)(*flat)
        traced.graph.eliminate_dead_code()
        _merge_equal(traced)
        look_up, groups = _take_out_look_ups(traced)
        last = [to_last(x) for x in flat]
        found = [to_last(x) for x in look_up(*last)]

        def replay(*tensors: Tensor) -> list[Tensor]:
            values = _Replay(traced, groups).replay(*tensors)
            return [_rolled(v, v.rank if isinstance(v, _Last) else v.dim()) for v in values]

        body = make_fx(replay)(*last, *found)
    body.graph.eliminate_dead_code()
    body.recompile()
    return BatchLast(look_up, body, outputs[0])


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


@dataclass(frozen=True)
class _Group:
    """Look-ups with one index: rows of several tables side by side."""

    nodes: list[Node]  # index_select(table, 0, index)
    tables: list[Tensor]


def _take_out_look_ups(traced: GraphModule) -> tuple[GraphModule, list[_Group]]:
    """Rows of constant tables by an index per environment: a graph that looks them up, one row per index."""
    groups: dict[Node, _Group] = {}
    for node in traced.graph.nodes:
        if node.target is not aten.index_select.default or node.args[0].op != "get_attr":
            continue
        if not _constant(node.args[2]):
            group = groups.setdefault(node.args[2], _Group([], []))
            group.nodes.append(node)
            group.tables.append(getattr(traced, str(node.args[0].target)))
    graph, copies = Graph(), {}
    for node in traced.graph.nodes:
        if node.op == "placeholder":
            copies[node] = graph.placeholder(node.name)

    def copy(node: Node) -> Node:
        if node not in copies:
            for argument in node.all_input_nodes:
                copy(argument)
            copies[node] = graph.node_copy(node, lambda n: copies[n])
        return copies[node]

    attributes: dict[str, Tensor] = {}
    rows = []
    for i, (index, group) in enumerate(groups.items()):
        flat = [table.flatten(1) for table in group.tables]
        attributes[f"table_{i}"] = flat[0] if len(flat) == 1 else torch.cat(flat, dim=1)
        rows.append(graph.call_function(aten.index_select.default, (graph.get_attr(f"table_{i}"), 0, copy(index))))
    graph.output(rows)
    return GraphModule(attributes, graph), list(groups.values())


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

    def __init__(self, traced: GraphModule, groups: list[_Group]) -> None:
        super().__init__(traced)
        self.groups = groups

    def replay(self, *tensors: Tensor) -> Any:
        """`tensors`: the inputs, then one row `[M, B]` per group of look-ups."""
        inputs = [n for n in self.graph.nodes if n.op == "placeholder"]
        env: dict[Node, Any] = dict(zip(inputs, map(_Last, tensors), strict=False))
        for group, row in zip(self.groups, tensors[len(inputs) :], strict=True):
            parts = torch.split(row, [table[0].numel() for table in group.tables])
            for node, table, part in zip(group.nodes, group.tables, parts, strict=True):
                env[node] = _Last(part.reshape(*table.shape[1:], row.shape[-1]))
        return self.run(initial_env=env)

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
    aten.index_select.default: lambda x, a, index: _Last(x.x.index_select(x.axis(a), index)),
    getitem: lambda parts, i: parts[i],
    aten.new_zeros.default: lambda x, shape: torch.zeros(shape, dtype=x.x.dtype, device=x.x.device),
}
