"""Running a function of tensors once to see what it asks of torch."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

if TYPE_CHECKING:
    from greenhop.errors import GreenhopError


aten = torch.ops.aten
SHAPE_ONLY = (aten.zeros_like.default, aten.ones_like.default, aten.new_zeros.default)


class Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Shows `called` every operation on tensors that stand for something; what comes of the others is constant.

    Operations, those of derivatives too, are carried out as they are; `called` sees what their tensors stand for.
    """

    error: ClassVar[type[GreenhopError]]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._meanings: dict[int, tuple[Tensor, Any]] = {}  # by id; kept alive, so that no two tensors share one

    def mean(self, x: Tensor, meaning: Any) -> None:
        """From now on `x` stands for `meaning`."""
        self._meanings[id(x)] = x, meaning

    def meaning(self, x: Any) -> Any:
        """What a tensor stands for; anything else, and a tensor that stands for nothing, is itself."""
        return self._meanings.get(id(x), (x, x))[1]

    @abstractmethod
    def called(self, func: Any, args: Any, kwargs: Any, out: Any) -> Any:
        """What the result `out`, a tensor or several, stands for."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise self.error(f"{func} draws numbers")
        out = func(*args, **kwargs)
        if func not in SHAPE_ONLY and any(id(x) in self._meanings for x in tree_leaves((args, kwargs))):
            if not all(isinstance(x, Tensor) for x in tree_leaves(out)):
                raise self.error(f"{func} asks for values, which differ from call to call")
            meanings = self.called(func, tree_map(self.meaning, args), tree_map(self.meaning, kwargs), out)
            for x, meaning in zip(tree_leaves(out), tree_leaves(meanings), strict=True):
                self.mean(x, meaning)
        return out
