"""A window that knows what may come after it values peaks and debts by it, exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from greenhop.arrays import Array
from greenhop.lp.model import build
from greenhop.lp.replay import plan_of, replay
from greenhop.lp.solve import Options, solve
from greenhop.lp.window import Later, episode_terminal, make_window, nothing_later
from tests.lp.windows import Case, random_case, world_case

SIMPLEX = Options(solver="simplex")
HOURS = 16  # of a window in an episode of a day


def cut(case: Case) -> Case:
    """The first hours of an episode that goes on."""
    return Case(case.params, case.state, type(case.rows)(*(x[:HOURS] for x in case.rows)))


def with_debts(case: Case, seed: int) -> Case:
    """Every account priced, and something owed or done already."""
    rng = np.random.default_rng(seed)
    p, state = case.params, case.state
    price = p.owed_price_cny_per_mwh.clamp_min(60.0)
    owed = torch.from_numpy(rng.normal(0.0, 300.0, tuple(state.owed_mwh.shape)))
    return Case(replace(p, owed_price_cny_per_mwh=price), state._replace(owed_mwh=owed), case.rows)


def random_later(case: Case, seed: int, futures: int) -> Later:
    rng = np.random.default_rng(seed)
    regions, accounts = case.state.owed_mwh.shape[1:]
    peak = rng.uniform(0.0, 300.0, (regions, futures))
    return Later(peak, rng.normal(0.0, 800.0, (regions, accounts, futures)))


def valued(case: Case, peak: Array, owed: Array, later: Later) -> float:
    """What a peak `[R]` and accounts `[R, A]` cost in the mean of the futures."""
    p = case.params
    paid = np.maximum(peak[:, None], later.peak_mw).mean(axis=-1) @ p.demand_fee_cny_per_mw.numpy()
    short = np.maximum(owed[..., None] + later.owed_mwh, 0.0).mean(axis=-1)
    return float(paid + (short * p.owed_price_cny_per_mwh.numpy()).sum())


def plainly(case: Case, peak: Array, owed: Array) -> float:
    """What the simulator bills for them so far."""
    nothing = nothing_later(case.params)
    return valued(case, peak, owed, nothing)


@pytest.mark.parametrize("futures", [1, 5])
@pytest.mark.parametrize("seed", range(4))
def test_the_programme_says_what_the_plan_costs_in_the_mean_of_the_futures(seed: int, futures: int) -> None:
    case = with_debts(cut(world_case("pair2", 40 + 60 * seed)), seed)
    later, terminal = random_later(case, seed, futures), episode_terminal(case.params)
    window = make_window(*case, terminal, later)
    lp = build(window)
    found = solve(lp, SIMPLEX)
    played = replay(*case, plan_of(window, lp, found.x), terminal)
    begin = [x[0].numpy() for x in (case.state.peak_mw, case.state.owed_mwh)]
    end = [x[0].numpy() for x in (played.state.peak_mw, played.state.owed_mwh)]
    ends = valued(case, end[0], end[1], later) - valued(case, begin[0], begin[1], later)
    billed = plainly(case, end[0], end[1]) - plainly(case, begin[0], begin[1])
    assert lp.objective_cny(found.x) == pytest.approx(played.total_cny - billed + ends, rel=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_no_other_plan_is_cheaper_in_the_mean_of_the_futures(seed: int) -> None:
    """The plan of a window without futures is one of them."""
    case = with_debts(cut(world_case("pair2", 70 + 40 * seed)), seed)
    later, terminal = random_later(case, seed, 5), episode_terminal(case.params)
    costs = []
    for known in (later, None):
        window = make_window(*case, terminal, known)
        lp = build(window)
        played = replay(*case, plan_of(window, lp, solve(lp, SIMPLEX).x), terminal)
        peak, owed = (x[0].numpy() for x in (played.state.peak_mw, played.state.owed_mwh))
        costs.append(played.total_cny - plainly(case, peak, owed) + valued(case, peak, owed, later))
    assert costs[0] <= costs[1] * (1.0 + 1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_futures_alike_are_as_good_as_one(seed: int) -> None:
    case = random_case(seed)
    rows = type(case.rows)(*(x[:6] for x in case.rows))
    one, terminal = random_later(case, seed, 1), episode_terminal(case.params)
    same = Later(*(np.repeat(x, 4, axis=-1) for x in one))
    values = []
    for later in (one, same):
        lp = build(make_window(case.params, case.state, rows, terminal, later))
        values.append(lp.objective_cny(solve(lp, SIMPLEX).x))
    assert values[0] == pytest.approx(values[1], rel=1e-9)


def test_a_pattern_fits_only_as_many_futures() -> None:
    case = cut(world_case("pair2", 40))
    terminal = episode_terminal(case.params)
    three, again, five = (make_window(*case, terminal, random_later(case, s, n)) for s, n in ((1, 3), (2, 3), (3, 5)))
    pattern = build(three).pattern
    assert pattern.fits(again)
    assert not pattern.fits(five)
    assert build(again, pattern).pattern is pattern
