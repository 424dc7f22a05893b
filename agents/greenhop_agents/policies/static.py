"""The best static plan: one linear programme on the average day of the training years, turned into fixed fractions.

For every hour of the day it says which share of each cohort runs and moves, which share of online work is routed, and
how much each store charges and discharges. It never looks at the weather, at prices or at what waits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from greenhop.cache import cached, key_of, source_key
from greenhop.episode.carry import Carry
from greenhop.episode.simulator import Simulator
from greenhop.lp.bound import bound
from greenhop.lp.replay import replayed
from greenhop.physics.params import Params
from greenhop.physics.state import Plan, Row, State
from greenhop.physics.step import initial_state
from greenhop.scenario.join import build_params
from greenhop.world import MADE_BY as WORLD
from greenhop.world.bank import WorldBank, build_bank
from greenhop_agents.policies.policy import Policy

TRAIN_YEARS = 4  # training years that are averaged
CYCLES = 3  # days in the programme; the middle one is free of both ends
RESERVE = 0.35  # of every pool, for the days that bring more work than the average one
MADE_BY = (*WORLD, "physics", "lp")  # the code that the fractions rest on
LEAST_MWH = 1e-4  # of a cohort, below which its share says nothing: even pace then


@dataclass(frozen=True)
class Fractions:
    """Decisions by step of the cycle H (a day, or the deadline clock's period if longer)."""

    serve: Tensor  # [H, R, K, S] share of a cohort
    migrate: Tensor  # [H, L, K, S] share of what is left at the source
    route: Tensor  # [H, L, Z] share of the source's online work
    charge_mwh: Tensor  # [H, U]
    discharge_mwh: Tensor  # [H, U]
    spill: Tensor  # [H, U] share of the inflow
    alternative: Tensor  # [H, R, K] share of what is served, on the alternative pool


@dataclass
class Static:
    """Fixed fractions by hour of day, from training years only."""

    name: str = "static"
    reserve: float = RESERVE

    def reset(self, sim: Simulator) -> None:
        """Find the fractions, or read them from the disk cache."""
        found = cached(
            "static",
            key_of(sim.scenario.model_dump(mode="json"), self.reserve, source_key(*MADE_BY)),
            lambda: self._solve(sim),
        )
        self._plan = Fractions(**{name: torch.from_numpy(x).to(sim.bank.table) for name, x in found.items()})

    def decide(self, sim: Simulator, carry: Carry) -> Plan:
        """The fractions of this step of the cycle, applied to what is there."""
        p, state = sim.params, carry.state
        row, _ = sim.unpack(carry)
        now = (state.world_row + state.t) % len(self._plan.serve)
        f = Fractions(**{name: x.index_select(0, now) for name, x in vars(self._plan).items()})
        serve = f.serve * state.backlog_mwh
        routed = f.route * row.online_mwh.index_select(1, p.link_source)
        arriving = torch.zeros_like(row.online_mwh).index_add(1, p.link_target, routed)
        return Plan(
            route_mwh=routed,
            serve_online_mwh=row.online_mwh + arriving,
            migrate_mwh=f.migrate * (state.backlog_mwh - serve).index_select(1, p.link_source),
            serve_mwh=serve,
            charge_mwh=f.charge_mwh,
            discharge_mwh=f.discharge_mwh,
            spill_mwh=f.spill * row.inflow_mwh,
            alternative_mwh=f.alternative * serve.sum(-1),
        )

    def _solve(self, sim: Simulator) -> dict[str, NDArray[Any]]:
        params = build_params(sim.scenario, torch.float64)
        years = range(min(TRAIN_YEARS, sim.scenario.years.train))
        bank = build_bank(sim.scenario, params, "train", list(years))
        return {name: x.numpy() for name, x in vars(best_fractions(params, bank, self.reserve)).items()}


def best_fractions(params: Params, bank: WorldBank, reserve: float = RESERVE) -> Fractions:
    """Solve `CYCLES` average cycles in a row and read the middle one, with only `1 − reserve` of every pool to plan on.

    The demand fee of an episode is charged in the share of the episode that these cycles last.
    """
    cycle = math.lcm(params.period, round(24 / params.dt_h))
    steps = CYCLES * cycle
    share = min(1.0, steps / params.steps)
    p = replace(params, steps=steps, demand_fee_cny_per_mw=params.demand_fee_cny_per_mw * share)
    day = bank.table.reshape(-1, cycle, bank.layout.width).mean(0)
    rows, _ = bank.layout.unpack(day.repeat(CYCLES, 1))
    rows = rows._replace(site_availability=rows.site_availability * (1.0 - reserve))
    state = initial_state(p, _mean_backlog(bank, cycle)[None], torch.zeros(1, dtype=torch.int64))
    solved = bound(p, state, rows)
    return _fractions(p, state, rows, solved.plan, slice(cycle, 2 * cycle))


def _mean_backlog(bank: WorldBank, cycle: int) -> Tensor:
    """`[R, K, S]` mean warm backlog of the starts at the beginning of a cycle."""
    return bank.warm_mwh[bank.starts % cycle == 0].mean(0)


def _fractions(p: Params, state: State, rows: Row, plan: Plan, middle: slice) -> Fractions:
    """Shares of the plan `[T, …]`: what it does with a cohort, over the cohort."""
    backlog = _backlogs(p, state, rows, plan)
    phase = torch.arange(p.steps) % p.period
    even = (1.0 / (p.slack[phase] + 1.0)).unsqueeze(1).expand_as(backlog)
    serve = _share(plan.serve_mwh, backlog, even)
    last = (p.slack[phase] == 0).unsqueeze(1)
    serve = torch.where(last, torch.ones_like(serve), serve)
    left = (backlog - plan.serve_mwh).clamp_min(0.0)[:, p.link_source]
    online, served = rows.online_mwh[:, p.link_source], plan.serve_mwh.sum(-1)
    out = Fractions(
        serve=serve,
        migrate=_share(plan.migrate_mwh, left, torch.zeros_like(left)),
        route=_share(plan.route_mwh, online, torch.zeros_like(online)),
        charge_mwh=plan.charge_mwh,
        discharge_mwh=plan.discharge_mwh,
        spill=_share(plan.spill_mwh, rows.inflow_mwh, torch.zeros_like(rows.inflow_mwh)),
        alternative=_share(plan.alternative_mwh, served, torch.zeros_like(served)),
    )
    return Fractions(**{name: x[middle].contiguous() for name, x in vars(out).items()})


def _backlogs(p: Params, state: State, rows: Row, plan: Plan) -> Tensor:
    """`[T, R, K, S]` backlog before each step of the plan."""
    before = [state, *(stepped.state for stepped in replayed(p, state, rows, plan))]
    return torch.stack([s.backlog_mwh[0] for s in before[:-1]])


def _share(part: Tensor, whole: Tensor, otherwise: Tensor) -> Tensor:
    """part/whole within 0…1, and `otherwise` where the whole is next to nothing."""
    return torch.where(whole > LEAST_MWH, (part / whole.clamp_min(LEAST_MWH)).clamp(0.0, 1.0), otherwise)


PLANNERS: dict[str, Callable[[], Policy]] = {"static": Static}
