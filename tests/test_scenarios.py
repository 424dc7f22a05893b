"""Every shipped scenario runs, is bounded, and is what its file says."""

from __future__ import annotations

from functools import cache

import gymnasium as gym
import numpy as np
import pytest

import greenhop
from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.lp.bound import bound
from greenhop.scenario.config import parse_scenario
from greenhop.scenario.find import compose_scenario, config_dir, load_scenario, scenario_names
from greenhop.scenario.join import build_params
from greenhop.scenario.sites import it_capacity_mw, locations_deg
from greenhop.scenario.tables import load_table
from greenhop.world.cities import city57_yaml
from greenhop_agents.policies.rules import RULES
from greenhop_agents.scoring.bounds import episode_bounds, episode_window, plan_totals
from greenhop_agents.scoring.evaluate import evaluate

FETCHED = {"hub10-real"}  # runs only once somebody has fetched its weather; tests/importers/test_fetch.py
SMALL_ENOUGH = [name for name in scenario_names() if name not in {"city57", "hub10-15min"} | FETCHED]
MAX_GAP = 1e-4


@cache
def one_day(name: str) -> Simulator:
    overrides = ("forecast.mode=perfect", "episode.length_h=24")  # perfect forecasts are quicker to make
    return build_simulator(name, "test", year_ids=[0], overrides=overrides)


# by design, or because rules crowd the one hub that has power of its own
SHORT_OF_SERVERS = ("hub10-outage", "hub10-surge", "hub10-offgrid")


def test_all_scenarios_of_the_design_are_there() -> None:
    variants = ("outage", "calm", "surge", "offgrid", "spot", "direct", "carbon", "2030", "15min")
    wanted = {"pair2", "tri3", "hub10", "hub12", "city57", *(f"hub10-{v}" for v in variants)}
    assert set(scenario_names()) == wanted | FETCHED | {"pair2-jobs", "hub10-jobs"}
    assert set(greenhop.ENV_IDS.values()) == wanted
    for name in wanted:
        assert load_scenario(name).name == name


@pytest.mark.parametrize("name", ["Hub10Outage-v1", "Hub12-v1"])
def test_variants_are_registered_with_gymnasium(name: str) -> None:
    assert gym.spec(name).kwargs == {"scenario": greenhop.ENV_IDS[name]}


@pytest.mark.parametrize("name", scenario_names())
def test_variants_are_a_few_lines_over_their_base(name: str) -> None:
    lines = (config_dir() / "scenario" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    assert name in ("hub10", "city57") or len(lines) <= 30


@pytest.mark.parametrize("name", SMALL_ENOUGH)
def test_a_day_runs_under_every_rule_and_none_beats_its_bound(name: str) -> None:
    sim = one_day(name)
    start = [sim.bank.n_starts // 3]
    best = episode_bounds(sim, start)[0]
    assert abs(best.relative_gap) < MAX_GAP
    for rule in RULES.values():
        episode = evaluate(sim, rule(), start)[0]
        assert episode.cost_cny >= best.bound_cny - MAX_GAP * abs(best.bound_cny)
        assert episode.totals["unserved_mwh"] < 1e-3 * episode.totals["facility_mwh"]
        assert episode.missed_share < (0.15 if name in SHORT_OF_SERVERS else 0.02)


def test_a_surge_is_short_of_servers_even_for_the_optimum() -> None:
    sim = one_day("hub10-surge")
    params, state, rows = episode_window(sim, sim.bank.n_starts // 2)
    best = bound(params, state, rows)
    totals = plan_totals(params, state, rows, best.plan)
    assert totals["missed_mwh"] > 0.001 * totals["served_mwh"]
    ai = best.duals["capacity"][:, :, params.pools.index("ai")]
    assert float(np.median(ai)) > 100.0  # CNY per MWh of room, at most hubs and hours
    assert float(ai.max()) > 1000.0


def test_quarter_hours_work_through_bank_decoder_and_programme() -> None:
    assert load_scenario("hub10-15min").steps == 96
    overrides = ("forecast.mode=perfect", "episode.length_h=8")  # the whole day takes its programme four times as long
    sim = build_simulator("hub10-15min", "test", year_ids=[0], overrides=overrides)
    assert (sim.params.dt_h, sim.params.rows_per_year) == (0.25, 35040)
    start = [sim.bank.n_starts // 3]
    costs = {name: evaluate(sim, rule(), start)[0].cost_cny for name, rule in RULES.items()}
    hourly = build_simulator("hub10", "test", year_ids=[0], overrides=overrides)
    assert costs["stay"] == pytest.approx(
        evaluate(hourly, RULES["stay"](), start)[0].cost_cny, rel=0.5
    )  # other weather
    params, state, rows = episode_window(sim, start[0])
    solved = bound(params, state, rows)
    assert abs(solved.relative_gap) < MAX_GAP
    assert solved.lower_bound < min(costs.values())


def test_city57_runs_and_a_short_window_is_bounded() -> None:
    overrides = ("forecast.mode=perfect", "episode.length_h=4")
    sim = build_simulator("city57", "test", year_ids=[0], overrides=overrides)
    start = [sim.bank.n_starts // 3]
    best = episode_bounds(sim, start)[0]
    assert abs(best.relative_gap) < MAX_GAP
    for rule in RULES.values():
        assert evaluate(sim, rule(), start)[0].cost_cny >= best.bound_cny * (1 - MAX_GAP)


def test_city57_is_what_its_generator_writes() -> None:
    assert (config_dir() / "scenario" / "city57.yaml").read_text(encoding="utf-8") == city57_yaml()


def test_city57_has_three_levels_of_links() -> None:
    s, table = load_scenario("city57"), load_table("cities")
    regional = [name for name in table["regional"] if name != "source"]
    pairs = [frozenset(link.between) for link in s.links]
    assert (len(s.sites), len(regional)) == (57, 7)
    assert sum(pair <= set(regional) for pair in pairs) == 21  # mesh
    assert sum(len(pair & set(regional)) == 1 for pair in pairs) == 50  # lines
    rings = [pair for pair in pairs if not pair & set(regional)]
    for pair in rings:
        assert len({table["city"][city]["region"] for city in pair}) == 1
    assert it_capacity_mw(s).sum() == pytest.approx(240.0, rel=0.01)
    assert len(np.unique(locations_deg(s), axis=0)) == 57


def test_hub12_adds_two_sites_and_keeps_the_ten() -> None:
    ten, twelve = load_scenario("hub10"), load_scenario("hub12")
    assert list(twelve.sites)[:10] == list(ten.sites)
    assert list(twelve.sites)[10:] == ["hami", "karamay"]
    assert twelve.links[: len(ten.links)] == ten.links
    assert len(twelve.links) == len(ten.links) + 3


def test_off_grid_sites_can_survive() -> None:
    s = load_scenario("hub10-offgrid")
    params = build_params(s)
    names = [name for name, site in s.sites.items() if site.off_grid]
    assert names == ["qingyang", "zhongwei"]
    for name in names:
        site, r = s.sites[name], params.regions.index(name)
        renewable = site.wind_mw + site.pv_mw + site.hydro_mw
        stored = sum(u.power_mw for u in s.storage.values() if u.site == name and u.kind != "csp")
        assert stored >= load_table("storage")["off_grid"]["storage_of_renewable_min"] * renewable
        assert float(params.connection_mwh[r]) == 0.0
        assert float(params.export_limit_mwh[r]) == 0.0
        assert float(params.diesel_limit_mwh[r]) >= 1.25 * float(params.capacity_mwh[r].sum())


def test_links_may_have_names() -> None:
    s = load_scenario("pair2", ["links.horinger_yangtze_demo.bandwidth_gbps=50"])
    assert [link.bandwidth_gbps for link in s.links] == [50.0]
    listed = parse_scenario(compose_scenario("pair2") | {"links": [{"between": ["horinger", "yangtze_demo"]}]})
    assert [link.between for link in listed.links] == [link.between for link in s.links]


def test_2030_has_the_capacities_of_the_table() -> None:
    s = load_scenario("hub10-2030")
    assert it_capacity_mw(s).tolist() == [load_table("sites")[name]["it_capacity_2030_mw"] for name in s.sites]
