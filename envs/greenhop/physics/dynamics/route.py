"""Online work travels to another hub, as far as its users are near enough to be served from there."""

from __future__ import annotations

from torch import Tensor

from greenhop.physics.ops import fit, sum_at
from greenhop.physics.params import Params


def route(p: Params, wanted: Tensor, online: Tensor, link_gb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Clip routing to what arrived, to users within the latency budget, and to what the links carry.

    Args:
        p: scenario.
        wanted: `[B, L, Z]` MWh to route over each link.
        online: `[B, R, Z]` MWh arriving.
        link_gb: `[B, L]` GB each link carries in this step.

    Returns:
        `[B, L, Z]` MWh routed, `[B, R, Z]` MWh presented at each region, `[B, L]` GB used.
    """
    x = wanted.clamp_min(0.0).minimum(p.route_allowed * online.index_select(1, p.link_source))
    x = x * fit(sum_at(x, p.links_out), online).index_select(1, p.link_source)
    gb = (x * p.route_gb_per_mwh).sum(-1)
    x = x * fit(gb, link_gb).unsqueeze(-1)
    presented = online - sum_at(x, p.links_out) + sum_at(x, p.links_in)
    return x, presented.clamp_min(0.0), (x * p.route_gb_per_mwh).sum(-1)
