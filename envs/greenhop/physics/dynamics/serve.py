"""Work runs: online first, then deferrable, each within its pool."""

from __future__ import annotations

import torch
from torch import Tensor

from greenhop.physics.ops import fit, per_class, per_pool
from greenhop.physics.params import Params


def serve_online(p: Params, wanted: Tensor, presented: Tensor, room: Tensor) -> Tensor:
    """`[B, R, Z]` MWh of online work served, within what is presented and the pools' room `[B, R, P]`."""
    v = torch.minimum(wanted.clamp_min(0.0), presented)
    return v * per_class(fit(per_pool(v, p.online_pool), room), p.online_pool)


def serve_deferrable(p: Params, wanted: Tensor, backlog: Tensor, rate_limit: Tensor, room: Tensor) -> Tensor:
    """`[B, R, K, S]` MWh of deferrable work served: at most `rate_limit` of each cohort, within `room` `[B, R, P]`."""
    u = torch.minimum(wanted.clamp_min(0.0), backlog * rate_limit.unsqueeze(1))
    return u * per_class(fit(per_pool(u.sum(-1), p.deferrable_pool), room), p.deferrable_pool).unsqueeze(-1)
