"""What a step is worth, and the numbers reported about it: rewards, potential, constraint costs, named quantities.

Potential-based shaping (Ng, Harada and Russell, 1999): a reward that includes the change of what waiting work and
stored energy are worth books work when it arrives and credits it when it is served. Putting it off then earns nothing,
even before any value has been learnt, and the best policy stays the same.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from greenhop.physics.params import Params
from greenhop.physics.state import COST_TERMS, Flows, State

RewardKind = Literal["bill", "accrual"]  # minus what a step costs; the same with the change of the potential


class Quantities(NamedTuple):
    """What a step did beside its bill, each `[B]`, summed over regions."""

    facility_mwh: Tensor
    green_used_mwh: Tensor
    grid_mwh: Tensor
    ppa_mwh: Tensor
    curtailed_mwh: Tensor
    exported_mwh: Tensor
    unserved_mwh: Tensor
    carbon_kg: Tensor
    served_mwh: Tensor
    missed_mwh: Tensor
    migrated_mwh: Tensor
    data_gb: Tensor


class SiteQuantities(NamedTuple):
    """Energy of a step by site, each `[B, R]`; `self_used` is own green power that stayed on site."""

    it_mwh: Tensor
    facility_mwh: Tensor
    green_mwh: Tensor
    self_used_mwh: Tensor
    exported_mwh: Tensor
    curtailed_mwh: Tensor


QUANTITIES = Quantities._fields
REPORTED = (*(f"{term}_cny" for term in COST_TERMS), *QUANTITIES)
SITE_QUANTITIES = SiteQuantities._fields
CONSTRAINT_TERMS = ("missed", "unserved", "green_gap", "direct_rule")


def reward_of(params: Params, flows: Flows) -> Tensor:
    """`[B]` reward: minus the step's cost, in units of `cost_scale`."""
    return -flows.cost_cny.sum(-1) / params.cost_scale_cny


def potential(params: Params, state: State) -> Tensor:
    """`[B]` what a state is worth at the episode's terminal prices, in rewards; 0 at an end that bills them.

    `Φ(s) = (Σ soc·soc_price − Σ backlog·work_price) / cost_scale`.
    """
    work = (state.backlog_mwh.sum((1, 3)) * params.work_terminal_cny_per_mwh).sum(-1)
    stored = (state.soc_mwh * params.soc_terminal_cny_per_mwh).sum(-1)
    worth = (stored - work) / params.cost_scale_cny
    return torch.where(state.t >= params.steps, 0.0, worth) if params.prices_end else worth


def gain(params: Params, before: State, after: State) -> Tensor:
    """`[B]` `Φ(after) − Φ(before)`: summed over an episode whose end is priced it is `−Φ(start)`, whatever was done."""
    return potential(params, after) - potential(params, before)


def constraint_cost(params: Params, flows: Flows) -> Tensor:
    """`[B, 4]` costs of broken promises (missed work, unserved load, green share, direct supply), as in the reward."""
    columns = [COST_TERMS.index(term) for term in CONSTRAINT_TERMS]
    return flows.cost_cny[:, columns] / params.cost_scale_cny


def report(params: Params, flows: Flows) -> Tensor:
    """`[B, len(REPORTED)]` cost terms and physical quantities of a step, summed over regions."""
    by_region = {
        "facility_mwh": flows.facility_mwh,
        "green_used_mwh": flows.green_mwh - flows.curtail_mwh - flows.export_mwh + flows.ppa_mwh,
        "grid_mwh": flows.grid_mwh,
        "ppa_mwh": flows.ppa_mwh,
        "curtailed_mwh": flows.curtail_mwh,
        "exported_mwh": flows.export_mwh,
        "unserved_mwh": flows.unserved_mwh,
        "carbon_kg": flows.carbon_kg,
    }
    total = dict(zip(by_region, torch.stack(tuple(by_region.values()), dim=-1).sum(1).unbind(-1), strict=True))
    total["green_used_mwh"] = total["green_used_mwh"] + flows.discharge_mwh @ params.is_csp
    quantities = Quantities(
        **total,
        served_mwh=flows.serve_mwh.sum((1, 2, 3)) + flows.serve_online_mwh.sum((1, 2)),
        missed_mwh=flows.missed_mwh.sum((1, 2)) + flows.missed_online_mwh.sum((1, 2)),
        migrated_mwh=flows.migrate_mwh.sum((1, 2, 3)) + flows.route_mwh.sum((1, 2)),
        data_gb=flows.data_gb.sum(-1),
    )
    return torch.cat((flows.cost_cny, torch.stack(quantities, dim=-1)), dim=-1)


def report_sites(flows: Flows) -> Tensor:
    """`[B, R, len(SITE_QUANTITIES)]`: `SiteQuantities` of a step, stacked."""
    quantities = SiteQuantities(
        it_mwh=flows.it_mwh,
        facility_mwh=flows.facility_mwh,
        green_mwh=flows.green_mwh,
        self_used_mwh=flows.green_mwh - flows.curtail_mwh - flows.export_mwh,
        exported_mwh=flows.export_mwh,
        curtailed_mwh=flows.curtail_mwh,
    )
    return torch.stack(quantities, dim=-1)
