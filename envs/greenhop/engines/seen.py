"""A name for everything that a followed step sees: numbers, names and code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from greenhop.cache import key_of, source_key
from greenhop.episode.simulator import Simulator
from greenhop.world import MADE_BY as WORLD

CODE = (*WORLD, "scenario", "physics", "episode", "engines", "arrays.py")  # that a step runs through
PLAIN = (str, int, float, bool, type(None))


def name_of_step(sim: Simulator) -> str | None:
    """What is equal for simulators whose step is the same function of row, state and action.

    None where a part of the simulator is nobody's here, such as a decoder of a user's own: its code is not known.
    """
    table = sim.bank.table
    if type(sim) is not Simulator:
        return None
    seen = sim.params, sim.decoder, sim.observer, sim.bank.layout, sim.telemetry, str(table.dtype), table.shape[1]
    try:
        return key_of(*_facts(seen), source_key(*CODE))
    except _UnknownError:
        return None


class _UnknownError(Exception):
    """Something whose content cannot be told."""


def _facts(x: Any) -> Iterator[Any]:
    """What is in `x`, piece by piece."""
    if isinstance(x, Tensor):
        yield [str(x.dtype), list(x.shape)]
        yield x.detach().cpu().contiguous().numpy()
    elif type(x) in PLAIN:
        yield repr(x)
    elif type(x) in (tuple, list, dict):
        yield [type(x).__name__, len(x)]
        for item in x.items() if isinstance(x, dict) else x:
            yield from _facts(item)
    elif type(x).__module__.split(".")[0] == "greenhop":
        yield f"{type(x).__module__}.{type(x).__qualname__}"
        yield from _facts(_content(x))
    elif isinstance(x, torch.Size):
        yield list(x)
    else:
        raise _UnknownError


def _content(x: Any) -> dict[str, Any]:
    """The fields of an object that consists of fields alone."""
    if is_dataclass(x):
        return {f.name: getattr(x, f.name) for f in fields(x)}
    if hasattr(x, "_asdict"):
        return dict(x._asdict())
    if hasattr(x, "model_dump"):
        return dict(x.model_dump(mode="json"))
    raise _UnknownError
