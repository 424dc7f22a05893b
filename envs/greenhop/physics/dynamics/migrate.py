"""Deferrable work leaves for another hub now and can run there from the next step."""

from __future__ import annotations

from torch import Tensor

from greenhop.physics.ops import fit, sum_at
from greenhop.physics.params import Params


def migrate(
    p: Params, wanted: Tensor, waiting: Tensor, movable: Tensor, link_gb: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Clip migration to what still waits and what the links carry.

    Args:
        p: scenario.
        wanted: `[B, L, K, S]` MWh to move over each link.
        waiting: `[B, R, K, S]` MWh left after serving.
        movable: `[B, K, S]` 1 where a cohort may move (it is not due in this step).
        link_gb: `[B, L]` GB left on each link.

    Returns:
        `[B, L, K, S]` MWh leaving, `[B, R, K, S]` MWh waiting after departures and arrivals, `[B, L]` GB used.
    """
    m = wanted.clamp_min(0.0) * p.migrate_allowed.unsqueeze(-1) * movable.unsqueeze(1)
    m = m * fit(sum_at(m, p.links_out), waiting).index_select(1, p.link_source)
    gb = (m.sum(-1) * p.migrate_gb_per_mwh).sum(-1)
    m = m * fit(gb, link_gb)[:, :, None, None]
    arriving = sum_at(m * (1.0 + p.restart_overhead).unsqueeze(-1), p.links_in)
    kept = (waiting - sum_at(m, p.links_out)).clamp_min(0.0) + arriving
    return m, kept, (m.sum(-1) * p.migrate_gb_per_mwh).sum(-1)
