"""One point of a certified trade-off: the least that a weighted sum of objectives can be, and a plan for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch

from greenhop.errors import SolverError
from greenhop.lp.certificate import certify
from greenhop.lp.model import build
from greenhop.lp.objectives import priced
from greenhop.lp.replay import plan_of, replayed
from greenhop.lp.solve import Options, solve
from greenhop.lp.window import make_window
from greenhop.physics.objectives import OBJECTIVES, objectives
from greenhop.physics.params import Params
from greenhop.physics.rewards import REPORTED, report
from greenhop.physics.state import Plan, Row, State


class Point(NamedTuple):
    """The optimum of an episode for one choice of weights."""

    lower_bound: float  # proven, CNY: no policy's weighted sum is less
    totals: dict[str, float]  # what the optimal plan comes to in the simulator: OBJECTIVES and REPORTED


def weighted(totals: Mapping[str, float], prices: Mapping[str, float], bill: float = 1.0, share: float = 0.0) -> float:
    """`bill`·cost + Σ price·quantity of an episode's totals, CNY."""
    known = {**totals, "green_lack_mwh": share * totals["facility_mwh"] - totals["green_used_mwh"]}
    return bill * totals["cost_cny"] + sum(price * known[name] for name, price in prices.items())


def optimum(
    params: Params,
    state: State,
    rows: Row,
    prices: Mapping[str, float],
    bill: float = 1.0,
    share: float = 0.0,
    options: Options = Options(),  # noqa: B008 (frozen)
) -> Point:
    """Solve, certify and replay a whole episode for these weights, all in float64.

    Args:
        params: what a step needs.
        state: a batch of one, before the first step of the episode.
        rows: the world, snapshots `[T, …]` where a step has its batch.
        prices: CNY per unit of a quantity, see `greenhop.lp.objectives.counted`.
        bill: weight of the bill.
        share: of consumption that is to be green, for `green_lack_mwh`.
        options: of the solver.

    Raises:
        SolverError: infeasible, out of time, or a certified gap above `options.max_gap`.
        ConfigError: negative weights or an unknown quantity.
    """
    window = make_window(params, state, rows)
    lp = priced(build(window), window, prices, bill, share)
    solution = solve(lp, options)
    lower = certify(lp, solution.y).lower_bound_cny
    totals = _totals(params, state, rows, plan_of(window, lp, solution.x))
    value = weighted(totals, prices, bill, share)
    if not value - lower <= options.max_gap * max(abs(lower), params.cost_scale_cny):
        raise SolverError(
            f"{options.solver} ended '{solution.status}' {value - lower:.0f} CNY above the certified {lower:.0f} CNY "
            f"with prices {dict(prices)}: tighten the tolerance or try another solver"
        )
    return Point(lower, totals)


def _totals(params: Params, state: State, rows: Row, plan: Plan) -> dict[str, float]:
    """Objectives and reported quantities of a plan, summed over its steps."""
    sums = torch.zeros(len(OBJECTIVES) + len(REPORTED), dtype=params.dtype)
    owed = state.owed_mwh
    for stepped in replayed(params, state, rows, plan):
        told = report(params, stepped.flows)
        sums += torch.cat((objectives(params, told, owed, stepped.state.owed_mwh), told), dim=-1)[0]
        owed = stepped.state.owed_mwh
    return dict(zip((*OBJECTIVES, *REPORTED), sums.tolist(), strict=True))
