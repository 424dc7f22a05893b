"""Merged steps keep energies, work and deadlines; single steps change nothing."""

from __future__ import annotations

import numpy as np
import pytest

from greenhop.errors import ConfigError
from greenhop.lp.coarse import block_steps, coarsen, spans
from greenhop.lp.model import build
from greenhop.lp.solve import Options, solve
from greenhop.lp.window import Window, make_window
from tests.lp.windows import scenario_case, world_case


def window() -> Window:
    return make_window(*world_case("pair2", 30))


def test_single_steps_change_nothing() -> None:
    w = window()
    same = build(coarsen(w, np.ones(w.steps, dtype=np.int64)))
    lp = build(w)
    assert same.same_shape(lp)
    assert np.allclose(same.value, lp.value)
    assert np.allclose(same.row_upper[np.isfinite(lp.row_upper)], lp.row_upper[np.isfinite(lp.row_upper)])
    assert np.allclose(same.cost, lp.cost)


def test_blocks_begin_where_slots_close_and_cover_the_window() -> None:
    w = window()
    span = spans(w, 6)
    assert block_steps(w) == 4
    assert span.sum() == w.steps
    begins = (int(w.phase[0]) + np.cumsum(span)[span > 1] - span[span > 1]) % 4
    assert (begins == 0).all()
    assert (span[:6] == 1).all()


def test_energy_and_work_are_those_of_the_steps() -> None:
    w = window()
    coarse = coarsen(w, spans(w, 6))
    assert coarse.row.green_mwh.sum() == pytest.approx(w.row.green_mwh.sum())
    assert coarse.limit_mwh.sum() == pytest.approx(w.limit_mwh.sum())
    assert coarse.room_mwh.sum() == pytest.approx(w.room_mwh.sum())
    work = [x.backlog_mwh.sum() + x.joining_mwh.sum() for x in (w, coarse)]
    assert work[0] == pytest.approx(work[1])


@pytest.mark.parametrize("name", ["pair2", "tri3"])
def test_a_coarse_window_is_smaller_and_optimistic(name: str) -> None:
    """Inside a block work moves and runs at once, past what the links of its single hours would carry in time."""
    w = make_window(*world_case(name, 100))
    fine, coarse = build(w), build(coarsen(w, spans(w, 6)))
    costs = [lp.objective_cny(solve(lp, Options(solver="simplex")).x) for lp in (fine, coarse)]
    assert 0.78 * costs[0] < costs[1] < costs[0]
    assert coarse.columns.size < 0.7 * fine.columns.size


def test_a_deadline_inside_a_snapshot_is_refused() -> None:
    w = make_window(*scenario_case("pair2", 0))
    with pytest.raises(ConfigError, match="deadline falls inside"):
        coarsen(w, np.array([w.steps]))
    with pytest.raises(ConfigError, match="do not cover"):
        coarsen(w, np.array([w.steps + 1]))
