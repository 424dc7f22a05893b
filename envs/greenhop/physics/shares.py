"""Who pays: the bill of a step by hub. The shares of all hubs add up to the whole bill.

Power, penalties and accounts are a site's own. What has no site of its own goes to whom it is due: data on a link and
what the way costs in quality to the hub that sends, work left at the end to the hub where it waits, stored energy to
the hub of the store.
"""

from __future__ import annotations

import torch
from torch import Tensor

from greenhop.physics.ops import per_region, sum_at
from greenhop.physics.params import Params
from greenhop.physics.state import Flows, Row, State
from greenhop.physics.step import bill_by_site, joining, phase_of


def bill_by_hub(params: Params, row: Row, flows: Flows, before: State, after: State) -> Tensor:
    """`[B, R]` CNY that each hub pays for a step.

    Args:
        params: scenario.
        row: the world of the step.
        flows: what happened in it.
        before: the state before the step.
        after: the state after it.
    """
    own = torch.stack(tuple(bill_by_site(params, row, flows, before, after).values())).sum(0)
    sent = flows.data_gb * params.link_price_cny_per_gb + (flows.route_mwh * params.latency_cny_per_mwh).sum(-1)
    return own + sum_at(sent.unsqueeze(-1), params.links_out).squeeze(-1) + _left_by_hub(params, row, before, after)


def _left_by_hub(p: Params, row: Row, before: State, after: State) -> Tensor:
    """`[B, R]` CNY of the terminal term, in the last step of an episode whose end is priced."""
    if not p.prices_end:
        return torch.zeros_like(after.peak_mw)
    deferred = after.backlog_mwh - joining(p, row.next_arrivals_mwh, phase_of(p, before))
    work = (deferred.sum(-1) * p.work_terminal_cny_per_mwh).sum(-1)
    energy = per_region((p.soc_start_mwh - after.soc_mwh) * p.soc_terminal_cny_per_mwh, p.unit_of_region)
    return torch.where((after.t == p.steps).unsqueeze(-1), work + energy, 0.0)
