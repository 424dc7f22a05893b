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

from greenhop.batch_last_rules import RULES, Last, LayoutError, is_pointwise, is_tensor, rolled, stored

aten = torch.ops.aten


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
        placed = [*tensors[:n_shared], *map(Last, inside), *(Last(stored(x.movedim(0, -1))) for x in outside)]
        values = [rolled(v, v.rank if isinstance(v, Last) else v.dim()) for v in _Replay(traced).replay(placed)]
        split = len(values) - results
        return [*values[:split], *(stored(v).movedim(-1, 0).contiguous() for v in values[split:])]

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


class _Replay(Interpreter):
    """Runs a batch-first graph on batch-last tensors."""

    def replay(self, values: Sequence[Any]) -> Any:
        """`values`: one per input of the graph, `Last` where it has a batch."""
        inputs = [n for n in self.graph.nodes if n.op == "placeholder"]
        return self.run(initial_env=dict(zip(inputs, values, strict=True)))

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        kwargs = {key: value for key, value in kwargs.items() if key != "pin_memory"}
        leaves = tree_leaves((args, kwargs))
        if not any(isinstance(leaf, Last) for leaf in leaves):
            return super().call_function(target, args, kwargs)
        if target in RULES:
            return RULES[target](*args, **kwargs)
        if not is_pointwise(target):
            raise LayoutError(f"{target} has no batch-last rule")
        rank = max(leaf.rank if isinstance(leaf, Last) else leaf.dim() for leaf in leaves if is_tensor(leaf))
        args, kwargs = tree_map(lambda leaf: rolled(leaf, rank) if is_tensor(leaf) else leaf, (args, kwargs))
        return Last(target(*args, **kwargs))
