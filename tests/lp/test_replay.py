"""One physics: the plan of the linear programme costs in the simulator what the programme said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Generator

from greenhop.lp.bound import bound
from greenhop.lp.model import build
from greenhop.lp.replay import replay
from greenhop.lp.solve import Options
from greenhop.lp.window import Terminal, make_window
from greenhop.physics.state import Dispatch, Plan, Row
from tests.lp.windows import Case, random_case, scenario_case, world_case
from tests.strategies import random_plan

SIMPLEX = Options(solver="simplex")


def assert_exact(case: Case, options: Options) -> None:
    result = bound(*case, options)
    assert result.status == "optimal"
    assert abs(result.replay_cost - result.value) <= 1e-6 * abs(result.value)
    assert -1e-9 <= result.relative_gap <= 1e-6
    assert result.lower_bound <= result.value


@pytest.mark.parametrize("seed", range(12))
def test_lp_replay_costs_what_the_lp_said(seed: int) -> None:
    assert_exact(random_case(seed), SIMPLEX if seed % 2 else Options())


@pytest.mark.parametrize("name", ["pair2", "tri3"])
@pytest.mark.parametrize("seed", range(2))
def test_lp_replay_of_a_shipped_scenario_costs_what_the_lp_said(name: str, seed: int) -> None:
    assert_exact(scenario_case(name, seed), Options())


@pytest.mark.parametrize("name", ["pair2", "tri3"])
@pytest.mark.parametrize("episode", range(0, 350, 35))
def test_lp_replay_of_a_generated_day_costs_what_the_lp_said(name: str, episode: int) -> None:
    assert_exact(world_case(name, episode), Options())


@pytest.mark.parametrize(("name", "episode"), [("hub10", 50), ("hub10", 230), ("hub10-direct", 230)])
def test_lp_replay_of_a_day_of_ten_hubs_costs_what_the_lp_said(name: str, episode: int) -> None:
    assert_exact(world_case(name, episode), Options())


def test_every_mechanism_takes_part_in_some_window() -> None:
    seen: set[str] = set()
    for seed in range(8):
        params, state, rows = scenario_case("tri3", seed)
        price = params.owed_price_cny_per_mwh.clamp_min(60.0)
        reserve = params.soc_max_mwh @ params.unit_of_region
        params = replace(params, owed_price_cny_per_mwh=price, firm=1.0 - params.is_csp, reserve_mwh=reserve)
        owed = state._replace(owed_mwh=torch.full_like(state.owed_mwh, 1e4))
        case = Case(params, owed, rows._replace(inflow_mwh=rows.inflow_mwh * 3.0))  # more heat than the store can hold
        result = bound(*case, SIMPLEX)
        dispatch = result.plan.dispatch
        assert dispatch is not None
        parts = {**result.plan._asdict(), **dispatch._asdict()}
        seen |= {name for name, x in parts.items() if isinstance(x, torch.Tensor) and float(x.abs().max()) > 1e-6}
        seen |= {f"price of {name}" for name, y in result.duals.items() if np.abs(y).max() > 1e-6}
    families = build(make_window(*case)).rows.names
    decisions = {*Plan._fields, *Dispatch._fields} - {"dispatch"}
    prices = {f"price of {name}" for name in (*families, "capacity")}
    tiny = {"price of site", "price of alternative"}  # an idle site, and a pool shared at home, are in test_tiny
    assert seen >= decisions | prices - tiny


@pytest.mark.parametrize("seed", range(6))
def test_no_random_plan_beats_the_bound(seed: int) -> None:
    case = random_case(seed)
    lowest = bound(*case, SIMPLEX).lower_bound
    g = Generator().manual_seed(seed)
    for kind in ("zero", "small", "moderate", "wild", "mixed"):
        plan = random_plan(case.params, g, case.params.steps, kind, dispatch=seed % 2 == 0)
        assert replay(*case, plan).total_cny >= lowest


@pytest.mark.parametrize("seed", range(4))
def test_a_window_inside_an_episode_pays_the_terminal_prices_it_is_given(seed: int) -> None:
    params, state, rows = random_case(seed, steps=8)
    rng = np.random.default_rng(seed)
    shape = (params.n_regions, len(params.deferrable), params.n_slots)
    terminal = Terminal(rng.uniform(100, 900, shape), rng.uniform(0, 900, len(params.units)))
    case = Case(replace(params, steps=24), state, rows)
    result = bound(*case, SIMPLEX, terminal)
    assert abs(result.replay_cost - result.value) <= 1e-6 * abs(result.value)


def test_windows_of_an_episode_chain_into_its_cost() -> None:
    params, state, rows = scenario_case("tri3", 1, steps=8)
    whole = bound(params, state, rows, SIMPLEX)
    half = replay(params, state, Row(*(x[:4] for x in rows)), whole.plan)
    rest = bound(params, half.state, Row(*(x[4:] for x in rows)), SIMPLEX)
    assert float(half.cost_cny.sum()) + rest.value == pytest.approx(whole.value, rel=1e-6)
