"""A function of small tensors as a NumPy program: recorded once, constants folded, equal operations done once.

A step of one environment is several hundred operations on a handful of numbers. What takes the time then is not
arithmetic but calling torch; a NumPy call costs about half, a view a fifth, and what is the same in every step nothing.
The program is made by running the function once and writing down what it asked of torch, so there is no second physics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from greenhop.compiler.trace import Tracer, aten
from greenhop.errors import GreenhopError

Array = NDArray[Any]
Program = Callable[..., list[Array]]  # arrays in the order of the examples → arrays in the order of the results


class RecordError(GreenhopError):
    """A function that does not do the same operations in every call."""


def record(function: Callable[..., Any], *examples: Any) -> Program:
    """`function` of tensors, nested in tuples, as a function of their arrays; shapes are those of the examples.

    Results may be views of inputs, of constants and of each other: nobody may write into them.

    Raises:
        RecordError: the function writes into tensors, draws numbers, or asks for values of tensors.
    """
    tape = _Tape()
    inputs = [tape.new(x) for x in tree_leaves(examples)]
    with torch.no_grad(), tape:
        results = tree_leaves(function(*examples))
    return _compile(tape, inputs, [tape.name(tape.meaning(x)) for x in results])


@dataclass(frozen=True)
class _Name:
    """A value of the program."""

    number: int
    shape: torch.Size

    @property
    def rank(self) -> int:
        return len(self.shape)

    def __repr__(self) -> str:
        return f"v{self.number}"


@dataclass(frozen=True)
class _Call:
    """One operation on names and plain values."""

    target: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: Any  # a name, or a list of them


class _Tape(Tracer):  # type: ignore[no-untyped-call]
    """Writes down what depends on the inputs; what does not is a constant, whatever computed it."""

    error = RecordError

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[_Call] = []
        self.constants: dict[_Name, Tensor] = {}
        self._constant_names: dict[int, _Name] = {}
        self._done: dict[str, Any] = {}
        self._count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._schema.is_mutable:
            raise RecordError(f"{func} writes into a tensor")
        return super().__torch_dispatch__(func, types, args, kwargs)

    def called(self, func: Any, args: Any, kwargs: Any, out: Any) -> Any:
        """Names of the result, old ones where nothing new is computed."""
        args, kwargs = tree_map(self.name, args), tree_map(self.name, kwargs)
        key = f"{func}{args}{kwargs}"
        if func in (aten.mul.Tensor, aten.div.Tensor) and self._is_one(args[1]) and out.shape == args[0].shape:
            return args[0]
        if key not in self._done:
            self._done[key] = tree_map(self._next, out)
            self.calls.append(_Call(func, args, kwargs, self._done[key]))
        return self._done[key]

    def new(self, x: Tensor) -> _Name:
        """A name for an input."""
        name = self._next(x)
        self.mean(x, name)
        return name

    def name(self, x: Any) -> Any:
        """The name of a constant; anything but a tensor is itself."""
        if not isinstance(x, Tensor):
            return x
        if id(x) not in self._constant_names:
            self._constant_names[id(x)] = self._next(x)
            self.constants[self._constant_names[id(x)]] = x
        return self._constant_names[id(x)]

    def _is_one(self, x: Any) -> bool:
        """A number or a constant that changes nothing it multiplies."""
        return bool((self.constants[x] == 1).all()) if x in self.constants else x == 1

    def _next(self, x: Tensor) -> _Name:
        self._count += 1
        return _Name(self._count, x.shape)


def _names_in(nested: Any) -> list[_Name]:
    return [x for x in tree_leaves(nested) if isinstance(x, _Name)]


def _compile(tape: _Tape, inputs: list[_Name], results: list[_Name]) -> Program:
    """Python source of the calls that the results need, in order."""
    needed, calls = set(results), []
    for call in reversed(_fused(tape.calls, results)):
        if needed.intersection(_names_in(call.out)):
            calls.append(call)
            needed.update(_names_in((call.args, call.kwargs)))
    scope = {**_SCOPE, **{repr(name): x.numpy() for name, x in tape.constants.items() if name in needed}}
    body = [f"{_text(call.out)} = {_rule(call, scope)}" for call in reversed(calls)]
    source = [f"def program({_text(inputs)}):", *body, f"return [{_text(results)}]"]
    exec("\n    ".join(source), scope)  # our own text: names, numbers and the rules below
    program: Program = scope["program"]
    return program


def _text(names: Any) -> str:
    return (
        ", ".join(map(repr, names)) + ("," if len(names) == 1 else "")
        if isinstance(names, list | tuple)
        else repr(names)
    )


def _rule(call: _Call, scope: dict[str, Any]) -> str:
    """The right-hand side of a line; torch itself does what has no rule."""
    if call.target not in _RULES:
        name = f"torch_{len(scope)}"
        scope[name] = _by_torch(call)
        return f"{name}({_text(_names_in((call.args, call.kwargs)))})"
    rule = _RULES[call.target]
    if isinstance(rule, str):
        return f"{rule}({', '.join(map(repr, call.args))})"
    text: str = rule(*call.args, **call.kwargs)
    return text


def _by_torch(call: _Call) -> Callable[..., Any]:
    def run(*arrays: Array) -> Any:
        given = iter(arrays)
        filled = tree_map(
            lambda x: torch.from_numpy(next(given)) if isinstance(x, _Name) else x, (call.args, call.kwargs)
        )
        return tree_map(lambda x: x.numpy(), call.target(*filled[0], **filled[1]))

    return run


def _fused(calls: list[_Call], results: list[_Name]) -> list[_Call]:
    """Products that are only summed over their last axis are one operation with the sum."""
    uses = Counter([*results, *(x for call in calls for x in _names_in((call.args, call.kwargs)))])
    made = {call.out: call for call in calls if isinstance(call.out, _Name)}
    fused = []
    for call in calls:
        product = made.get(call.args[0]) if call.target is aten.sum.dim_IntList else None
        if product is not None and product.target is aten.mul.Tensor and uses[product.out] == 1:
            last = [a % product.out.rank for a in call.args[1]] == [product.out.rank - 1] and len(call.args) == 2
            if last and all(isinstance(x, _Name) for x in product.args):
                call = _Call(np.vecdot, product.args, {}, call.out)
        fused.append(call)
    return fused


def _axis(x: _Name, axis: int, index: str) -> str:
    """`x[:, …, index]`"""
    return f"{x}[{':, ' * (axis % x.rank)}{index}]"


def _unsqueeze(x: _Name, axis: int) -> str:
    return f"{x}[{':, ' * (axis % (x.rank + 1))}None]"


def _sum(x: _Name, axes: Sequence[int], keepdim: bool = False) -> str:
    return f"total({x}, {axes[0] if len(axes) == 1 else tuple(axes)}{', None, None, True' if keepdim else ''})"


def _stack(parts: Sequence[_Name], axis: int = 0) -> str:
    return f"concatenate(({', '.join(_unsqueeze(x, axis) for x in parts)},), {axis})"


def _split(x: _Name, sizes: Sequence[int], axis: int = 0) -> str:
    ends = np.cumsum(sizes).tolist()
    return ", ".join(_axis(x, axis, f"{end - size}:{end}") for size, end in zip(sizes, ends, strict=True)) + ","


def _slice(x: _Name, axis: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> str:
    return _axis(x, axis, f"{start}:{end}:{step}")


def _cast(x: _Name, dtype: torch.dtype, **_: Any) -> str:
    return f"{x}.astype('{str(dtype).removeprefix('torch.')}')"


_SCOPE: dict[str, Any] = {
    **{name: getattr(np, name) for name in ("add", "subtract", "multiply", "divide", "negative", "remainder", "where")},
    **{
        name: getattr(np, name)
        for name in ("maximum", "minimum", "exp", "log", "sqrt", "vecdot", "concatenate", "broadcast_to")
    },
    **{name: getattr(np, name) for name in ("less", "less_equal", "greater", "equal", "transpose", "swapaxes")},
    "expit": expit,
    "total": np.add.reduce,
    "running": np.add.accumulate,
    "largest": np.maximum.reduce,
    "inf": inf,
}
_RULES: dict[Any, str | Callable[..., str]] = {
    np.vecdot: "vecdot",
    aten.add.Tensor: "add",
    aten.sub.Tensor: "subtract",
    aten.rsub.Scalar: lambda x, y: f"subtract({y}, {x})",
    aten.mul.Tensor: "multiply",
    aten.div.Tensor: "divide",
    aten.neg.default: "negative",
    aten.remainder.Scalar: "remainder",
    aten.maximum.default: "maximum",
    aten.minimum.default: "minimum",
    aten.clamp_min.default: "maximum",
    aten.clamp_max.default: "minimum",
    aten.clamp.default: lambda x, low, high: f"minimum(maximum({x}, {low}), {high})",
    aten.where.self: "where",
    aten.lt.Tensor: "less",
    aten.lt.Scalar: "less",
    aten.le.Tensor: "less_equal",
    aten.gt.Tensor: "greater",
    aten.gt.Scalar: "greater",
    aten.eq.Tensor: "equal",
    aten.eq.Scalar: "equal",
    aten.exp.default: "exp",
    aten.log.default: "log",
    aten.sqrt.default: "sqrt",
    aten.sigmoid.default: "expit",
    aten._to_copy.default: _cast,
    aten.sum.dim_IntList: _sum,
    aten.mean.dim: lambda x, axes, keepdim=False: f"{x}.mean({tuple(axes)}, keepdims={keepdim})",
    aten.amax.default: lambda x, axes, keepdim=False: f"largest({x}, {tuple(axes)}, None, None, {keepdim})",
    aten.cumsum.default: "running",
    aten.mv.default: lambda x, v: f"{x} @ {v}",
    aten.index_select.default: lambda x, axis, index: f"{x}.take({index}, {axis})",
    aten.cat.default: lambda parts, axis=0: f"concatenate(({_text(list(parts))}), {axis})",
    aten.stack.default: _stack,
    aten.split_with_sizes.default: _split,
    aten.unbind.int: lambda x, axis=0: (
        f"transpose({x}, {[axis % x.rank, *(i for i in range(x.rank) if i != axis % x.rank)]})"
    ),
    aten.select.int: lambda x, axis, i: _axis(x, axis, str(i)),
    aten.slice.Tensor: _slice,
    aten.unsqueeze.default: _unsqueeze,
    aten.view.default: lambda x, shape: f"{x}.reshape({tuple(shape)})",
    aten.expand.default: lambda x, shape: f"broadcast_to({x}, {tuple(shape)})",
    aten.permute.default: lambda x, order: f"{x}.transpose({tuple(order)})",
    aten.transpose.int: lambda x, a, b: f"{x}.swapaxes({a}, {b})",
    aten.alias.default: lambda x: repr(x),
    aten.detach.default: lambda x: repr(x),
}
