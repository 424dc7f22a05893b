"""IT power and the power that cools it: affine in the work served."""

from __future__ import annotations

from torch import Tensor

from greenhop.physics.params import FIXED_OVERHEAD_SHARE, Params


def facility_energy(p: Params, work: Tensor, room: Tensor, pue_full: Tensor) -> tuple[Tensor, Tensor]:
    """Energy of a step.

    Args:
        p: scenario.
        work: `[B, R, P]` MWh served in each pool.
        room: `[B, R, P]` MWh the pools could serve (capacity × availability).
        pue_full: `[B, R]` PUE at full load.

    Returns:
        `[B, R]` IT MWh and `[B, R]` facility MWh: `IT + (PUE − 1)·(0.6·IT + 0.4·room)`.
    """
    it = (room * p.idle_share + work * (1.0 - p.idle_share)).sum(-1)
    cooling = (1.0 - FIXED_OVERHEAD_SHARE) * it + FIXED_OVERHEAD_SHARE * room.sum(-1)
    return it, it + (pue_full - 1.0) * cooling
