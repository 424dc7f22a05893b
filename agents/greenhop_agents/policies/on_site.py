"""What operators do on site with a plan made from what someone else believed of it."""

from __future__ import annotations

import torch

from greenhop.episode.telemetry import Telemetry
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


def paced(params: Params, telemetry: Telemetry, state: State, plan: Plan) -> Plan:
    """A plan `[1, …]` made from reports, as sites run it: by what they have themselves, in merit order of power.

    What is due before the next report of it would arrive, and all that waits where nothing is reported, runs at an even
    pace at least; `state` is the truth.
    """
    phase = (state.world_row + state.t) % params.period
    slack = params.slack.index_select(0, phase).unsqueeze(1)
    unseen = (slack <= telemetry.late) | (telemetry.reports.to(slack)[:, None, None] == 0)
    pace = torch.where(unseen, state.backlog_mwh / (slack + 1.0), 0.0)
    kept = minded(params, state, plan)
    return kept._replace(serve_mwh=torch.maximum(kept.serve_mwh, pace), dispatch=None)
