"""Small tensor operations that several dynamics files share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

TINY = 1e-12  # MWh or GB below which a total counts as nothing to scale


def fit(total: Tensor, limit: Tensor) -> Tensor:
    """`min(1, limit/total)`: the factor that brings `total ≥ 0` down to `limit ≥ 0`; exactly 1 where it fits."""
    return torch.where(total <= limit, 1.0, limit / total.clamp_min(TINY))


class Ends(NamedTuple):
    """Which links end at which region: lists of links, one list for regions of like degree."""

    lists: tuple[Tensor, ...]  # each [N, D] int64 links of N regions, padded with L
    place: Tensor  # [R] int64 where each region stands, the lists laid one after the other


def gather_ends(end: Sequence[int], n_regions: int) -> Ends:
    """The lists for links that end at regions `end` `[L]`.

    One list while its padding no more than doubles it; beyond that one for every power of two of links.
    """
    links: list[list[int]] = [[] for _ in range(n_regions)]
    for link, region in enumerate(end):
        links[region].append(link)
    most = max(map(len, links), default=0)
    by_degree: dict[int, list[int]] = {}
    for region, found in enumerate(links):
        group = 0 if n_regions * most <= 2 * len(end) else max(len(found) - 1, 0).bit_length()
        by_degree.setdefault(group, []).append(region)
    groups = [group for _, group in sorted(by_degree.items())]
    place = torch.tensor([region for group in groups for region in group], dtype=torch.int64).argsort()
    return Ends(tuple(_padded([links[region] for region in group], len(end)) for group in groups), place)


def _padded(rows: Sequence[Sequence[int]], padding: int) -> Tensor:
    """`[N, D]`, at least one column wide."""
    width = max(1, *map(len, rows))
    return torch.tensor([[*row, *[padding] * (width - len(row))] for row in rows], dtype=torch.int64)


def sum_at(per_link: Tensor, ends: Ends) -> Tensor:
    """Sum a per-link quantity `[B, L, …]` at regions `[B, R, …]`."""
    if per_link.shape[1] == 0:
        return per_link.new_zeros(per_link.shape[0], len(ends.place), *per_link.shape[2:])
    return _at(ends, lambda lists: (_gather(per_link, lists) * _named(per_link, lists)).sum(dim=2))


def ceiling_at(per_link: Tensor, ends: Ends) -> Tensor:
    """`[B, R, …]` no less than any `[B, L, …]` entry of a region's links; more where padding repeats another link's."""
    return _at(ends, lambda lists: _gather(per_link, lists).amax(dim=2))


def _at(ends: Ends, reduced: Callable[[Tensor], Tensor]) -> Tensor:
    """What each list gives, in the order of regions."""
    parts = [reduced(lists) for lists in ends.lists]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1).index_select(1, ends.place)


def _gather(per_link: Tensor, lists: Tensor) -> Tensor:
    """`[B, N, D, …]` entries of `[B, L, …]` by `lists` `[N, D]`; at padding stands the last link's."""
    picked = per_link.index_select(1, lists.clamp_max(per_link.shape[1] - 1).reshape(-1))
    return picked.reshape(per_link.shape[0], *lists.shape, *per_link.shape[2:])


def _named(per_link: Tensor, lists: Tensor) -> Tensor:
    """`[N, D, 1…]` 1 where `lists` names a link, 0 at its padding, shaped to multiply `_gather`."""
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
