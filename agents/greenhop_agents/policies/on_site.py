"""What operators do on site with a plan made from what someone else believed of it."""

from __future__ import annotations

import torch

from greenhop.physics.params import Params
from greenhop.physics.state import Plan, State


def minded(params: Params, state: State, plan: Plan) -> Plan:
    """A plan `[T, …]` as operators keep it where it fails: online work is served as it comes, and due work is run."""
    steps = torch.arange(len(plan.serve_mwh)) + state.world_row + state.t
    due = params.slack[steps % params.period, None] == 0
    return plan._replace(
        serve_online_mwh=torch.full_like(plan.serve_online_mwh, torch.inf),
        serve_mwh=torch.where(due, torch.inf, plan.serve_mwh),
    )
