"""Deferrable work leaves for another hub now and can run there from the next step; its data travel, or wait there."""

from __future__ import annotations

import torch
from torch import Tensor

from greenhop.physics.ops import TINY, fit, sum_at
from greenhop.physics.params import Params


def synchronise(p: Params, arrivals: Tensor, link_gb: Tensor) -> Tensor:
    """`[B, L]` GB that arriving work `[B, R, K]` sends to its replicas, within what the links carry `[B, L]`."""
    wanted = (arrivals.index_select(1, p.link_source) * p.sync_gb_per_mwh).sum(-1)
    return wanted.minimum(link_gb)


def readable(p: Params, link_gb: Tensor, site_availability: Tensor) -> Tensor:
    """`[B, L, K]` MWh of a cohort that its site `[B, R]` can still send over links of `[B, L]` GB; where nothing has to
    be sent, no limit."""
    gb = link_gb * site_availability.index_select(1, p.link_source)
    return torch.where(p.migrate_gb_per_mwh > 0.0, gb.unsqueeze(-1) / p.migrate_gb_per_mwh.clamp_min(TINY), torch.inf)


def migrate(
    p: Params, wanted: Tensor, waiting: Tensor, movable: Tensor, most: Tensor, link_gb: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Clip migration to what still waits and what the links carry.

    Args:
        p: scenario.
        wanted: `[B, L, K, S]` MWh to move over each link.
        waiting: `[B, R, K, S]` MWh left after serving.
        movable: `[B, K, S]` 1 where a cohort may move (it is not due in this step).
        most: `[B, L, K]` MWh of a cohort that can be read at its site.
        link_gb: `[B, L]` GB left on each link.

    Returns:
        `[B, L, K, S]` MWh leaving, `[B, R, K, S]` MWh waiting after departures and arrivals, `[B, L]` GB used.
    """
    m = wanted.clamp_min(0.0) * p.migrate_allowed.unsqueeze(-1) * movable.unsqueeze(1)
    m = m.minimum(most.unsqueeze(-1))
    m = m * fit(sum_at(m, p.links_out), waiting).index_select(1, p.link_source)
    gb = (m.sum(-1) * p.migrate_gb_per_mwh).sum(-1)
    m = m * fit(gb, link_gb)[:, :, None, None]
    arriving = sum_at(m * (1.0 + p.restart_overhead).unsqueeze(-1), p.links_in)
    kept = (waiting - sum_at(m, p.links_out)).clamp_min(0.0) + arriving
    return m, kept, (m.sum(-1) * p.migrate_gb_per_mwh).sum(-1)
