"""Work runs: online first, then deferrable, each within its pool or, where its class has one, its alternative pool."""

from __future__ import annotations

import torch
from torch import Tensor

from greenhop.physics.ops import TINY, fit, per_class, per_pool
from greenhop.physics.params import Params


def serve_online(p: Params, wanted: Tensor, presented: Tensor, room: Tensor) -> Tensor:
    """`[B, R, Z]` MWh of online work served, within what is presented and the pools' room `[B, R, P]`."""
    v = torch.minimum(wanted.clamp_min(0.0), presented)
    return v * per_class(fit(per_pool(v, p.online_pool), room), p.online_pool)


def serve_deferrable(
    p: Params, wanted: Tensor, elsewhere: Tensor, backlog: Tensor, rate_limit: Tensor, room: Tensor
) -> tuple[Tensor, Tensor]:
    """Clip what is served to `rate_limit` of each cohort and to the pools' room.

    Args:
        p: scenario.
        wanted: `[B, R, K, S]` MWh to serve.
        elsewhere: `[B, R, K]` MWh of it to run on the alternative pool.
        backlog: `[B, R, K, S]` MWh waiting.
        rate_limit: `[B, K, S]` share of a cohort that may run.
        room: `[B, R, P]` MWh of room that online work leaves.

    Returns:
        `[B, R, K, S]` MWh served, `[B, R, K]` MWh of it on the alternative pool.
    """
    u = torch.minimum(wanted.clamp_min(0.0), backlog * rate_limit.unsqueeze(1))
    total = u.sum(-1)
    if not p.diverse:
        fits = per_class(fit(per_pool(total, p.deferrable_pool), room), p.deferrable_pool)
        return u * fits.unsqueeze(-1), torch.zeros_like(total)
    away = torch.minimum(elsewhere.clamp_min(0.0), total) * p.alternative_pool.sum(-1)
    crowd = per_pool(total - away, p.deferrable_pool) + per_pool(away * p.alternative_room, p.alternative_pool)
    fits = fit(crowd, room)
    home, there = per_class(fits, p.deferrable_pool), per_class(fits, p.alternative_pool)
    share = away / total.clamp_min(TINY)
    return u * (home + (there - home) * share).unsqueeze(-1), away * there


def pool_energy(p: Params, online: Tensor, served: Tensor, away: Tensor) -> Tensor:
    """`[B, R, P]` server energy of work `[B, R, Z]` and `[B, R, K, S]` that runs, `away` `[B, R, K]` on other pools."""
    total = served.sum(-1)
    if not p.diverse:
        return per_pool(online, p.online_pool) + per_pool(total, p.deferrable_pool)
    elsewhere = per_pool(away * p.alternative_energy, p.alternative_pool)
    return per_pool(online, p.online_pool) + per_pool(total - away, p.deferrable_pool) + elsewhere
