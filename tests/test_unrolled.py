"""Functions of one environment as straight-line arithmetic: the numbers of torch, and nothing computed in vain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from greenhop.compiler import cpu as machine_code
from greenhop.compiler.program import Program
from greenhop.compiler.unroll import Unrolled, UnrollError, unroll
from tests.marks import needs_compiler

pytestmark = needs_compiler

TABLE = torch.arange(12.0).reshape(4, 3) - 5.0
N = 21  # fills vector registers, and one of them not quite
PLACES = torch.tensor([2, 0, 0, 1])
WEIGHTS = torch.tensor([[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]])

FUNCTIONS: dict[str, Callable[[Tensor], Any]] = {
    "arithmetic": lambda x: (x + 1.0) * x - x / (x * x + 1.0) - (2.0 - x) * -1.0,
    "limits": lambda x: x.clamp(-0.5, 0.5) + x.clamp_min(0.1) - x.clamp_max(0.2) + torch.minimum(x, -x),
    "functions": lambda x: x.exp() + (x * x + 1.0).log() + torch.sigmoid(x) + torch.tanh(x) + torch.sqrt(x * x + 4.0),
    "large exponents": lambda x: torch.sigmoid(200.0 * x),
    "reductions": lambda x: (x.sum(1), x.sum((1, 2), keepdim=True), x.mean(-1), x.amax(2), x.cumsum(1)),
    "places": lambda x: (x.index_select(2, PLACES), x[:, 1], x.flip(2), torch.nn.functional.pad(x, (1, 0))),
    "shapes": lambda x: (x.transpose(1, 2).flatten(1), torch.stack((x, -x), 1), torch.cat((x, x * 0.0), 2)),
    "choice": lambda x: torch.where(x > 0.0, x, 2.0 * x) + (x <= 0.5).to(x.dtype),
    "sums at places": lambda x: torch.zeros_like(x).index_add(2, torch.tensor([1, 1, 0]), x),
    "products": lambda x: (x.unsqueeze(1) * WEIGHTS.to(x.dtype).unsqueeze(1)).sum(-1),
    "constant": lambda x: torch.ones_like(x) + 1.0,
}


def batch(dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(N, 2, 3, generator=torch.Generator().manual_seed(0), dtype=dtype)


def compiled(function: Callable[[Tensor], Any], x: Tensor) -> list[Tensor]:
    results = len(tree_leaves(function(x[:1])))
    program = Program(lambda _, x: function(x), TABLE.to(x.dtype), (x[:1],), ["first"], ["first"] * results)
    return program.batch_first(TABLE.to(x.dtype), [x])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_program_gives_what_torch_gives(name: str, dtype: torch.dtype) -> None:
    x, function = batch(dtype), FUNCTIONS[name]
    near = 1e-6 if dtype == torch.float32 else 1e-14
    for ours, theirs in zip(compiled(function, x), tree_leaves(function(x)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=near, atol=near)


@pytest.mark.parametrize("inputs", ["first", "last"])
@pytest.mark.parametrize("results", ["first", "last"])
@pytest.mark.parametrize("num_envs", [1, 5, 8, N])
def test_the_batch_may_lie_first_or_last(inputs: Any, results: Any, num_envs: int) -> None:
    x = batch()[:num_envs]
    program = Program(lambda _, x: (x * 2.0, x.sum((1, 2))), TABLE, (x[:1],), [inputs], [results] * 2)
    double, total = program.batch_first(TABLE, [x])
    torch.testing.assert_close(double, x * 2.0)
    torch.testing.assert_close(total, x.sum((1, 2)))
    assert double.is_contiguous() == (results == "first" or num_envs == 1)


def test_rows_are_looked_up_by_environment() -> None:
    at = torch.arange(N) % 4
    own = torch.tensor([[1.0, 5.0], [2.0, 5.0]])

    def function(table: Tensor, at: Tensor) -> Tensor:
        mine = own.index_select(0, at % 2)
        return table.index_select(0, (at + 1) % 4).sum(-1) * mine[:, 0] + mine[:, 1]

    program = Program(function, TABLE, (at[:1],), ["last"], ["last"])
    torch.testing.assert_close(program.batch_first(TABLE, [at])[0], function(TABLE, at))
    torch.testing.assert_close(program.batch_first(TABLE + 50.0, [at])[0], function(TABLE + 50.0, at))


def test_inputs_of_another_size_or_type_are_refused() -> None:
    program = Program(lambda _, x: x * 2.0, TABLE, (batch()[:1],), ["first"], ["first"])
    for wrong in (batch()[:, :1], batch(torch.float64)):
        with pytest.raises(ValueError, match="belongs"):
            program.batch_first(TABLE, [wrong])


def test_a_program_in_parts_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x = batch()

    def chain(x: Tensor) -> tuple[Tensor, Tensor]:
        y, positive = x, x > 0.0
        for _ in range(5):
            y = torch.where(positive, torch.tanh(y + x), 0.5 * y)
        return y, y.sum((1, 2))

    whole = compiled(chain, x)
    monkeypatch.setattr(machine_code, "PART_SIZE", 7)
    program = Program(lambda _, x: chain(x), TABLE, (x[:1],), ["first"], ["first"] * 2)
    assert len(program.code.parts) > 10
    assert 0 < program.code.waiting < 40  # slots serve again
    for ours, theirs in zip(program.batch_first(TABLE, [x]), whole, strict=True):
        assert torch.equal(ours, theirs)


def operations(function: Callable[[Tensor], Any], x: Tensor) -> Counter[str]:
    made: Unrolled = unroll(lambda _, x: function(x), TABLE, (x,))
    return Counter(made.nodes[i].op for i in made.needed() if made.nodes[i].op != "const")


def test_what_only_moves_numbers_or_is_known_costs_nothing() -> None:
    x = torch.ones(1, 2, 3)
    assert operations(lambda x: x.transpose(1, 2).flip(1).flatten(1)[:, 1:], x) == {"input": 5}
    assert operations(lambda x: (x.unsqueeze(1) * torch.eye(2).reshape(1, 2, 2, 1)).sum(2), x) == {"input": 6}
    assert operations(lambda x: x * (WEIGHTS - WEIGHTS) + torch.ones(2, 3).exp(), x) == {}
    assert operations(lambda x: (x + 1.0) * (1.0 + x) - 0.0, x) == {"input": 6, "add": 6, "mul": 6}
    assert operations(lambda x: -(-x).clamp_max(float("inf")), x) == {"input": 6}


def test_what_has_no_rule_is_refused() -> None:
    with pytest.raises(UnrollError, match="erf"):
        unroll(lambda _, x: torch.erf(x), TABLE, (torch.ones(1),))
    with pytest.raises(UnrollError, match="first axis"):
        unroll(lambda t, i: t.index_select(1, i), TABLE, (torch.zeros(1, dtype=torch.int64),))
