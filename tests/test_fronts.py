"""Trade-offs: areas typed in by hand, the certified front, and the optimum that keeps a budget."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch.utils.tensorboard import SummaryWriter

from greenhop.episode.budgets import Budgets
from greenhop.episode.simulator import Simulator
from greenhop.errors import ConfigError, SolverError
from greenhop_agents.policies.mpc import Mpc, MpcSettings
from greenhop_agents.policies.rules import PriceFollow
from greenhop_agents.report.budget_figure import budget_curves, draw_budget
from greenhop_agents.report.front_figure import draw_front, edge
from greenhop_agents.scoring.fronts import (
    Line,
    hypervolume,
    lower_hull,
    mixed_hypervolume,
    outer_corners,
    outer_hypervolume,
    undominated,
)
from greenhop_agents.scoring.optima import budget_optimum, mean_optimum
from greenhop_agents.studies.budgets import BudgetsConfig, budget_study
from greenhop_agents.studies.pareto import ParetoConfig, pareto, paying, place
from tests.sims import day_sim

STARTS = [10, 300]


def test_areas_are_those_of_a_drawing_by_hand() -> None:
    points = [(1.0, 3.0), (2.0, 1.0), (2.5, 2.0), (1.0, 4.0)]
    assert undominated(points) == [(1.0, 3.0), (2.0, 1.0)]
    assert hypervolume(points, (4.0, 4.0)) == pytest.approx(3.0 * 1.0 + 2.0 * 2.0)
    assert hypervolume([(5.0, 0.0)], (4.0, 4.0)) == 0.0
    assert mixed_hypervolume(points, (4.0, 4.0)) == pytest.approx(7.0 + 0.5 * 1.0 * 2.0)  # and the triangle between
    assert lower_hull([(0.0, 3.0), (1.0, 2.5), (2.0, 0.0)]) == [(0.0, 3.0), (2.0, 0.0)]


def test_half_planes_bound_the_area_from_outside() -> None:
    lines = [Line(1.0, 1.0, 4.0)]  # x + y ≥ 4 in the square from 1 to 4
    assert outer_hypervolume(lines, (4.0, 4.0), (1.0, 1.0)) == pytest.approx(9.0 - 2.0)
    assert outer_corners(lines, (4.0, 4.0), (1.0, 1.0)) == [(1.0, 3.0), (1.0, 4.0), (3.0, 1.0), (4.0, 1.0)]


def test_the_edge_of_what_can_be_reached_is_walked_without_turning_back() -> None:
    corners = outer_corners([Line(1.0, 1.0, 4.0)], (4.0, 4.0), (1.0, 1.0))
    assert edge(np.array(corners)).tolist() == [[1.0, 4.0], [1.0, 3.0], [3.0, 1.0], [4.0, 1.0]]


@pytest.fixture(scope="module")
def sim() -> Simulator:
    return day_sim("pair2")


def config(**changes: object) -> ParetoConfig:
    given = {"objective": "carbon_kg", "prices": [0.2, 1.0, 5.0], "following": ["price_follow"], "policies": ["stay"]}
    return ParetoConfig.model_validate({**given, **changes})


def test_no_policy_is_beyond_the_certified_front_and_optimal_plans_nearly_are_it(
    sim: Simulator, tmp_path: Path
) -> None:
    found = pareto(sim, STARTS, config())
    assert 0.0 < found.area("price_follow") < found.inner_area <= found.outer_area * (1 + 1e-9)
    denser = pareto(sim, STARTS, config(prices=[0.05, 0.1, 0.2, 0.4, 1.0, 2.0, 5.0]))
    gaps = [1.0 - f.inner_area / f.outer_area for f in (found, denser)]
    assert gaps[1] < gaps[0] < 0.05, "more prices leave less between inside and outside"
    for x, y in [*found.reached["price_follow"], *found.reached["stay"]]:
        for price in (0.2, 1.0, 5.0):
            assert x + price * y > mean_optimum(sim, STARTS, {"carbon_kg": price}).lower_bound
    carbon = [y for _, y in found.reached["price_follow"]]
    assert carbon[-1] < carbon[0], "who must pay more for carbon emits less"
    draw_front(found, "a front", tmp_path / "front.png")
    assert (tmp_path / "front.png").stat().st_size > 10_000


def test_the_least_carbon_is_bounded_on_a_day_whose_plan_leaves_load_unserved(sim: Simulator) -> None:
    least, paid = (mean_optimum(sim, [173], {"carbon_kg": 5.0}, bill=bill) for bill in (0.0, 1.0))
    assert least.lower_bound < 0.9 * 5.0 * least.totals["carbon_kg"], "the plan emits more than the programme said"
    assert 0.0 < least.lower_bound < 5.0 * paid.totals["carbon_kg"]


def test_policies_that_make_a_front_together_share_their_hypervolume(sim: Simulator) -> None:
    found = pareto(sim, STARTS, config(prices=[1.0], following=[], learned={"both": ["stay", "price_follow"]}))
    follow = place(sim, PriceFollow(), STARTS, "carbon_kg")
    assert found.reached["both"] == sorted([*found.reached["stay"], follow])
    assert found.area("both") >= found.area("stay")
    assert found.as_row()["share_of_certified"]["both"] > 0.0


def test_an_operator_who_pays_for_an_objective_is_billed_without_it(sim: Simulator) -> None:
    for objective, price in (("carbon_kg", 1.0), ("missed_mwh", 1e3), ("green_short_mwh", 200.0)):
        dear = paying(sim, {objective: price})
        same = place(dear, PriceFollow(), STARTS, objective, price)
        again = place(dear, PriceFollow(), STARTS, objective)
        assert again[0] == pytest.approx(same[0] + price * same[1], rel=1e-6)
        assert same[1] == again[1]
    with pytest.raises(ConfigError, match="no objective beside the bill"):
        paying(sim, {"cost_cny": 1.0})


def test_a_planner_told_of_a_price_emits_less(sim: Simulator) -> None:
    def emits(price: float) -> float:
        planner = Mpc(settings=MpcSettings(horizon_h=6), prices={"carbon_kg": price} if price else {})
        return place(paying(sim, {"carbon_kg": price}), planner, STARTS[:1], "carbon_kg", price)[1]

    assert emits(3.0) < emits(0.0)


def test_the_optimum_under_a_budget_is_certified_and_its_price_is_the_multiplier(sim: Simulator) -> None:
    free = mean_optimum(sim, STARTS, {}).totals
    (budget,) = Budgets(carbon_kg=0.8 * free["carbon_kg"]).listed(sim.params)
    found = budget_optimum(sim, STARTS, budget)
    assert found.free_used == pytest.approx(free["carbon_kg"])
    assert found.lower_bound_cny <= found.attained_cny
    assert found.attained_cny - found.lower_bound_cny < 1e-3 * abs(found.lower_bound_cny)
    assert found.free_cny < found.lower_bound_cny
    assert found.price_cny > 0.0
    (tighter,) = Budgets(carbon_kg=0.795 * free["carbon_kg"]).listed(sim.params)
    dearer = budget_optimum(sim, STARTS, tighter)
    saved = (dearer.attained_cny - found.attained_cny) / (budget.limit - tighter.limit)
    assert saved == pytest.approx(found.price_cny, rel=0.25), "what a kg less costs is its price"


def test_a_green_share_that_holds_anyway_is_free_and_one_that_cannot_hold_is_said(sim: Simulator) -> None:
    (easy,) = Budgets(green_share=0.01).listed(sim.params)
    found = budget_optimum(sim, STARTS, easy)
    assert (found.price_cny, found.free_cny) == (0.0, found.attained_cny)
    (hopeless,) = Budgets(carbon_kg=1.0).listed(sim.params)
    with pytest.raises(SolverError, match="no plan keeps it"):
        budget_optimum(sim, STARTS[:1], hopeless)


def test_policies_are_told_whether_they_keep_a_budget(sim: Simulator) -> None:
    free = mean_optimum(sim, STARTS, {}).totals
    wanted = {"constraints": {"carbon_kg": 0.7 * free["carbon_kg"]}, "policies": ["price_follow"]}
    study = budget_study(sim, STARTS, BudgetsConfig.model_validate(wanted))
    (row,) = study.policies
    assert not row.kept
    assert row.used > study.budget.limit
    assert np.isfinite(study.as_row()["attained_cny"])
    with pytest.raises(ConfigError, match="exactly one budget"):
        budget_study(sim, STARTS, BudgetsConfig.model_validate({"constraints": {}, "policies": []}))


def run_folder(path: Path, **tags: float) -> Path:
    """A folder with two points of every curve."""
    log = SummaryWriter(str(path / "tensorboard"))
    for step in (1000, 2000):
        for tag, value in tags.items():
            log.add_scalar(tag.replace("__", "/"), value * step / 1000, step)
    log.close()
    return path


def test_a_budget_is_drawn_from_what_runs_wrote_while_they_learnt(sim: Simulator, tmp_path: Path) -> None:
    limit = 0.9 * mean_optimum(sim, STARTS, {}).totals["carbon_kg"]
    study = budget_study(
        sim, STARTS, BudgetsConfig.model_validate({"constraints": {"carbon_kg": limit}, "policies": []})
    )
    free = run_folder(tmp_path / "free", env__carbon_kg=2.5e6)
    kept = run_folder(tmp_path / "kept", env__carbon_kg=2.1e6, train__price_carbon_kg_cny=0.1)
    told = budget_curves(["stay", str(free), str(kept)], "carbon_kg")
    assert list(told) == ["free", "kept"]
    assert set(told["free"]) == {"used"}
    np.testing.assert_allclose(told["kept"]["price"].values, [0.1, 0.2], rtol=1e-6)
    assert told["kept"]["used"].steps.tolist() == [1000, 2000]
    np.testing.assert_allclose(told["kept"]["used"].smooth().values, [2.1e6, 3.15e6], rtol=1e-6)
    draw_budget(study, told, "a budget", tmp_path / "budget.png")
    assert (tmp_path / "budget.png").stat().st_size > 10_000


def test_a_budget_that_no_curve_tells_of_is_not_drawn(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "other", env__missed_mwh=1.0)
    for policies, name, said in (
        (["stay"], "carbon_kg", "no run folder among policies"),
        ([str(run)], "carbon_kg", "has no curve env/carbon_kg"),
        ([str(run)], "green_lack_mwh", "no curve tells of green_lack_mwh"),
    ):
        with pytest.raises(ConfigError, match=said):
            budget_curves(policies, name)
