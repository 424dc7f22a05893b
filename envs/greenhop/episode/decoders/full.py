"""The decoder with one number for every share of a plan."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from greenhop.episode.decoders.base import split_action
from greenhop.physics.ops import sum_at
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
