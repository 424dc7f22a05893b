"""One episode hour by hour, as arrays to look at: what a policy did, or what the clairvoyant plan would have done."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from greenhop.arrays import Array
from greenhop.episode.simulator import Simulator
from greenhop.lp.bound import bound
from greenhop.lp.replay import replayed
from greenhop.physics.params import Params
from greenhop.physics.state import Flows, Row
from greenhop_agents.policies.policy import Policy
from greenhop_agents.scoring.bounds import episode_window
from greenhop_agents.scoring.episodes import walk

Stepped = tuple[Row, Flows]


@dataclass(frozen=True)
class Day:
    """An episode of one policy; energies in MWh per step, `[T, R]` unless said otherwise."""

    policy: str
    regions: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    dt_h: float
    cost_cny: float
    own: Array  # own green power used
    storage: Array  # discharged
    ppa: Array
    grid: Array
    diesel: Array
    facility: Array
    surplus: Array  # own green power exported or curtailed
    served: Array
    capacity: Array  # [R] work a site can do in one step
    price: Array  # CNY/MWh: grid price with its adder
    moved: Array  # [L] work that crossed each link, the whole episode

    @property
    def green_share(self) -> Array:
        """`[R]` own and contracted green energy used per facility energy."""
        share: Array = (self.own + self.ppa).sum(0) / np.maximum(self.facility.sum(0), 1e-9)
        return np.minimum(share, 1.0)


def record_policy(sim: Simulator, policy: Policy, start: int) -> Day:
    """Run `policy` from `start` and keep every step."""
    steps = walk(sim, policy, torch.tensor([start], device=sim.params.device))
    return _as_day(policy.name, sim.params, ((sim.unpack(s.before)[0], s.flows) for s in steps))


def record_bound(sim: Simulator, start: int) -> Day:
    """Solve the clairvoyant plan of the episode that begins at `start` and keep every step of its replay."""
    params, state, rows = episode_window(sim, start)
    steps = replayed(params, state, rows, bound(params, state, rows).plan)
    return _as_day("bound", params, ((s.row, s.flows) for s in steps))


def _as_day(name: str, p: Params, steps: Iterable[Stepped]) -> Day:
    rows, flows = zip(*steps, strict=True)

    def stack(values: Iterable[Tensor]) -> Array:
        return torch.cat(list(values)).double().cpu().numpy()

    return Day(
        policy=name,
        regions=p.regions,
        links=p.links,
        dt_h=p.dt_h,
        cost_cny=float(stack(f.cost_cny for f in flows).sum()),
        own=stack(f.green_mwh - f.curtail_mwh - f.export_mwh for f in flows),
        storage=stack(f.discharge_mwh @ p.unit_of_region for f in flows),
        ppa=stack(f.ppa_mwh for f in flows),
        grid=stack(f.grid_mwh for f in flows),
        diesel=stack(f.diesel_mwh for f in flows),
        facility=stack(f.facility_mwh for f in flows),
        surplus=stack(f.curtail_mwh + f.export_mwh for f in flows),
        served=stack(f.serve_mwh.sum((2, 3)) + f.serve_online_mwh.sum(2) for f in flows),
        capacity=p.capacity_mwh.sum(-1).double().cpu().numpy(),
        price=stack(r.grid_price_cny_per_mwh + p.grid_adder_cny_per_mwh for r in rows),
        moved=stack(f.migrate_mwh.sum((2, 3)) + f.route_mwh.sum(2) for f in flows).sum(0),
    )
