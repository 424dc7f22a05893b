"""Certified optima of weighted objectives over many episodes, kept on disk, and the price that keeps a budget.

For every price λ ≥ 0 the mean over episodes of min(bill + λ·used) − λ·limit is a lower bound on the mean bill of all
policies that keep the budget on average (weak duality); programmes are linear, so that the best price makes it exact.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from greenhop.cache import cached, key_of, source_key
from greenhop.episode.budgets import Budget
from greenhop.episode.simulator import Simulator
from greenhop.errors import SolverError
from greenhop.lp.solve import Options
from greenhop.lp.trade_off import Point, optimum, weighted
from greenhop.physics.objectives import OBJECTIVES
from greenhop.physics.rewards import REPORTED
from greenhop_agents.scoring.bounds import Facts, Task, episode_window
from greenhop_agents.scoring.evaluate import Progress

CLOSE = 1e-5  # relative width of the bracket around a budget's optimum at which the search ends
FIRST_STEP = 0.1  # of a step's cost over what it uses: the first price tried beyond 0
MOST_PRICES = 24  # tried for one budget


class MeanPoint(NamedTuple):
    """Means over episodes for one choice of weights."""

    lower_bound: float  # of the weighted sum, CNY
    totals: dict[str, float]  # of the optimal plans


def mean_optimum(
    sim: Simulator,
    starts: Sequence[int],
    prices: Mapping[str, float],
    bill: float = 1.0,
    share: float = 0.0,
    progress: Progress | None = None,
) -> MeanPoint:
    """The optimum of each episode from `starts` for these weights, averaged; every one is kept on disk.

    Without a bill (`bill=0`) only the bound counts: a programme to which money is nothing leaves load unserved that
    every site would meet from the grid, so that its plan, replayed, may use more than it said.

    Raises:
        SolverError: for the first episode that is not solved and certified.
    """
    points, options = [], Options() if bill else Options(max_gap=math.inf)
    for done, start in enumerate(starts, 1):
        task = Task(*episode_window(sim, int(start)), options)
        key = key_of(task.key, dict(prices), bill, share, source_key("lp", "physics"))
        points.append(_point(cached(f"optima/{sim.params.name}", key, partial(_solved, task, prices, bill, share))))
        if progress:
            progress(done, len(starts))
    names = points[0].totals
    totals = {name: float(np.mean([p.totals[name] for p in points])) for name in names}
    return MeanPoint(float(np.mean([p.lower_bound for p in points])), totals)


def _solved(task: Task, prices: Mapping[str, float], bill: float, share: float) -> Facts:
    point = optimum(task.params, task.state, task.rows, prices, bill, share, task.options)
    return {"lower": np.array(point.lower_bound), "totals": np.array(list(point.totals.values()))}


def _point(facts: Facts) -> Point:
    names = dict.fromkeys((*OBJECTIVES, *REPORTED))  # some are both
    return Point(float(facts["lower"]), dict(zip(names, facts["totals"].tolist(), strict=True)))


class BudgetOptimum(NamedTuple):
    """The best that a policy can do which keeps a budget on average over these episodes."""

    lower_bound_cny: float  # certified: no such policy has a smaller mean bill
    attained_cny: float  # mean bill of a mixture of two optimal plans that keeps the budget
    price_cny: float  # the multiplier: what a unit more of the budget would save
    free_cny: float  # mean bill of the optimum without the budget
    free_used: float  # and what it uses


def budget_optimum(
    sim: Simulator, starts: Sequence[int], budget: Budget, progress: Progress | None = None
) -> BudgetOptimum:
    """Search the price of a budget: tangents of the concave dual function, from both sides.

    Args:
        sim: the simulator.
        starts: `[B]` indices into `sim.bank.starts`.
        budget: what an episode may use on average.
        progress: called with (prices tried, most) after each.

    Raises:
        SolverError: an episode is not solved, or no price makes the optimum keep the budget: it cannot be kept.
    """

    def at(price: float) -> tuple[float, float, float]:
        """Certified dual value, mean bill and what is used at a price."""
        point = mean_optimum(sim, starts, {budget.name: price} if price else {}, share=budget.share)
        prices, empty = {budget.name: 1.0}, {**point.totals, "cost_cny": 0.0}
        used = weighted(empty, prices, share=budget.share)
        return point.lower_bound - price * budget.limit, point.totals["cost_cny"], used

    _, free_cny, free_used = low = at(0.0)
    if free_used <= budget.limit:
        return BudgetOptimum(low[0], free_cny, 0.0, free_cny, free_used)
    tried, best, price = 1, (low[0], 0.0), FIRST_STEP * sim.params.cost_scale_cny / budget.unit
    high = at(price)
    while high[2] > budget.limit and tried < MOST_PRICES:
        low, best, price, tried = high, max(best, (high[0], price)), 3.0 * price, tried + 1
        high = at(price)
    if high[2] > budget.limit:
        raise SolverError(
            f"{budget.name}: {high[2]:.6g} is used at a price of {price:.3g} CNY, more than the limit "
            f"{budget.limit:.6g}: no plan keeps it"
        )
    best = max(best, (high[0], price))
    while True:
        mix = (low[2] - budget.limit) / (low[2] - high[2])  # of the plans that keep it, so that it is just used up
        attained = low[1] + mix * (high[1] - low[1])
        slope = (high[1] - low[1]) / (low[2] - high[2])  # both plans cost alike at this price
        if progress:
            progress(min(tried, MOST_PRICES), MOST_PRICES)
        if attained - best[0] <= CLOSE * abs(best[0]) or tried >= MOST_PRICES:
            return BudgetOptimum(best[0], attained, slope, free_cny, free_used)
        middle, tried = at(slope), tried + 1
        best = max(best, (middle[0], slope))
        if min(abs(middle[2] - low[2]), abs(middle[2] - high[2])) < 1e-9 * abs(low[2]):
            return BudgetOptimum(best[0], attained, slope, free_cny, free_used)
        low, high = (middle, high) if middle[2] > budget.limit else (low, middle)
