"""Cases small enough to solve by hand, with the answers typed in, and the same programme written twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from greenhop.lp.bound import Bound, bound
from greenhop.lp.solve import Options
from greenhop.physics.params import Params
from tests.lp.naive import naive_bound
from tests.lp.windows import Case, owed_price, random_case, scenario_case, tiny_case, tiny_params


def exact(case: Case) -> Bound:
    result = bound(*case, Options(solver="simplex"))
    assert result.replay_cost == pytest.approx(result.value, abs=1e-6)
    assert result.lower_bound == pytest.approx(result.value, abs=1e-3)
    return result


def test_work_waits_for_the_cheap_hour() -> None:
    case = tiny_case(tiny_params(), price=[[100.0], [50.0]], backlog=[[0.0, 8.0]])
    result = exact(case)
    assert result.value == pytest.approx(8 * 50)
    assert result.plan.serve_mwh[:, 0, 0].flatten().nonzero().flatten().tolist() == [3]  # second hour, slot 0


def test_a_full_pool_spills_into_the_dear_hour_and_has_a_rent() -> None:
    case = tiny_case(tiny_params(), price=[[100.0], [50.0]], backlog=[[0.0, 14.0]])
    result = exact(case)
    assert result.value == pytest.approx(10 * 50 + 4 * 100)
    assert result.duals["capacity"][1, 0, 0] == pytest.approx(50.0)
    assert result.duals["power"][:, 0] == pytest.approx([100.0, 50.0])
    assert result.duals["work"][0, 0, 0, 1] == pytest.approx(100.0)


def test_work_due_now_is_missed_where_the_pool_is_full() -> None:
    case = tiny_case(tiny_params(), price=[[100.0], [50.0]], backlog=[[12.0]])
    assert exact(case).value == pytest.approx(10 * 100 + 2 * 5000)


def test_work_moves_to_the_cheap_site_and_pays_network_and_restart() -> None:
    price = [[100.0, 100.0], [200.0, 20.0]]
    case = tiny_case(tiny_params(regions=2), price, backlog=[[0.0, 4.0], [0.0, 0.0]])
    # 10 GB per MWh at 1 CNY, then 1.1 MWh at 20 CNY; 450 GB would carry 45 MWh
    assert exact(case).value == pytest.approx(4 * (10 + 1.1 * 20))


def test_a_full_link_leaves_work_at_home_and_has_a_rent() -> None:
    params = replace(tiny_params(regions=2), link_gb=torch.tensor([30.0, 30.0], dtype=torch.float64))
    price = [[100.0, 100.0], [200.0, 20.0]]
    result = exact(tiny_case(params, price, backlog=[[0.0, 4.0], [0.0, 0.0]]))
    assert result.value == pytest.approx(3 * (10 + 1.1 * 20) + 1 * 100)
    assert result.duals["links"][0, 0] == pytest.approx(-(100 - 10 - 22) / 10)


def test_online_work_is_routed_only_for_users_who_are_near_enough_and_loses_quality_on_the_way() -> None:
    near = torch.tensor([[0.75], [0.0]], dtype=torch.float64)
    params = tiny_params(regions=2, steps=1, route_allowed=near, latency_cny_per_mwh=7.0 * torch.ones_like(near))
    case = tiny_case(params, [[100.0, 30.0]], backlog=[[0.0], [0.0]], online_mwh=[[[4.0], [0.0]]])
    # 20 GB per MWh at 1 CNY and 7 CNY of quality, for 3 of 4 MWh
    assert exact(case).value == pytest.approx(3 * (30 + 20 + 7) + 1 * 100)


def test_arriving_work_sends_its_replica_and_leaves_a_failed_site_without_its_data() -> None:
    links: dict[str, Any] = {
        "migrate_gb_per_mwh": torch.zeros(2, 1, dtype=torch.float64),
        "sync_gb_per_mwh": torch.tensor([[2.0], [0.0]], dtype=torch.float64),
    }
    params = tiny_params(2, work_terminal_cny_per_mwh=torch.zeros(1, dtype=torch.float64), **links)
    arriving = [[[3.0], [0.0]], [[0.0], [0.0]]]
    down: dict[str, Any] = {"site_availability": [[0.0, 1.0], [0.0, 1.0]], "next_arrivals_mwh": arriving}
    price, backlog = [[100.0, 100.0], [100.0, 20.0]], [[0.0, 4.0], [0.0, 0.0]]
    # 2 GB for each of 3 MWh, which come too late to run; 4 MWh restart as 4.4 where their replica is
    assert exact(tiny_case(params, price, backlog, **down)).value == pytest.approx(3 * 2 + 4.4 * 20)
    others = replace(params, migrate_gb_per_mwh=torch.full((2, 1), 10.0, dtype=torch.float64))
    assert exact(tiny_case(others, price, backlog, **down)).value == pytest.approx(3 * 2 + 4 * 5000)


def test_work_runs_on_the_faster_pool_as_far_as_that_has_room() -> None:
    case = tiny_case(diverse_params(), [[100.0], [100.0]], [[8.0]])
    result = exact(case)
    # 5 MWh of room are 6 MWh of work at speed 1.2 and take 0.8 MWh each; 2 MWh stay at home
    assert result.value == pytest.approx(100 * (6 * 0.8 + 2))
    assert result.plan.alternative_mwh[0, 0, 0] == pytest.approx(6.0)
    assert result.duals["capacity"][0, 0] == pytest.approx([0.0, 20 * 1.2])


def test_all_work_on_the_faster_pool_is_all_that_there_is() -> None:
    online = [[[1.0]], [[0.0]]]  # shares the home pool and stays there
    result = exact(tiny_case(diverse_params(), [[100.0], [100.0]], [[3.0]], online_mwh=online))
    assert result.value == pytest.approx(100 * (3 * 0.8 + 1))
    assert result.duals["alternative"][0, 0, 0] == pytest.approx(-20.0)


def diverse_params() -> Params:
    """One site with 5 MW of own servers and 5 MW of others that do 1.2 times the work, at 0.8 of the energy."""
    params, half = tiny_params(), torch.full((1, 2), 5.0, dtype=torch.float64)
    one, other = torch.tensor([[1.0, 0.0]], dtype=torch.float64), torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    changes: dict[str, Any] = {
        "pools": ("ai", "new"),
        "diverse": True,
        "online_pool": one,
        "deferrable_pool": one,
        "alternative_pool": other,
        "alternative_room": other[:, 1] / 1.2,
        "alternative_energy": 0.8 * other[:, 1],
    }
    return replace(params, capacity_mwh=half, idle_share=torch.zeros(2, dtype=torch.float64), **changes)


def test_online_work_is_routed_when_that_pays_for_the_data() -> None:
    price = [[100.0, 30.0]]
    params = tiny_params(regions=2, steps=1, route_allowed=torch.ones(2, 1, dtype=torch.float64))
    case = tiny_case(params, price, backlog=[[0.0], [0.0]], online_mwh=[[[3.0], [0.0]]])
    assert exact(case).value == pytest.approx(3 * (20 + 30))


def test_green_is_used_first_and_the_rest_is_exported_up_to_the_fraction() -> None:
    params = replace(tiny_params(), export_fraction=torch.tensor([0.5], dtype=torch.float64))
    case = tiny_case(
        params, [[100.0], [100.0]], [[4.0]], green_mwh=[[10.0], [0.0]], export_price_cny_per_mwh=[[30.0], [30.0]]
    )
    assert exact(case).value == pytest.approx(-5 * 30)


def test_the_demand_fee_spreads_work_over_hours() -> None:
    fee, floor = torch.tensor([[40.0], [2.0]], dtype=torch.float64)
    params = tiny_params(demand_fee_cny_per_mw=fee, peak_start_mw=floor)
    case = tiny_case(params, [[100.0], [90.0]], [[0.0, 10.0]])
    # a MWh moved to the cheap hour earns 10 and raises the peak by 1 MW for 40: both hours take 5, 3 MW above the floor
    assert exact(case).value == pytest.approx(5 * 100 + 5 * 90 + 3 * 40)


def battery_params(**changes: float) -> Params:
    """One site with a battery of 4 MWh and 5 MW that loses a fifth when charged and is worth nothing at the end."""
    numbers = {
        "efficiency_charge": 0.8, "efficiency_discharge": 1.0, "standing_loss": 0.0, "soc_min_mwh": 0.0,
        "soc_max_mwh": 4.0, "soc_start_mwh": 0.0, "soc_terminal_cny_per_mwh": 0.0, **changes,
    }  # fmt: skip
    given: dict[str, Any] = {name: torch.tensor([x], dtype=torch.float64) for name, x in numbers.items()}
    return tiny_params(battery=True, **given)


def test_a_battery_earns_the_spread_after_losses() -> None:
    case = tiny_case(battery_params(), [[20.0], [100.0]], [[0.0]], online_mwh=[[[0.0]], [[6.0]]])
    assert exact(case).value == pytest.approx(5 * 20 + 2 * 100)  # 4 of the 6 MWh come from 5 MWh bought before


def test_a_battery_loses_its_standing_loss_and_is_paid_for_what_is_left() -> None:
    params = battery_params(standing_loss=0.1, soc_start_mwh=4.0, soc_terminal_cny_per_mwh=10.0)
    case = tiny_case(params, [[20.0], [20.0]], [[0.0]])
    assert exact(case).value == pytest.approx((4 - 4 * 0.9 * 0.9) * 10)


def test_discharge_serves_the_site_and_an_idle_site_takes_none() -> None:
    case = tiny_case(battery_params(soc_start_mwh=4.0), [[20.0], [100.0]], [[0.0]], online_mwh=[[[0.0]], [[1.0]]])
    result = exact(case)
    assert result.value == pytest.approx(0.0, abs=1e-6)
    assert result.plan.discharge_mwh[:, 0].tolist() == pytest.approx([0.0, 1.0], abs=1e-6)


def test_certificates_fill_the_green_gap() -> None:
    params = tiny_params(owed_price_cny_per_mwh=owed_price(green=7.0))
    case = tiny_case(params, [[100.0], [100.0]], [[10.0]], green_mwh=[[2.0], [0.0]])
    assert exact(case).value == pytest.approx(8 * 100 + 7 * (0.8 * 10 - 2))


def test_certificates_stand_in_for_their_share_alone_and_the_rest_pays_the_penalty() -> None:
    price = owed_price(green=7.0, green_physical=50.0 - 7.0)
    case = tiny_case(tiny_params(owed_price_cny_per_mwh=price), [[100.0], [100.0]], [[10.0]], green_mwh=[[2.0], [0.0]])
    # 8 of 10 MWh are to be green: 2 are, 2 are bought as certificates, 4 are missing
    assert exact(case).value == pytest.approx(8 * 100 + 2 * 7 + 4 * 50)


def contract_params(strike: float = 60.0) -> Params:
    """One site of 10 MW with a contract of which nine tenths are paid whether taken or not."""
    price = torch.tensor([strike], dtype=torch.float64)
    owed = owed_price(take_or_pay=strike)
    return tiny_params(ppa_price_cny_per_mwh=price, owed_price_cny_per_mwh=owed, take_or_pay_share=0.9)


def test_contracted_power_that_is_not_taken_is_paid_up_to_its_share() -> None:
    case = tiny_case(contract_params(), [[100.0], [100.0]], [[4.0]], ppa_mwh=[[10.0], [0.0]])
    assert exact(case).value == pytest.approx(4 * 60 + (0.9 * 10 - 4) * 60)


def test_contracted_power_is_taken_before_cheaper_grid_power_as_far_as_it_is_paid_anyway() -> None:
    case = tiny_case(contract_params(), [[20.0], [20.0]], [[10.0]], ppa_mwh=[[10.0], [0.0]])
    assert exact(case).value == pytest.approx(9 * 60 + 1 * 20)


def test_energy_above_the_cap_on_pue_pays_the_surcharge_and_a_busy_site_may_stay_below_it() -> None:
    price = owed_price(pue=200.0)
    params = tiny_params(steps=1, owed_price_cny_per_mwh=price, pue_cap=torch.tensor([1.2], dtype=torch.float64))
    quiet = tiny_case(params, [[100.0]], [[2.0]], pue_full=[[1.1]])
    load = 2 + 0.1 * (0.6 * 2 + 0.4 * 10)
    assert exact(quiet).value == pytest.approx(100 * load + 200 * (load - 1.2 * 2))
    busy = tiny_case(params, [[100.0]], [[10.0]], pue_full=[[1.1]])
    assert exact(busy).value == pytest.approx(100 * 11)


def test_own_power_from_far_away_pays_the_wires_when_it_is_used_and_not_when_it_is_exported() -> None:
    fee = torch.tensor([30.0], dtype=torch.float64)
    params = tiny_params(steps=1, own_wires_cny_per_mwh=fee, export_fraction=torch.ones(1, dtype=torch.float64))
    case = tiny_case(params, [[100.0]], [[4.0]], green_mwh=[[10.0]], export_price_cny_per_mwh=[[20.0]])
    assert exact(case).value == pytest.approx(4 * 30 - 6 * 20)


def test_the_fee_by_capacity_is_paid_in_every_step() -> None:
    params = tiny_params(capacity_fee_cny=torch.tensor([11.0], dtype=torch.float64))
    assert exact(tiny_case(params, [[100.0], [100.0]], [[1.0]])).value == pytest.approx(100 + 2 * 11)


def test_a_store_keeps_its_reserve_while_the_grid_is_there_and_gives_it_while_it_is_away() -> None:
    params = battery_params(soc_start_mwh=4.0, firm=1.0, reserve_mwh=3.0)
    params = replace(params, reserve_price_cny_per_mwh=1000.0)
    there = tiny_case(params, [[100.0], [100.0]], [[3.0]])
    assert exact(there).value == pytest.approx(2 * 100)  # one MWh may be sold
    away = tiny_case(params, [[100.0], [100.0]], [[0.0, 3.0]], grid_availability=[[1.0], [0.0]])
    assert exact(away).value == pytest.approx(0.0, abs=1e-6)


def test_carbon_is_billed_where_its_market_bills_it() -> None:
    params = tiny_params(regions=2, steps=1, carbon_price_cny_per_kg=torch.tensor([0.06, 0.0], dtype=torch.float64))
    case = tiny_case(params, [[100.0, 100.0]], [[2.0], [3.0]], carbon_kg_per_mwh=[[600.0, 600.0]])
    assert exact(case).value == pytest.approx(5 * 100 + 2 * 36)


def direct_params(**changes: Any) -> Params:
    """One site of 10 MW under direct supply that is spared 50 CNY/MWh and must use 60 % of its generation."""
    return tiny_params(owed_price_cny_per_mwh=owed_price(direct_generation=50.0, direct_consumption=50.0), **changes)


def test_direct_supply_pays_the_wires_for_what_its_own_plants_fall_short_of_consumption() -> None:
    case = tiny_case(direct_params(), [[100.0], [100.0]], [[10.0]], green_mwh=[[2.0], [0.0]])
    assert exact(case).value == pytest.approx(8 * 100 + 50 * (0.3 * 10 - 2))


def test_direct_supply_uses_its_plants_where_the_wires_cost_more_than_power() -> None:
    params = direct_params(green_cost_cny_per_mwh=torch.tensor([110.0], dtype=torch.float64))
    case = tiny_case(params, [[100.0], [100.0]], [[10.0]], green_mwh=[[8.0], [0.0]])
    # own power costs 10 more than the grid's but 50 less than breaking a rule: use 60 % of 8 MWh, above 30 % of 10
    assert exact(case).value == pytest.approx(4.8 * 110 + 5.2 * 100)


def test_a_window_of_direct_supply_starts_from_what_was_owed_and_paid_before() -> None:
    params, state, rows = tiny_case(direct_params(), [[100.0], [100.0]], [[10.0]], green_mwh=[[8.0], [0.0]])
    before = torch.tensor([[[0.0, 0.0, 0.0, 0.0, 4.0, -9.0]]], dtype=torch.float64)
    owed = state._replace(owed_mwh=before)
    # 4 MWh short before, paid for; 60 % of 8 MWh owed now and all 8 used: 0.8 MWh short in the end
    assert exact(Case(params, owed, rows)).value == pytest.approx(2 * 100 + 50 * (0.8 - 4.0))


@pytest.mark.parametrize("seed", range(8))
def test_plain_loops_and_scipy_find_the_same_optimum(seed: int) -> None:
    case = random_case(100 + seed, steps=6)
    assert bound(*case, Options(solver="simplex")).value == pytest.approx(naive_bound(case), rel=1e-6)


@pytest.mark.parametrize("name", ["pair2", "tri3"])
def test_plain_loops_and_scipy_agree_on_shipped_scenarios(name: str) -> None:
    case = scenario_case(name, 3, steps=10)
    assert bound(*case).value == pytest.approx(naive_bound(case), rel=1e-6)
