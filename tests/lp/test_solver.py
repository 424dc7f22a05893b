"""Numbers change in place, every solver finds the same optimum, and trouble is an error instead of a number."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from greenhop.errors import ConfigError, SolverError
from greenhop.lp import solve as module
from greenhop.lp.bound import bound
from greenhop.lp.model import build
from greenhop.lp.replay import plan_of, replay
from greenhop.lp.solve import Options, Solver, available_solvers, solve
from greenhop.lp.window import Terminal, episode_terminal, make_window
from greenhop.physics.params import Params
from greenhop.physics.state import Row
from greenhop_agents.base.cli import check_shared
from greenhop_agents.benchmark.plan import benchmark_of
from tests.lp.windows import Case, random_case, scenario_case, tiny_case, tiny_params, world_case

BENCHMARK = {"name": "test", "agents": ["stay"], "seeds": [0], "episodes": 1}


@pytest.mark.parametrize("solver", ["ipx", "simplex"])
def test_changing_numbers_in_place_equals_a_fresh_solve(solver: str) -> None:
    first, second = scenario_case("tri3", 0), scenario_case("tri3", 1)
    second = second._replace(state=second.state._replace(world_row=first.state.world_row))
    second = Case(second.params, second.state._replace(backlog_mwh=first.state.backlog_mwh), second.rows)
    programmes = [build(make_window(*case)) for case in (first, second, first)]
    assert programmes[0].same_shape(programmes[1])
    assert not np.array_equal(programmes[0].value, programmes[1].value)  # PUE moves coefficients, too
    kept = Solver(Options(solver=solver))  # type: ignore[arg-type]
    for lp in programmes:
        kept.set(lp)
        assert lp.objective_cny(kept.run().x) == pytest.approx(lp.objective_cny(solve(lp).x), rel=1e-7)


def test_a_solver_that_the_wheel_lacks_is_refused_and_the_others_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    there = available_solvers()
    assert {"ipx", "simplex", "pdlp"} <= set(there)
    monkeypatch.setattr(module, "available_solvers", lambda: ("ipx", "simplex"))
    said = r"solver 'hipo' is not part of the installed highspy; available: ipx, simplex"
    with pytest.raises(ConfigError, match=said):
        Solver(Options(solver="hipo"))
    with pytest.raises(ConfigError, match=rf"^solver\.name = 'hipo': {said}"):
        check_shared({"solver": {"name": "hipo"}}, "bound.yaml")
    with pytest.raises(ConfigError, match=rf"^solver = 'hipo': {said}"):
        benchmark_of(OmegaConf.create({"benchmark": {**BENCHMARK, "solver": "hipo"}}))


@pytest.mark.parametrize("solver", available_solvers())
def test_every_solver_that_is_offered_solves(solver: str) -> None:
    lp = build(make_window(*scenario_case("pair2", 0, steps=4)))
    options = Options(solver=solver, tolerance=1e-6)  # type: ignore[arg-type]
    assert lp.objective_cny(solve(lp, options).x) == pytest.approx(lp.objective_cny(solve(lp).x), rel=1e-4)


def test_a_window_of_another_shape_is_loaded_anew() -> None:
    kept = Solver(Options(solver="simplex"))
    for steps in (4, 6, 4):
        lp = build(make_window(*scenario_case("pair2", 0, steps=steps)))
        kept.set(lp)
        assert lp.objective_cny(kept.run().x) == pytest.approx(lp.objective_cny(solve(lp).x), rel=1e-7)


def test_a_receding_window_starts_from_the_basis_moved_along() -> None:
    params, state, rows = world_case("tri3", 40, steps=30)
    warm, iterations = Solver(Options(solver="simplex")), {"warm": 0, "cold": 0}
    for t in range(6):
        window = make_window(params, state, Row(*(x[t : t + 20] for x in rows)), episode_terminal(params))
        lp = build(window)
        warm.advance(lp)
        cold, moved = solve(lp, Options(solver="simplex")), warm.run()
        assert lp.objective_cny(moved.x) == pytest.approx(lp.objective_cny(cold.x), rel=1e-7)
        iterations["warm"] += moved.iterations
        iterations["cold"] += cold.iterations
        plan = plan_of(window, lp, moved.x)
        state = replay(params, state, Row(*(x[t : t + 1] for x in rows)), plan).state
    assert iterations["warm"] < 0.7 * iterations["cold"]


def test_a_known_pattern_takes_the_numbers_of_another_window() -> None:
    params, state, rows = world_case("tri3", 40, steps=80)
    cheaper = replace(params, demand_fee_cny_per_mw=0.3 * params.demand_fee_cny_per_mw)
    day = [Row(*(x[t : t + params.period] for x in rows)) for t in (0, params.period, 1)]
    first = build(make_window(params, state, day[0], episode_terminal(params)))
    later = state._replace(t=state.t + params.period)
    window = make_window(cheaper, later, day[1], episode_terminal(params))
    filled, fresh = build(window, first.pattern), build(window)
    assert filled.pattern is first.pattern
    assert not np.array_equal(filled.value, first.value)  # PUE
    for name in ("row", "column", "value", "cost", "col_lower", "col_upper", "implied", "row_lower", "row_upper"):
        assert np.array_equal(getattr(filled, name), getattr(fresh, name))
    assert filled.offset == fresh.offset


def test_a_pattern_of_another_phase_or_scenario_is_not_used() -> None:
    params, state, rows = world_case("tri3", 40, steps=80)
    first = build(make_window(params, state, Row(*(x[:24] for x in rows)), episode_terminal(params)))
    free = replace(params, demand_fee_cny_per_mw=0.0 * params.demand_fee_cny_per_mw)
    slow = replace(params, restart_overhead=2.0 * params.restart_overhead)
    for p, t in ((params, 1), (free, 0), (slow, 0)):
        empty = state._replace(t=state.t + t, backlog_mwh=0.0 * state.backlog_mwh)
        window = make_window(p, empty, Row(*(x[t : t + 24] for x in rows)), episode_terminal(p))
        assert build(window, first.pattern).pattern is not first.pattern


def test_numbers_of_windows_at_one_phase_never_change_the_shape() -> None:
    calm = random_case(3)
    names = ("green_mwh", "ppa_mwh", "site_availability", "online_mwh")
    dark = calm.rows._replace(**{name: torch.zeros_like(getattr(calm.rows, name)) for name in names})
    assert build(make_window(*calm)).same_shape(build(make_window(calm.params, calm.state, dark)))


@pytest.mark.parametrize("options", [Options(presolve=False), Options(crossover=True), Options(solver="simplex")])
def test_options_do_not_change_the_optimum(options: Options) -> None:
    case = scenario_case("pair2", 4)
    assert bound(*case, options).value == pytest.approx(bound(*case).value, rel=1e-7)


def test_the_time_limit_is_an_error() -> None:
    case = scenario_case("hub10", 0, steps=24)
    with pytest.raises(SolverError, match=r"ipx ended with .*ime limit.*raise time_limit_s = 0\.01"):
        bound(*case, Options(time_limit_s=0.01))


@pytest.mark.parametrize("solver", ["ipx", "simplex"])
def test_an_infeasible_window_is_an_error(solver: str) -> None:
    case = scenario_case("pair2", 0)
    overfull = case.state._replace(soc_mwh=case.params.soc_max_mwh[None] * 9.0)
    with pytest.raises(SolverError, match="nfeasible"):
        bound(case.params, overfull, case.rows, Options(solver=solver))  # type: ignore[arg-type]


def test_a_loose_solution_is_refused() -> None:
    case = scenario_case("tri3", 0)
    with pytest.raises(SolverError, match="certified gap"):
        bound(*case, Options(tolerance=1e-1, max_gap=1e-9))


def test_nan_in_the_rows_is_an_error() -> None:
    case = scenario_case("pair2", 0)
    rows = case.rows._replace(grid_price_cny_per_mwh=case.rows.grid_price_cny_per_mwh * float("nan"))
    with pytest.raises(SolverError, match="family 'import' is NaN"):
        bound(case.params, case.state, rows)


def terminal_of(params: Params) -> Terminal:
    return Terminal(np.zeros((params.n_regions, len(params.deferrable), params.n_slots)), np.zeros(len(params.units)))


def test_terminal_prices_are_needed_before_the_end_and_forbidden_at_it() -> None:
    params, state, rows = scenario_case("pair2", 0)
    with pytest.raises(ConfigError, match="terminal prices must be given"):
        bound(replace(params, steps=24), state, rows)
    with pytest.raises(ConfigError, match="belong to the episode"):
        bound(params, state, rows, terminal=terminal_of(params))


def test_a_window_starts_from_one_state_with_work_in_slots_in_use() -> None:
    params, state, rows = tiny_case(tiny_params(), [[1.0], [1.0]], [[0.0]])
    batch = type(state)(*(torch.cat([x, x]) for x in state))
    with pytest.raises(ConfigError, match="batch of 2"):
        bound(params, batch, Row(*rows))
    params, state, rows = scenario_case("pair2", 0)
    outside = torch.ones_like(state.backlog_mwh)
    with pytest.raises(ConfigError, match="slot that its class does not use"):
        bound(params, state._replace(backlog_mwh=outside), rows)
