"""A function of one environment as straight-line arithmetic on single numbers.

A step is a thousand small tensor operations, and most of what they do is move numbers: views, one-hot products, sums
over three classes. Traced with a batch of one and followed number by number, everything that only moves disappears,
constants fold, products with zero and one vanish, and what is computed twice is computed once. What remains is what an
environment must compute, and one thread, or one lane of a vector register, can do it without storing what is between.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import inf, prod
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from greenhop.compiler.trace import Tracer, aten
from greenhop.errors import GreenhopError

Kind = Literal["float", "int", "bool"]
ZERO, ONE = 0, 1  # nodes: the numbers 0.0 and 1.0


class UnrollError(GreenhopError):
    """A function that uses an operation which has no rule here."""


class Node(NamedTuple):
    """One number: a constant, one that is read, or one computed from others."""

    op: str  # "const", "input" (which, element), "row" (which table, index node, column), or an arithmetic operation
    args: tuple[Any, ...]
    kind: Kind


@dataclass
class Unrolled:
    """Numbers in an order in which they can be computed, and which of them are results."""

    nodes: list[Node] = field(default_factory=list)
    tables: list[Tensor] = field(default_factory=list)  # [N, C] what rows are looked up in by environment
    results: list[list[int]] = field(default_factory=list)  # nodes of every result, in the order of its elements
    shapes: list[torch.Size] = field(default_factory=list)  # of the results, without the batch
    inputs: list[tuple[int, Kind]] = field(default_factory=list)  # elements of every input and what they are
    _known: dict[Node, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for value in (0.0, 1.0):
            self.const(value)

    def const(self, value: Any) -> int:
        """The node of a number."""
        kind: Kind = "bool" if isinstance(value, bool) else "int" if isinstance(value, int) else "float"
        return self.add(Node("const", (repr(value) if kind == "float" else value,), kind))

    def add(self, node: Node) -> int:
        """The node's place; equal nodes share one."""
        if node not in self._known:
            self._known[node] = len(self.nodes)
            self.nodes.append(node)
        return self._known[node]

    def value(self, i: int) -> Any:
        """A constant's value, None for what is not constant."""
        node = self.nodes[i]
        if node.op != "const":
            return None
        return float(node.args[0]) if node.kind == "float" else node.args[0]

    def kind(self, result: Sequence[int]) -> Kind:
        """What the numbers of a result are; floats, where it has none."""
        return self.nodes[result[0]].kind if result else "float"

    def needed(self, last_first: bool = False) -> list[int]:
        """Nodes that results need, each after what it is computed from and as late as its first use allows.

        Args:
            last_first: results from the last to the first. Last come totals of what the others are made of: computed
                along with it they leave fewer numbers waiting.
        """
        done: set[int] = set()
        order: list[int] = []
        for root in chain.from_iterable(reversed(self.results) if last_first else self.results):
            stack = [root]
            while stack:
                i = stack[-1]
                waiting = [] if i in done else [a for a in operands(self.nodes[i]) if a not in done]
                if waiting:
                    stack.extend(reversed(waiting))
                    continue
                stack.pop()
                if i not in done:
                    done.add(i)
                    order.append(i)
        return order


def operands(node: Node) -> tuple[int, ...]:
    """The nodes that a node is computed from."""
    if node.op in ("const", "input"):
        return ()
    return (node.args[1],) if node.op == "row" else node.args


def unroll(function: Callable[..., Any], table: Tensor, examples: Any) -> Unrolled:
    """`function(table, *examples)` for one environment.

    Args:
        function: of tensors; it must treat environments alike and apart. Its results are tensors `[1, …]`.
        table: `[N, C]` shared by all environments; the function may only look up rows of it by environment.
        examples: tensors `[1, …]`, nested in tuples.

    Raises:
        UnrollError: an operation has no rule here.
    """
    made = Unrolled(tables=[table])
    follow = _Follow(made)
    follow.mean(table, Table(0))
    for i, x in enumerate(tree_leaves(examples)):
        kind = _kind(x.dtype)
        made.inputs.append((x.numel(), kind))
        nodes = [made.add(Node("input", (i, j), kind)) for j in range(x.numel())]
        follow.mean(x, Numbers(torch.tensor(nodes).reshape(x.shape)))
    with torch.no_grad(), follow:
        found = tree_leaves(function(table, *examples))
    results = [_nodes(made, follow.meaning(x)) for x in found]
    made.results = [x.flatten().tolist() for x in results]
    made.shapes = [x.shape[1:] for x in results]
    return made


def _kind(dtype: torch.dtype) -> Kind:
    return "bool" if dtype == torch.bool else "float" if dtype.is_floating_point else "int"


@dataclass(frozen=True)
class Table:
    """A table that all environments share."""

    which: int


@dataclass(frozen=True)
class Numbers:
    """A tensor of one environment: where its numbers stand, int64 nodes in the tensor's shape."""

    at: Tensor


def _nodes(made: Unrolled, x: Any) -> Tensor:
    """Nodes of what may be constant."""
    if isinstance(x, Numbers):
        return x.at
    x = torch.as_tensor(x, dtype=torch.float64 if isinstance(x, float) else None)
    return torch.tensor([made.const(v) for v in x.flatten().tolist()], dtype=torch.int64).reshape(x.shape)


class _Follow(Tracer):  # type: ignore[no-untyped-call]
    """Follows a function on nodes: what moves numbers moves nodes, the rest is written down."""

    error = UnrollError

    def __init__(self, made: Unrolled) -> None:
        super().__init__()
        self.made = made

    def called(self, func: Any, args: Any, kwargs: Any, out: Any) -> Any:
        """Nodes of the result."""
        if func in _MOVES:
            return self._move(func, args, kwargs)
        if func in _RULES:
            return Numbers(_RULES[func](self.made, *args, **kwargs))
        raise UnrollError(f"{func} has no rule for single numbers")

    def _move(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The same operation on nodes; what it fills in is 0, which is node 0."""
        where = tree_map(lambda x: _moved(self.made, x), args)
        kept = {key: value for key, value in kwargs.items() if key not in ("dtype", "pin_memory", "layout", "device")}
        return tree_map(Numbers, func(*where, **kept))


def _moved(made: Unrolled, x: Any) -> Any:
    """Nodes of what may stand beside other numbers."""
    return _nodes(made, x) if isinstance(x, Numbers | Tensor) else x


Rule = Callable[..., Tensor]


def _pointwise(scalar: Callable[..., int]) -> Rule:
    """A rule that applies `scalar(made, *nodes)` element by element."""

    def rule(made: Unrolled, *args: Any, **kwargs: Any) -> Tensor:
        if kwargs:
            raise UnrollError(f"options {', '.join(kwargs)} have no rule for single numbers")
        sides = torch.broadcast_tensors(*(_nodes(made, x) for x in args))  # type: ignore[no-untyped-call]
        rows = zip(*(side.flatten().tolist() for side in sides), strict=True)
        return torch.tensor([scalar(made, *row) for row in rows], dtype=torch.int64).reshape(sides[0].shape)

    return rule


def _apply(op: str, kind: Kind | None = None) -> Callable[..., int]:
    """An operation without shortcuts; without a kind its result is what its first argument is."""

    def scalar(made: Unrolled, *args: int) -> int:
        values = [made.value(i) for i in args]
        if None not in values and op in _FOLD:
            return made.const(_FOLD[op](*values))
        return made.add(Node(op, args, kind or made.nodes[args[0]].kind))

    return scalar


def _as_float(made: Unrolled, i: int) -> int:
    """A number that takes part in float arithmetic."""
    if made.nodes[i].kind == "float":
        return i
    value = made.value(i)
    return (
        made.add(Node(f"{made.nodes[i].kind}_to_float", (i,), "float")) if value is None else made.const(float(value))
    )


def _same(made: Unrolled, a: int, b: int) -> tuple[int, int]:
    """Two numbers of one kind, to compute with."""
    if made.nodes[a].kind == made.nodes[b].kind != "bool":
        return a, b
    return _as_float(made, a), _as_float(made, b)


def _add(made: Unrolled, a: int, b: int) -> int:
    a, b = sorted(_same(made, a, b))
    if made.value(a) == 0:
        return b
    if made.value(b) == 0:
        return a
    return _apply("add")(made, a, b)


def _sub(made: Unrolled, a: int, b: int) -> int:
    a, b = _same(made, a, b)
    if made.value(b) == 0:
        return a
    if made.value(a) == 0:
        return _neg(made, b)
    return _apply("sub")(made, a, b)


def _mul(made: Unrolled, a: int, b: int) -> int:
    a, b = sorted(_same(made, a, b))
    for x, y in ((a, b), (b, a)):
        value = made.value(x)
        if value == 0:
            return x
        if value == 1:
            return y
        if value == -1:
            return _neg(made, y)
    return _apply("mul")(made, a, b)


def _div(made: Unrolled, a: int, b: int) -> int:
    a, b = _as_float(made, a), _as_float(made, b)
    if made.value(b) == 1 or made.value(a) == 0:
        return a
    return _apply("div")(made, a, b)


def _neg(made: Unrolled, a: int) -> int:
    node = made.nodes[a]
    return int(node.args[0]) if node.op == "neg" else _apply("neg")(made, a)


def _bound(op: str, endless: float) -> Callable[..., int]:
    def scalar(made: Unrolled, a: int, b: int) -> int:
        a, b = sorted(_same(made, a, b))
        if a == b or made.value(b) == endless:
            return a
        return b if made.value(a) == endless else _apply(op)(made, a, b)

    return scalar


_minimum, _maximum = _bound("min", inf), _bound("max", -inf)


def _where(made: Unrolled, mask: int, a: int, b: int) -> int:
    if made.nodes[a].kind != made.nodes[b].kind:
        a, b = _same(made, a, b)
    value = made.value(mask)
    if a == b or value is True:
        return a
    return b if value is False else made.add(Node("where", (mask, a, b), made.nodes[a].kind))


def _and(made: Unrolled, a: int, b: int) -> int:
    for x, y in ((a, b), (b, a)):
        if made.value(x) is not None:
            return y if made.value(x) else x
    return _apply("and", "bool")(made, a, b)


def _compare(op: str) -> Callable[..., int]:
    def scalar(made: Unrolled, a: int, b: int) -> int:
        return _apply(op, "bool")(made, *_same(made, a, b))

    return scalar


def _clamp(made: Unrolled, x: Any, low: Any = None, high: Any = None) -> Tensor:
    for limit, rule in ((low, _maximum), (high, _minimum)):
        if limit is not None:
            x = Numbers(_pointwise(rule)(made, x, limit))
    return _nodes(made, x)


def _fold(scalar: Callable[..., int]) -> Rule:
    """A reduction over axes, as a tree: short chains, and errors that grow with the logarithm of the length."""

    def rule(made: Unrolled, x: Any, axes: Sequence[int], keepdim: bool = False) -> Tensor:
        at = _nodes(made, x)
        axes = sorted(a % at.dim() for a in axes)
        kept = [a for a in range(at.dim()) if a not in axes]
        rows, length = (prod(at.shape[a] for a in part) for part in (kept, axes))
        flat = at.permute(*kept, *axes).reshape(rows, length).tolist()
        out = torch.tensor([_tree(made, scalar, row) for row in flat], dtype=torch.int64)
        return out.reshape([1 if a in axes else n for a, n in enumerate(at.shape) if keepdim or a not in axes])

    return rule


def _tree(made: Unrolled, scalar: Callable[..., int], nodes: list[int]) -> int:
    nodes = [i for i in nodes if i != ZERO] if scalar is _add else nodes
    while len(nodes) > 1:
        odd = nodes[len(nodes) // 2 * 2 :]
        nodes = [scalar(made, a, b) for a, b in zip(nodes[::2], nodes[1::2], strict=False)] + odd
    return nodes[0] if nodes else ZERO


def _mean(made: Unrolled, x: Any, axes: Sequence[int], keepdim: bool = False) -> Tensor:
    total = _fold(_add)(made, x, axes, keepdim)
    share = 1.0 / (_nodes(made, x).numel() / max(total.numel(), 1))
    return _pointwise(_mul)(made, Numbers(total), share)


def _cumsum(made: Unrolled, x: Any, axis: int) -> Tensor:
    first, *rest = _nodes(made, x).unbind(axis)
    sums = [first]
    for part in rest:
        sums.append(_pointwise(_add)(made, Numbers(sums[-1]), Numbers(part)))
    return torch.stack(sums, axis)


def _index_select(made: Unrolled, x: Any, axis: int, index: Any) -> Tensor:
    """Constant places, or every environment's own row of a table."""
    if not isinstance(index, Numbers):
        return _nodes(made, x).index_select(axis, index.cpu())
    if axis != 0 or isinstance(x, Numbers):
        raise UnrollError("a table is looked up along its first axis")
    row = int(index.at)
    if isinstance(x, Table):
        which, shape = x.which, made.tables[x.which].shape[1:]
    else:
        shape = x.shape[1:]
        if made.value(row) is not None or len(x) == 1:  # a table of one row is a constant
            return _nodes(made, x[made.value(row) or 0]).reshape(1, *shape)
        if (x == x[:1]).all():
            return _nodes(made, x[0]).reshape(1, *shape)
        which = _table(made, x.flatten(1))
    nodes = [made.add(Node("row", (which, row, j), _kind(made.tables[which].dtype))) for j in range(shape.numel())]
    if not isinstance(x, Table):
        same = (x == x[:1]).all(0).flatten().tolist()  # columns that are alike in all rows
        first = x[0].flatten().tolist()
        nodes = [made.const(v) if alike else i for alike, v, i in zip(same, first, nodes, strict=True)]
    return torch.tensor(nodes, dtype=torch.int64).reshape(1, *shape)


def _table(made: Unrolled, x: Tensor) -> int:
    for i, known in enumerate(made.tables):
        if known.shape == x.shape and known.dtype == x.dtype and torch.equal(known, x):
            return i
    made.tables.append(x.contiguous())
    return len(made.tables) - 1


def _index_add(made: Unrolled, x: Any, axis: int, index: Tensor, added: Any, alpha: int = 1) -> Tensor:
    base, more = _nodes(made, x).clone().movedim(axis, 0), _nodes(made, added).movedim(axis, 0)
    if alpha != 1:
        raise UnrollError("index_add with a factor has no rule for single numbers")
    for place in sorted(set(index.tolist())):
        parts = [base[place], *(part for i, part in zip(index.tolist(), more, strict=True) if i == place)]
        base[place] = _fold(_add)(made, Numbers(torch.stack(parts)), [0])
    return base.movedim(0, axis)


def _cast(made: Unrolled, x: Any, *_: Any, dtype: torch.dtype | None = None, **__: Any) -> Tensor:
    at = _nodes(made, x)
    if dtype is None or all(made.nodes[i].kind == _kind(dtype) for i in at.flatten().tolist()):
        return at
    if not dtype.is_floating_point:
        raise UnrollError(f"a conversion to {dtype} has no rule for single numbers")
    return _pointwise(_as_float)(made, x)


def _mv(made: Unrolled, x: Any, v: Any) -> Tensor:
    return _fold(_add)(made, Numbers(_pointwise(_mul)(made, x, v)), [-1])


def _slice_backward(made: Unrolled, x: Any, shape: Sequence[int], axis: int, start: int, end: int, step: int) -> Tensor:
    out = torch.full(shape, ZERO)
    aten.slice.Tensor(out, axis, start, end, step).copy_(_nodes(made, x))
    return out


def _select_backward(made: Unrolled, x: Any, shape: Sequence[int], axis: int, i: int) -> Tensor:
    out = torch.full(shape, ZERO)
    out.select(axis, i).copy_(_nodes(made, x))
    return out


def _masked_fill(made: Unrolled, x: Any, mask: Any, value: float) -> Tensor:
    return _pointwise(_where)(made, mask, value, x)


def _sigmoid_backward(made: Unrolled, pull: int, y: int) -> int:
    return _mul(made, pull, _mul(made, _sub(made, ONE, y), y))


def _rsub(made: Unrolled, x: int, y: int) -> int:
    return _sub(made, y, x)


_FOLD: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "neg": operator.neg,
    "min": min,
    "max": max,
    **{name: getattr(operator, name) for name in ("lt", "le", "gt", "ge", "eq", "ne")},
    "not": operator.not_,
}
_MOVES = {
    getattr(getattr(aten, name), overload)
    for name, overload in (
        ("view", "default"), ("_unsafe_view", "default"), ("reshape", "default"), ("permute", "default"),
        ("clone", "default"), ("unsqueeze", "default"), ("squeeze", "dim"), ("squeeze", "dims"), ("cat", "default"),
        ("stack", "default"), ("expand", "default"), ("transpose", "int"), ("slice", "Tensor"), ("unbind", "int"),
        ("split_with_sizes", "default"), ("split", "Tensor"), ("select", "int"), ("t", "default"),
        ("alias", "default"), ("detach", "default"), ("constant_pad_nd", "default"), ("flip", "default"),
    )
} | {operator.getitem}  # fmt: skip
_RULES: dict[Any, Rule] = {
    aten.add.Tensor: _pointwise(_add),
    aten.sub.Tensor: _pointwise(_sub),
    aten.rsub.Scalar: _pointwise(_rsub),
    aten.mul.Tensor: _pointwise(_mul),
    aten.div.Tensor: _pointwise(_div),
    aten.div.Scalar: _pointwise(_div),
    aten.mul.Scalar: _pointwise(_mul),
    aten.neg.default: _pointwise(_neg),
    aten.reciprocal.default: _pointwise(lambda made, x: _div(made, ONE, x)),
    aten.remainder.Scalar: _pointwise(_apply("rem")),
    aten.maximum.default: _pointwise(_maximum),
    aten.minimum.default: _pointwise(_minimum),
    aten.clamp_min.default: _pointwise(_maximum),
    aten.clamp_max.default: _pointwise(_minimum),
    aten.clamp.default: _clamp,
    aten.where.self: _pointwise(_where),
    **{
        getattr(getattr(aten, name), overload): _pointwise(_compare(name))
        for name in ("lt", "le", "gt", "ge", "eq", "ne")
        for overload in ("Tensor", "Scalar")
    },
    aten.logical_and.default: _pointwise(_and),
    aten.logical_and_.default: _pointwise(_and),
    aten.logical_not.default: _pointwise(_apply("not", "bool")),
    aten.exp.default: _pointwise(_apply("exp")),
    aten.log.default: _pointwise(_apply("log")),
    aten.sigmoid.default: _pointwise(_apply("sigmoid")),
    aten.sqrt.default: _pointwise(_apply("sqrt")),
    aten.tanh.default: _pointwise(_apply("tanh")),
    aten.sum.dim_IntList: _fold(_add),
    aten.mean.dim: _mean,
    aten.amax.default: _fold(_maximum),
    aten.cumsum.default: _cumsum,
    aten.mv.default: _mv,
    aten.index_select.default: _index_select,
    aten._to_copy.default: _cast,
    # met in derivatives
    aten.index_add.default: _index_add,
    aten.slice_backward.default: _slice_backward,
    aten.select_backward.default: _select_backward,
    aten.sigmoid_backward.default: _pointwise(_sigmoid_backward),
    aten.masked_fill_.Scalar: _masked_fill,
    aten.masked_fill.Scalar: _masked_fill,
}
