"""A function written as text, and what its calls must know; kept on disk, so that a machine follows it once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from greenhop.cache import cached, key_of, source_key
from greenhop.compiler.cpp_text import Code, Layout, Part, write_code
from greenhop.compiler.unroll import Unrolled, unroll

FOLDER = "programs"


@dataclass(frozen=True)
class Written:
    """What following a function gives."""

    code: Code
    numbers: int  # that one environment computes or reads
    results: list[tuple[list[int], str]]  # shapes without the batch, and kinds
    constants: list[Tensor]  # tables in which it looks things up, beside the one that it is given

    @classmethod
    def follow(
        cls,
        function: Callable[..., Any],
        table: Tensor,
        examples: Any,
        inputs: Sequence[Layout],
        results: Layout | Sequence[Layout],
        part_size: Callable[[int], int],
        last_first: bool,
    ) -> Written:
        """Follow `function(table, *examples)`; `part_size` is that of so many numbers.

        Raises:
            UnrollError: the function uses an operation that has no rule.
        """
        made: Unrolled = unroll(function, table, examples)
        order = made.needed(last_first=last_first)
        layouts = each(results, len(made.results))
        code = write_code(made, order, inputs, layouts, part_size(len(order)))
        kinds = [made.kind(nodes) for nodes in made.results]
        shapes = [list(shape) for shape in made.shapes]
        return cls(code, len(order), list(zip(shapes, kinds, strict=True)), made.tables[1:])

    def packed(self) -> dict[str, NDArray[Any]]:
        """As arrays, for the cache."""
        told = {"code": asdict(self.code), "numbers": self.numbers, "results": self.results}
        text = np.frombuffer(json.dumps(told, default=sorted).encode(), dtype=np.uint8)  # sets of names, sorted
        return {"text": text, **{f"constant{i}": x.cpu().numpy() for i, x in enumerate(self.constants)}}

    @classmethod
    def unpacked(cls, arrays: dict[str, NDArray[Any]], device: torch.device) -> Written:
        """From arrays of the cache."""
        told = json.loads(arrays["text"].tobytes())
        opening, *parts, closing = [
            Part(part["lines"], set(part["arrays"]))
            for part in (told["code"]["opening"], *told["code"]["parts"], told["code"]["closing"])
        ]
        code = Code(**{**told["code"], "opening": opening, "parts": parts, "closing": closing})
        constants = [torch.from_numpy(arrays[f"constant{i}"]).to(device) for i in range(len(arrays) - 1)]
        return cls(code, told["numbers"], [(shape, kind) for shape, kind in told["results"]], constants)


def each(layout: Layout | Sequence[Layout], count: int) -> Sequence[Layout]:
    """One word for all, or one for each."""
    return [layout] * count if isinstance(layout, str) else layout


def kept(follow: Callable[[], Written], key: str | None, device: torch.device) -> Written:
    """What `follow` gives, from the disk cache where it was followed before under this key by the same code."""
    if key is None:
        return follow()
    made: list[Written] = []

    def make() -> dict[str, NDArray[Any]]:
        made.append(follow())
        return made[0].packed()

    found = cached(FOLDER, key_of(key, str(device), torch.__version__, source_key("compiler")), make)
    return made[0] if made else Written.unpacked(found, device)
