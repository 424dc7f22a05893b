"""Random streams by name: the same bits whatever else is generated, in whatever order, on whatever machine."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.random import Generator, Philox

DEFAULT_WORLD = "greenhop"  # the name of the generated world: another one has other weather with the same seed


@dataclass(frozen=True)
class StreamKey:
    """What makes one world year different from another."""

    seed: int
    world: str
    split: str
    year_id: int

    def stream(self, *name: str) -> Generator:
        """A counter-based generator of its own for the variable (and place) called `name`."""
        text = "\x1f".join((str(self.seed), self.world, self.split, str(self.year_id), *name))
        key = int.from_bytes(blake2b(text.encode(), digest_size=16).digest(), "little")
        return np.random.Generator(Philox(key=key))
