"""The torch step against its plain twin, and the deadline clock against its formulas."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenhop.scenario.config import ScenarioConfig
from greenhop.scenario.find import load_scenario, scenario_names
from greenhop.scenario.join import build_params
from tests.reference.twin import ClassClock, clock_tables, from_params, join_slot, slack_of, twin_step, unbatch
from tests.strategies import PLAN_KINDS, Case, Record, cases, rollout

TOLERANCE = 1e-9


def assert_same(torch_side: SimpleNamespace, twin_side: SimpleNamespace, size: float, where: str) -> None:
    """Every field within `TOLERANCE` of its largest entry or of `size`, whichever is larger."""
    assert vars(torch_side).keys() == vars(twin_side).keys()
    for name, ours in vars(torch_side).items():
        theirs = np.asarray(getattr(twin_side, name), dtype=np.float64)
        assert np.shape(ours) == theirs.shape, name
        allowed = TOLERANCE * max(size, float(np.abs(theirs).max(initial=0.0)))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=allowed, err_msg=f"{name} {where}")


def check_against_twin(case: Case, records: list[Record], batch: int) -> None:
    p = from_params(case.params, case.scenario)
    size = float(p.capacity_mwh.sum())
    for b in range(batch):
        state = unbatch(records[0].state, b)
        for i, record in enumerate(records):
            state, flows = twin_step(p, state, unbatch(record.plan, b), unbatch(record.row, b))
            assert_same(unbatch(record.flows, b), flows, size, f"flow of step {i}, env {b}")
            assert_same(unbatch(record.after, b), state, size, f"state after step {i}, env {b}")


@given(case=cases(), kind=st.sampled_from(["mixed", *PLAN_KINDS]))
@settings(max_examples=40, derandomize=True, deadline=None)
def test_step_equals_its_twin_over_many_steps(case: Case, kind: str) -> None:
    check_against_twin(case, rollout(case, kind, steps=6, batch=2), batch=2)


@given(case=cases())
@settings(max_examples=3, derandomize=True, deadline=None)
def test_step_equals_its_twin_over_two_days_of_mixed_plans(case: Case) -> None:
    check_against_twin(case, rollout(case, steps=48, batch=1), batch=1)


def assert_clock_follows(scenario: ScenarioConfig) -> None:
    params, derived = build_params(scenario), clock_tables(scenario)
    assert params.period == derived["period"]
    np.testing.assert_array_equal(params.slots_used.numpy(), derived["slots_used"])
    used = derived["slots_used"][None]  # elsewhere nothing ever waits
    for name in ("slack", "rate_limit"):
        np.testing.assert_allclose(getattr(params, name).numpy() * used, derived[name] * used, rtol=1e-6)
    for name in ("joins", "closes", "movable"):
        np.testing.assert_array_equal(getattr(params, name).numpy(), derived[name])


@given(case=cases())
@settings(max_examples=60, derandomize=True, deadline=None)
def test_clock_tables_follow_from_windows_and_quanta(case: Case) -> None:
    assert_clock_follows(case.scenario)


@pytest.mark.parametrize("name", scenario_names())
def test_clock_tables_of_shipped_scenarios_follow_from_windows_and_quanta(name: str) -> None:
    assert_clock_follows(load_scenario(name))


@pytest.mark.parametrize(("tau", "slack", "join"), [(0, 2, 1), (1, 1, 2), (2, 0, 2), (3, 2, 1), (23, 0, 2)])
def test_clock_of_a_window_of_seven_and_quantum_of_three_is_as_typed(tau: int, slack: int, join: int) -> None:
    clock = ClassClock(window=7, quantum=3, rate_per_step=0.1)
    assert slack_of(clock, tau, 0) == slack
    assert join_slot(clock, tau) == join


@given(window=st.integers(1, 40), quantum=st.integers(1, 12), tau=st.integers(0, 10_000))
@settings(max_examples=100, derandomize=True, deadline=None)
def test_work_never_waits_longer_than_its_window_nor_a_quantum_less(window: int, quantum: int, tau: int) -> None:
    clock = ClassClock(max(window, quantum), quantum, 0.1)
    waits = slack_of(clock, tau, join_slot(clock, tau))
    assert clock.window - quantum < waits <= clock.window
