"""A running batch of episodes, as it is handed from step to step, and where the next ones start."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import tree_map

from greenhop.physics.state import State


class Carry(NamedTuple):
    """A running batch of episodes: the state, and the packed row of the present step."""

    state: State
    packed: Tensor  # [B, C]
    past: tuple[State, ...] = ()  # states of the steps before, oldest first, as many as telemetry is late


def choose(done: Tensor, fresh: Carry, old: Carry) -> Carry:
    """Per environment: `fresh` where `done` `[B]`, else `old`."""
    return carry_of(partial(_pick, done), fresh, old)


def carry_of(each: Callable[..., Tensor], *carries: Carry) -> Carry:
    """The carry whose tensors `each` makes of those of `carries`, one at a time."""
    made: Carry = tree_map(each, *carries)
    return made


def _pick(done: Tensor, fresh: Tensor, old: Tensor) -> Tensor:
    return torch.where(done.reshape(-1, *[1] * (old.dim() - 1)), fresh, old)


Integers = TypeVar("Integers", Tensor, NDArray[np.int64])


def random_start(seed: Integers, env: Integers, episode: Integers, n_starts: int) -> Integers:
    """`[B]` int64 start of each environment's episode: a hash of (seed, environment, episode), whatever the batch.

    The 32-bit finaliser of MurmurHash3 (Appleby, public domain), in int64 so that nothing overflows into the sign.
    """
    x = ((seed + 1) * 0x9E3779B1 + env * 0x85EBCA77 + episode * 0xC2B2AE3D) & 0xFFFFFFFF
    for multiplier, shift in ((0x85EBCA6B, 16), (0xC2B2AE35, 13)):
        x = ((x ^ (x >> shift)) * multiplier) & 0xFFFFFFFF
    return (x ^ (x >> 16)) % n_starts
