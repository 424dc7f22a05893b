"""Sums at the ends of links, whatever the shape of the network."""

from __future__ import annotations

import pytest
import torch

from greenhop.physics.ops import ceiling_at, gather_ends, sum_at

RING = [i for region in range(6) for i in (region, (region + 1) % 6)]
STAR = [0] * 40 + list(range(1, 41))  # every link of a star, both ways, by source
TREE = [0] * 12 + [1] * 5 + [3, 3, 4]  # region 2 has none
NETWORKS = {"ring": (RING, 6), "star": (STAR, 41), "tree": (TREE, 5), "one region": ([], 1)}


@pytest.mark.parametrize("name", NETWORKS)
def test_sums_at_ends_are_sums_over_their_links(name: str) -> None:
    end, n_regions = NETWORKS[name]
    x = torch.rand(3, len(end), 2, dtype=torch.float64)
    expected = torch.zeros(3, n_regions, 2, dtype=torch.float64).index_add(1, torch.tensor(end, dtype=torch.int64), x)
    torch.testing.assert_close(sum_at(x, gather_ends(end, n_regions)), expected)


@pytest.mark.parametrize("name", ["ring", "star", "tree"])
def test_a_ceiling_is_above_every_link_of_its_region(name: str) -> None:
    end, n_regions = NETWORKS[name]
    x = torch.randn(3, len(end), 2)
    ceiling = ceiling_at(x, gather_ends(end, n_regions))
    assert bool((ceiling.index_select(1, torch.tensor(end)) >= x).all())
    assert bool((ceiling <= x.amax(1, keepdim=True)).all())


@pytest.mark.parametrize("name", NETWORKS)
def test_padding_no_more_than_doubles_the_lists(name: str) -> None:
    end, n_regions = NETWORKS[name]
    places = sum(lists.numel() for lists in gather_ends(end, n_regions).lists)
    assert places <= 2 * len(end) + n_regions


def test_a_network_of_like_degrees_has_one_list_in_the_order_of_its_regions() -> None:
    ends = gather_ends(RING, 6)
    assert len(ends.lists) == 1
    assert ends.place.tolist() == list(range(6))
    assert len(gather_ends(STAR, 41).lists) == 2
