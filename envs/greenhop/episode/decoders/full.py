"""The decoder with one number for every share of a plan."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from greenhop.episode.decoders.base import split_action
from greenhop.physics.ops import TINY, sum_at
from greenhop.physics.params import Params
from greenhop.physics.state import Plan, Row, State
from greenhop.world.layout import Seen


@dataclass(frozen=True)
class FullDecoder:
    """For research on large action spaces: shares of every cohort, link and unit; 0 means half."""

    params: Params

    @property
    def parts(self) -> dict[str, tuple[int, ...]]:
        """Named blocks of the action."""
        p = self.params
        r, z, links = len(p.regions), len(p.online), len(p.links)
        parts: dict[str, tuple[int, ...]] = {
            "route": (links, z),
            "serve": (r, *p.slots_used.shape),
            "migrate": (links, *p.slots_used.shape),
            "storage": (len(p.units),),
        }
        return parts | ({"alternative": (r, len(p.deferrable))} if p.diverse else {})

    def __call__(self, action: Tensor, state: State, row: Row, seen: Seen) -> Plan:
        """−1…1 maps to shares 0…1; a storage action is charging (> 0) or discharging (< 0) as a share of power."""
        p, part = self.params, split_action(action, self.parts)
        share = {name: (x + 1.0) / 2.0 for name, x in part.items()}
        served = state.backlog_mwh * share["serve"]
        routed = row.online_mwh.index_select(1, p.link_source) * share["route"] * p.route_allowed
        moved = (state.backlog_mwh - served).index_select(1, p.link_source) * share["migrate"]
        charge = part["storage"].clamp_min(0.0) * p.charge_limit_mwh
        discharge = (-part["storage"]).clamp_min(0.0) * p.discharge_limit_mwh
        arriving = row.online_mwh + sum_at(routed, p.links_in)
        away = served.sum(-1) * (share["alternative"] if p.diverse else 0.0)
        return Plan(routed, arriving, moved, served, charge, discharge, torch.zeros_like(charge), away)

    def action_of(self, plan: Plan, state: State, row: Row) -> Tensor:
        """`[B, A]` the action that stands for a plan: what it decides of computing and stores, as shares.

        What the decoder never decides is left out: all online work that arrives is to be served, and power is
        dispatched in merit order.
        """
        p = self.params
        online, rest = row.online_mwh.index_select(1, p.link_source), state.backlog_mwh - plan.serve_mwh
        net = (plan.charge_mwh - plan.discharge_mwh).clamp(-p.discharge_limit_mwh, p.charge_limit_mwh)
        limit = torch.where(net > 0, p.charge_limit_mwh, p.discharge_limit_mwh)
        shares = {
            "route": _share(plan.route_mwh, online * p.route_allowed),
            "serve": _share(plan.serve_mwh, state.backlog_mwh),
            "migrate": _share(plan.migrate_mwh, rest.index_select(1, p.link_source)),
            "storage": net / limit.clamp_min(TINY),
            "alternative": _share(plan.alternative_mwh, plan.serve_mwh.sum(-1)),
        }
        return torch.cat([shares[name].reshape(-1, prod(shape)) for name, shape in self.parts.items()], dim=1)


def _share(part: Tensor, whole: Tensor) -> Tensor:
    """−1…1 for shares 0…1; none where there is nothing to share."""
    return 2.0 * (part / whole.clamp_min(TINY)).clamp(0.0, 1.0) * (whole > TINY) - 1.0
