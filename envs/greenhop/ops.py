"""Small tensor operations that several dynamics files share."""

from __future__ import annotations

import torch
from torch import Tensor

TINY = 1e-12  # MWh or GB below which a total counts as nothing to scale


def fit(total: Tensor, limit: Tensor) -> Tensor:
    """`min(1, limit/total)`: the factor that brings `total ≥ 0` down to `limit ≥ 0`; exactly 1 where it fits."""
    return torch.where(total <= limit, 1.0, limit / total.clamp_min(TINY))


def sum_at(per_link: Tensor, lists: Tensor) -> Tensor:
    """Sum a per-link quantity `[B, L, …]` at regions `[B, R, …]`; `lists` `[R, D]` holds link indices padded with L."""
    if per_link.shape[1] == 0:
        return per_link.new_zeros(per_link.shape[0], len(lists), *per_link.shape[2:])
    return (gather_at(per_link, lists) * listed(per_link, lists)).sum(dim=2)


def gather_at(per_link: Tensor, lists: Tensor) -> Tensor:
    """`[B, R, D, …]` entries of `[B, L, …]` by `lists` `[R, D]`; what stands at padding must be masked by `listed`."""
    picked = per_link.index_select(1, lists.clamp_max(per_link.shape[1] - 1).reshape(-1))
    return picked.reshape(per_link.shape[0], *lists.shape, *per_link.shape[2:])


def listed(per_link: Tensor, lists: Tensor) -> Tensor:
    """`[R, D, 1…]` 1 where `lists` names a link, 0 at its padding, shaped to multiply `gather_at`."""
    named = (lists < per_link.shape[1]).to(per_link.dtype)
    return named.reshape(*lists.shape, *[1] * (per_link.dim() - 2))


def mix(x: Tensor, weights: Tensor) -> Tensor:
    """`[…, M]` weighted sums of `x` `[…, N]`; `weights` `[M, N]` or batched, `[…, M, N]`.

    A product and a sum instead of a matrix product: N is a handful, and a compiler fuses it with its neighbours.
    """
    return (x.unsqueeze(-2) * weights).sum(-1)


def per_pool(work: Tensor, pool: Tensor) -> Tensor:
    """Sum a quantity of classes `[B, R, K]` to their pools `[B, R, P]`; `pool` is one-hot `[K, P]`."""
    return mix(work, pool.T)


def per_class(rooms: Tensor, pool: Tensor) -> Tensor:
    """Spread a quantity of pools `[B, R, P]` to the classes of each pool `[B, R, K]`; `pool` is one-hot `[K, P]`."""
    return mix(rooms, pool)


def per_region(by_unit: Tensor, unit_of_region: Tensor) -> Tensor:
    """Sum a quantity of storage units `[B, U]` to their regions `[B, R]`; `unit_of_region` is one-hot `[U, R]`."""
    return mix(by_unit, unit_of_region.T)
