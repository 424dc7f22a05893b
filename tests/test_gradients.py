"""Gradients of the bill through time: finite everywhere, and equal to finite differences away from kinks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from greenhop.physics.state import COST_TERMS, Dispatch, Plan, Row, State
from greenhop.physics.step import step
from tests.strategies import PLAN_KINDS, Case, cast, make_case, random_plan, random_row, random_state

STEPS = 24
WEEK = 168
SIZES = {"regions": 2, "deferrable": 2, "online": 1, "units": 2, "pools": 2}
FIELDS = (*Plan._fields[:-1], *Dispatch._fields)


class Problem:
    """A small fixed world and a base plan for every step; its bill as a function of scaled decisions."""

    def __init__(
        self,
        seed: int,
        kind: str = "moderate",
        dispatch: bool = True,
        steps: int = STEPS,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        self.case: Case = make_case(SIZES, 1.0, seed)
        g, p = Generator().manual_seed(seed), self.case.params
        self.params = p.to(dtype=dtype)
        self.state: State = cast(random_state(p, g, 1), dtype)._replace(t=torch.zeros(1, dtype=torch.int64))
        self.rows: list[Row] = [cast(random_row(p, g, 1), dtype) for _ in range(steps)]
        self.plans: list[Plan] = [cast(random_plan(p, g, 1, kind, dispatch), dtype) for _ in range(steps)]

    def bill(self, change: Any) -> Tensor:
        """The cost summed over the steps under the plans `change(field, step, tensor)`."""
        state, total = self.state, self.params.capacity_mwh.new_zeros(())
        for i, (row, plan) in enumerate(zip(self.rows, self.plans, strict=True)):
            state, flows = step(self.params, state, changed(plan, change, i), row)
            total = total + flows.cost_cny.sum()
        return total


def changed(plan: Plan, change: Any, i: int) -> Plan:
    """The plan with `change(field, i, tensor)` in place of every tensor."""
    power = plan.dispatch
    if power is not None:
        power = Dispatch(*(change(name, i, x) for name, x in power._asdict().items()))
    wishes = {name: change(name, i, getattr(plan, name)) for name in Plan._fields[:-1]}
    return Plan(**wishes, dispatch=power)


def scaled(theta: Tensor) -> Any:
    """Decision scalings: every field times its own entry of `theta`."""
    return lambda name, _, x: x * theta[FIELDS.index(name)]


def shifted(name: str, at: int, by: Tensor) -> Any:
    """One field of one step moved by the tensor `by`."""
    return lambda field, i, x: x + by if field == name and i == at else x


def slopes(cost: Any, point: Tensor, direction: Tensor, h: float) -> tuple[float, float]:
    """Backward and forward differences of `cost` along `direction`."""
    with torch.no_grad():
        low, mid, high = (float(cost(point + k * h * direction)) for k in (-1, 0, 1))
    return (mid - low) / h, (high - mid) / h


def agrees(cost: Any, point: Tensor, direction: Tensor, h: float) -> bool | None:
    """Whether autograd matches central differences to 1e-4; None where the two sides differ, at a kink."""
    leaf = point.clone().requires_grad_()
    (grad,) = torch.autograd.grad(cost(leaf), leaf)
    slope = float((grad * direction).sum())
    before, after = slopes(cost, point, direction, h)
    size = max(1.0, abs(before), abs(after))
    if abs(before - after) > 1e-4 * size:
        return None
    return abs(slope - (before + after) / 2) <= 1e-4 * size


@pytest.mark.parametrize("dispatch", [False, True], ids=["merit_order", "given"])
def test_gradient_of_the_bill_by_decision_scalings_matches_finite_differences(dispatch: bool) -> None:
    smooth = 0
    for seed in range(5):
        problem, g = Problem(seed, dispatch=dispatch), Generator().manual_seed(seed)
        point = 0.5 + torch.rand(len(FIELDS), generator=g, dtype=torch.float64)
        direction = torch.randn(len(FIELDS), generator=g, dtype=torch.float64)
        verdict = agrees(lambda theta, q=problem: q.bill(scaled(theta)), point, direction, 1e-7)
        assert verdict is not False, seed
        smooth += verdict is True
    assert smooth >= 4


@pytest.mark.parametrize("name", FIELDS)
def test_gradient_of_the_bill_by_one_decision_matches_finite_differences(name: str) -> None:
    smooth = 0
    for seed in (0, 1, 5):  # scenarios in which some class has an alternative pool
        problem = Problem(seed, steps=12)
        assert problem.params.diverse
        base = _field(problem.plans[3], name)
        direction = torch.randn(base.shape, generator=Generator().manual_seed(seed), dtype=torch.float64)
        cost = _bill_by_shift(problem, name)
        verdict = agrees(cost, torch.zeros_like(base), direction, 1e-5)
        assert verdict is not False, seed
        smooth += verdict is True
    assert smooth >= 2


def _field(plan: Plan, name: str) -> Tensor:
    holder: Any = plan.dispatch if name in Dispatch._fields else plan
    value: Tensor = getattr(holder, name)
    return value


def _bill_by_shift(problem: Problem, name: str) -> Any:
    return lambda by: problem.bill(shifted(name, 3, by))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("kind", PLAN_KINDS)
def test_gradients_are_finite_for_every_kind_of_plan(kind: str, dtype: torch.dtype) -> None:
    for dispatch in (False, True):
        problem = Problem(1, kind, dispatch, steps=8, dtype=dtype)
        theta = torch.ones(len(FIELDS), dtype=dtype, requires_grad=True)
        (grad,) = torch.autograd.grad(problem.bill(scaled(theta)), theta)
        assert bool(grad.isfinite().all())


def test_gradient_of_a_week_is_finite_and_reaches_the_first_step() -> None:
    problem = Problem(2, steps=WEEK, dispatch=False)
    by = torch.zeros_like(problem.plans[0].serve_mwh, requires_grad=True)
    bill = problem.bill(shifted("serve_mwh", 0, by))
    (grad,) = torch.autograd.grad(bill, by)
    assert bool(grad.isfinite().all())
    assert bool(grad.abs().max() > 0)


def test_one_step_more_of_serving_saves_exactly_the_penalty_of_work_that_is_due() -> None:
    problem = Problem(0, "zero", dispatch=False, steps=1)
    p = problem.params
    last = torch.tensor([p.period - 1])
    state = problem.state._replace(
        world_row=last, backlog_mwh=torch.ones_like(problem.state.backlog_mwh) * 0.01 * p.slots_used
    )
    serve = torch.full_like(problem.plans[0].serve_mwh, 0.001, requires_grad=True)
    row = problem.rows[0]._replace(site_availability=torch.ones_like(problem.rows[0].site_availability))
    _, flows = step(p, state, problem.plans[0]._replace(serve_mwh=serve), row)
    (grad,) = torch.autograd.grad(flows.cost_cny[0, COST_TERMS.index("missed")], serve)
    due = -p.missed_cny_per_mwh.expand(len(p.regions), -1)
    torch.testing.assert_close(grad[0, :, :, 0], due)
    assert not grad[0, :, :, 1:].any()
