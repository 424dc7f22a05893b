"""Direct supply of green power: what its rules allow, what breaking them costs, and how episodes report them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Generator

from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.errors import ConfigError
from greenhop.physics.rewards import SITE_QUANTITIES, report_sites
from greenhop.physics.state import ACCOUNTS, COST_TERMS, Dispatch, State
from greenhop.physics.step import step
from greenhop.scenario.find import load_scenario
from greenhop.scenario.tables import load_table
from greenhop_agents.policies.rules import Stay
from greenhop_agents.scoring.bounds import episode_bounds
from greenhop_agents.scoring.direct_green import direct_green
from greenhop_agents.scoring.evaluate import evaluate
from tests.strategies import make_case, random_plan, random_row, random_state

QUICK = ["forecast.mode=perfect", "episode.length_h=24"]
DIRECT = ("horinger", "qingyang", "zhongwei")
RULES = [ACCOUNTS.index("direct_generation"), ACCOUNTS.index("direct_consumption")]


@cache
def hub10_direct() -> Simulator:
    return build_simulator("hub10-direct", "test", year_ids=[0], overrides=QUICK)


def test_direct_supply_reports_its_shares_and_the_rules_it_breaks() -> None:
    scenario = load_scenario("hub10-direct")
    good = dict(zip(SITE_QUANTITIES, (90.0, 100.0, 100.0, 70.0, 15.0, 15.0), strict=True))
    bad = dict(zip(SITE_QUANTITIES, (90.0, 100.0, 50.0, 25.0, 15.0, 10.0), strict=True))
    found = direct_green(scenario, {name: bad if name == "zhongwei" else good for name in scenario.sites})
    assert set(found) == {"horinger", "qingyang", "zhongwei"}
    assert found["horinger"].broken == ()
    assert found["zhongwei"].broken == (
        "self_used_of_generation",
        "self_used_of_consumption",
        "exported_of_generation",
    )
    assert found["zhongwei"].as_row()["direct_green_rules_broken"] == 3.0


def test_export_never_exceeds_what_direct_supply_may_export() -> None:
    most = load_table("tariffs")["direct_green"]["exported_of_generation_max"]
    scenario = load_scenario("hub10-direct")
    assert all(scenario.sites[name].export_fraction <= most for name in ("horinger", "qingyang", "zhongwei"))
    sim = hub10_direct()
    carry, policy = sim.begin(torch.tensor([100])), Stay()
    for _ in range(sim.params.steps):
        carry, flows = sim.advance(carry, policy.decide(sim, carry))
        energy = report_sites(flows)[0]
        assert (energy[:, 4] <= most * energy[:, 2] + 1e-3).all()


def test_episodes_of_direct_supply_carry_the_report() -> None:
    sim = hub10_direct()
    row = evaluate(sim, Stay(), [100])[0].as_row()
    assert 0.0 <= row["zhongwei_self_used_of_generation"] <= 1.0
    assert row["zhongwei_direct_green_rules_broken"] in (0.0, 1.0, 2.0)
    without = build_simulator("pair2", "test", year_ids=[0], overrides=QUICK)
    assert not any("direct_green" in key for key in evaluate(without, Stay(), [100])[0].as_row())


def test_direct_supply_that_breaks_its_rules_pays_the_spared_wires_fee_per_missing_mwh_and_else_nothing() -> None:
    """Of its generation a site uses 60 %, of its consumption 30 % are its own: over the episode, not in each hour."""
    case = make_case({"regions": 2, "deferrable": 1, "online": 0, "units": 0, "pools": 1}, 1.0, 3)
    fee = torch.tensor([70.0, 0.0], dtype=torch.float64)  # the second site is supplied as others are
    price = torch.zeros_like(case.params.owed_price_cny_per_mwh)
    price[:, RULES] = fee[:, None]
    p, g = replace(case.params, owed_price_cny_per_mwh=price), Generator().manual_seed(3)
    idle, row = random_plan(p, g, 1, "zero", dispatch=False), random_row(p, g, 1)
    row = row._replace(site_availability=torch.ones_like(row.site_availability))
    start = random_state(p, g, 1)
    start = start._replace(owed_mwh=torch.zeros_like(start.owed_mwh))
    load = step(p, start, idle, row)[1].facility_mwh

    def run(green: float, used: float, state: State) -> tuple[State, float]:
        """One step with so much own green and so much of it used, in shares of the load at each site."""
        none = torch.zeros_like(load)
        keep = Dispatch(ppa_mwh=none, diesel_mwh=none, export_mwh=none, curtail_mwh=(green - used) * load)
        after, flows = step(p, state, idle._replace(dispatch=keep), row._replace(green_mwh=green * load))
        return after, float(flows.cost_cny[0, COST_TERMS.index("direct_rule")])

    mwh = float(load[0, 0])
    kept, paid = run(green=1.0, used=0.6, state=start)
    assert paid == pytest.approx(0.0, abs=1e-9)
    _, paid = run(green=2.0, used=0.5, state=start)
    assert paid == pytest.approx(70.0 * (0.6 * 2.0 - 0.5) * mwh)
    short, paid = run(green=0.2, used=0.2, state=start)
    assert paid == pytest.approx(70.0 * (0.3 - 0.2) * mwh)
    _, back = run(green=0.5, used=0.5, state=short)
    assert back == pytest.approx(-paid)  # a later hour may make up for it
    _, nothing = run(green=0.0, used=0.0, state=kept)
    assert nothing == pytest.approx(0.0, abs=1e-9)  # 0.6 used against 0.3 owed of each of two hours


def test_the_rules_are_priced_at_the_wires_fee_that_direct_supply_is_spared_and_nowhere_else() -> None:
    sim = hub10_direct()
    fees = dict(zip(sim.params.regions, sim.params.owed_price_cny_per_mwh[:, RULES[0]].tolist(), strict=True))
    provinces = load_table("tariffs")["provinces"]
    spared = {"horinger": "mengxi", "qingyang": "gansu", "zhongwei": "ningxia"}
    assert fees == {name: provinces[spared[name]]["td_cny_per_mwh"] if name in spared else 0.0 for name in fees}
    rules = load_table("tariffs")["direct_green"]
    shares = (sim.params.direct_generation_share, sim.params.direct_consumption_share)
    assert shares == (rules["self_used_of_generation_min"], rules["self_used_of_consumption_min"])


def test_an_episode_pays_for_the_energy_by_which_its_report_misses_the_rules() -> None:
    sim = hub10_direct()
    fee = dict(zip(sim.params.regions, sim.params.owed_price_cny_per_mwh[:, RULES[0]].tolist(), strict=True))
    paid = 0.0
    for episode in evaluate(sim, Stay(), np.arange(0, 350, 25)):
        owed = 0.0
        for name, shares in episode.direct.items():
            energy = episode.sites[name]
            owed += fee[name] * max(0.0, 0.6 - shares.self_used_of_generation) * energy["green_mwh"]
            owed += fee[name] * max(0.0, 0.3 - shares.self_used_of_consumption) * energy["facility_mwh"]
        assert episode.totals["direct_rule_cny"] == pytest.approx(owed, rel=1e-3, abs=5.0)
        paid += owed
    assert paid > 1e4  # some of these days are windy, some calm


def test_no_random_action_beats_the_bound_of_direct_supply() -> None:
    sim, g = hub10_direct(), Generator().manual_seed(0)
    starts = [25, 300]
    bounds = torch.tensor([b.bound_cny for b in episode_bounds(sim, starts)], dtype=torch.float64)
    carry, cost = sim.begin(torch.tensor(starts).repeat(8)), torch.zeros(16, dtype=torch.float64)
    for _ in range(sim.params.steps):
        carry, flows = sim.act(carry, 2 * torch.rand(16, sim.action_size, generator=g) - 1)
        cost += flows.cost_cny.sum(-1)
    assert (cost > bounds.repeat(8)).all()


def test_an_agent_sees_the_accounts_that_cost_something() -> None:
    sim = hub10_direct()
    carry, _ = sim.act(sim.begin(torch.tensor([25])), torch.zeros(1, sim.action_size))
    state, p = carry.state, sim.params
    seen = sim.observer.split(sim.observe(carry))["region"][0, :, sim.observer.slices()["region.accounts"]]
    for r, name in enumerate(p.regions):
        size = p.capacity_mwh[r].sum() * p.steps
        for a in range(len(ACCOUNTS)):
            expected = state.owed_mwh[0, r, a] / size if name in DIRECT or a not in RULES else torch.tensor(0.0)
            assert float(seen[r, a]) == pytest.approx(float(expected), rel=1e-5)


def test_more_export_than_direct_supply_allows_is_refused_with_the_limit() -> None:
    with pytest.raises(
        ConfigError, match=r"zhongwei: export_fraction = 0\.3: .* direct_green .* at most 0\.2 of its gen"
    ):
        load_scenario("hub10-direct", ["+sites.zhongwei.export_fraction=0.3"])
    assert load_scenario("hub10", ["+sites.zhongwei.export_fraction=0.3"]).sites["zhongwei"].export_fraction == 0.3
