"""Small tensor operations that several dynamics files share."""

from __future__ import annotations

import torch
from torch import Tensor

TINY = 1e-12  # MWh or GB below which a total counts as nothing to scale


def fit(total: Tensor, limit: Tensor) -> Tensor:
    """`min(1, limit/total)`: the factor that brings `total ≥ 0` down to `limit ≥ 0`; 1 where it already fits."""
    return torch.where(total <= limit, 1.0, limit / total.clamp_min(TINY))


def sum_at(per_link: Tensor, lists: Tensor) -> Tensor:
    """Sum a per-link quantity `[B, L, …]` at regions `[B, R, …]`; `lists` `[R, D]` holds link indices padded with L."""
    none = per_link.new_zeros(()).expand(per_link.shape[0], 1, *per_link.shape[2:])
    padded = torch.cat((per_link, none), dim=1)
    regions, depth = lists.shape
    gathered = padded.index_select(1, lists.reshape(-1))
    return gathered.reshape(per_link.shape[0], regions, depth, *per_link.shape[2:]).sum(dim=2)


def per_class(per_pool: Tensor, pool: Tensor) -> Tensor:
    """Spread a per-pool quantity `[B, R, P]` to the classes of each pool `[B, R, K]`; `pool` is one-hot `[K, P]`."""
    return per_pool @ pool.T
