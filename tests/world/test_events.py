"""Disturbances do what they say: on the rows of the world, and to an episode that runs into one."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.physics.state import COST_TERMS, Flows, Row
from greenhop_agents.policies.rules import RULES
from greenhop_agents.scoring.bounds import episode_bounds

HOURS = 12
WUHU = 1  # second site of tri3
LINKS = ("zhangjiakou_wuhu", "wuhu_qingyang")


@cache
def sim(kind: str = "", magnitude: float = 1.0, *overrides: str) -> Simulator:
    """tri3 over two days, without replicas; with events of one kind that strike wuhu now and then, if one is given."""
    settings = f"kind:{kind},per_year:30,duration_h:{HOURS},magnitude:{magnitude},sites:[wuhu]"
    event = [f"+events={{it:{{{settings}}}}}"] if kind else []
    shorter = ["forecast.mode=perfect", "episode.length_h=48", "links.zhangjiakou_qingyang.staged=0"]
    return build_simulator("tri3", "test", year_ids=[0], overrides=[*event, *shorter, *overrides])


def rows(s: Simulator) -> Row:
    return s.bank.layout.unpack(s.bank.table)[0]


def struck(s: Simulator, mask: Tensor) -> int:
    """The first start whose episode holds one whole event, some hours after its beginning."""
    for i, first in enumerate(s.bank.starts.tolist()):
        ahead = mask[first : first + s.params.steps]
        if ahead.sum() == HOURS and not ahead[:4].any() and not ahead[40:].any():
            return i
    raise AssertionError("no episode holds exactly one event")


def run(s: Simulator, rule: str, start: int) -> tuple[Flows, Row]:
    """Everything that happened in an episode, `[T, …]`."""
    policy, carry, all_flows, all_rows = RULES[rule](), s.begin(torch.tensor([start])), [], []
    for _ in range(s.params.steps):
        all_rows.append(s.unpack(carry)[0])
        carry, flows = s.advance(carry, policy.decide(s, carry))
        all_flows.append(flows)
    return (
        Flows(*(torch.cat(x) for x in zip(*all_flows, strict=True))),
        Row(*(torch.cat(x) for x in zip(*all_rows, strict=True))),
    )


def missed(flows: Flows) -> float:
    return float(flows.missed_mwh.sum() + flows.missed_online_mwh.sum())


def spells(mask: Tensor) -> list[int]:
    """Lengths of the runs of true."""
    edges = torch.diff(mask.int(), prepend=torch.zeros(1), append=torch.zeros(1))
    return [int(b - a) for a, b in zip(*((edges == sign).nonzero().ravel() for sign in (1, -1)), strict=True)]


def test_an_outage_takes_the_whole_site_for_its_duration() -> None:
    available = rows(sim("site_outage")).site_availability
    assert set(available[:, WUHU].tolist()) == {0.0, 1.0}
    assert (available[:, [0, 2]] == 1.0).all()
    lengths = spells(available[:, WUHU] == 0.0)
    assert 10 <= len(lengths) <= 50
    assert min(lengths[:-1]) >= HOURS  # longer where two overlap
    assert sorted(lengths)[len(lengths) // 2] == HOURS


@pytest.mark.parametrize("rule", sorted(RULES))
def test_nothing_runs_at_a_failed_site(rule: str) -> None:
    s = sim("site_outage")
    flows, row = run(s, rule, struck(s, rows(s).site_availability[:, WUHU] == 0.0))
    down = row.site_availability[:, WUHU] == 0.0
    assert int(down.sum()) == HOURS
    assert float(flows.it_mwh[down, WUHU].abs().max()) == 0.0
    assert float(flows.it_mwh[~down, WUHU].min()) > 0.0


def replicated(kind: str = "site_outage") -> Simulator:
    return sim(kind, 1.0, *(f"links.{name}.staged=1" for name in LINKS))


def leaving_wuhu(s: Simulator, flows: Flows) -> Tensor:
    """`[T, K]` MWh of each class that leaves."""
    out = [i for i, (source, _) in enumerate(s.params.links) if source == "wuhu"]
    return flows.migrate_mwh[:, out].sum((1, 3))


def test_what_has_replicas_restarts_at_one_while_its_site_is_down_and_other_work_waits() -> None:
    s = replicated()
    start = struck(s, rows(s).site_availability[:, WUHU] == 0.0)
    flows, row = run(s, "price_follow", start)
    down = row.site_availability[:, WUHU] == 0.0
    out = leaving_wuhu(s, flows)
    by_class = dict(zip(s.params.deferrable, out[down].sum(0).tolist(), strict=True))
    assert by_class["scientific_hpc"] == 0.0
    assert float(out[~down][:, s.params.deferrable.index("scientific_hpc")].sum()) > 0.0
    calm = leaving_wuhu(s, run(replicated(""), "price_follow", start)[0])  # the same days without the outage
    training = s.params.deferrable.index("ai_training")
    assert by_class["ai_training"] > float(calm[down][:, training].sum()) > 0.0


def test_without_a_replica_nothing_leaves_a_site_that_is_down() -> None:
    s = sim("site_outage")
    start = struck(s, rows(s).site_availability[:, WUHU] == 0.0)
    flows, row = run(s, "price_follow", start)
    down = row.site_availability[:, WUHU] == 0.0
    out = leaving_wuhu(s, flows)
    assert float(out[down].abs().max()) == 0.0
    assert float(out[~down].sum()) > 0.0


def test_replicas_save_work_in_an_outage_and_cost_synchronisation_at_all_times() -> None:
    """Two sites, three centres."""
    twin, bare = replicated(), sim("site_outage")
    start = struck(bare, rows(bare).site_availability[:, WUHU] == 0.0)
    late = {name: run(s, "price_follow", start)[0].missed_mwh.sum() for name, s in (("twin", twin), ("bare", bare))}
    assert float(late["twin"]) < 0.8 * float(late["bare"])
    bounds = {name: episode_bounds(s, [start])[0] for name, s in (("twin", twin), ("bare", bare))}
    assert bounds["twin"].totals["missed_mwh"] < bounds["bare"].totals["missed_mwh"]
    assert bounds["twin"].replay_cny < bounds["bare"].bound_cny
    quiet = {name: run(s, "stay", start)[0].cost_cny for name, s in (("twin", twin), ("bare", bare))}
    network = COST_TERMS.index("network")
    assert float(quiet["bare"][:, network].sum()) == 0.0
    assert float(quiet["twin"][:, network].min()) > 0.0


def test_a_cut_fibre_carries_nothing_either_way() -> None:
    s = sim("link_cut")
    available = rows(s).link_availability
    assert torch.equal(available[:, 0::2], available[:, 1::2])
    link = next(i for i in range(0, 6, 2) if (available[:, i] == 0.0).any())
    flows, row = run(s, "price_follow", struck(s, available[:, link] == 0.0))
    down = row.link_availability[:, link] == 0.0
    assert float(flows.data_gb[down][:, [link, link + 1]].abs().max()) == 0.0
    assert float(flows.data_gb[~down][:, [link, link + 1]].sum()) > 0.0


def test_only_links_of_the_listed_sites_are_cut() -> None:
    s = sim("link_cut")
    touched = [("wuhu" in ends) for ends in s.params.links]
    cut = (rows(s).link_availability < 1.0).any(0)
    assert cut.any()
    assert not cut[~torch.tensor(touched)].any()


def test_a_calm_leaves_a_share_of_wind_and_sun_and_of_contracts() -> None:
    calm, base = rows(sim("dunkelflaute", 0.7)), rows(sim())
    for name in ("green_mwh", "ppa_mwh"):
        left, whole = getattr(calm, name), getattr(base, name)
        some = whole[:, WUHU] > 1e-3
        ratio = (left[:, WUHU] / whole[:, WUHU])[some]
        assert torch.logical_or((ratio - 0.3).abs() < 1e-4, (ratio - 1.0).abs() < 1e-4).all()
        assert (ratio < 0.5).any()
        assert torch.equal(left[:, [0, 2]], whole[:, [0, 2]])


def test_a_calm_is_bought_at_the_grid() -> None:
    s = sim("dunkelflaute", 0.7)
    less = (rows(sim()).green_mwh - rows(s).green_mwh).sum(-1)
    start = int(torch.stack([less[i : i + 48].sum() for i in s.bank.starts.tolist()]).argmax())
    calm, base = (run(x, "stay", start)[0] for x in (s, sim()))
    assert calm.grid_mwh.sum() > base.grid_mwh.sum()
    assert torch.equal(calm.facility_mwh, base.facility_mwh)


def test_a_surge_multiplies_the_work_of_the_listed_sites() -> None:
    surge, base = rows(sim("demand_surge", 0.3)), rows(sim())
    for name in ("online_mwh", "next_arrivals_mwh"):
        ratio = getattr(surge, name) / getattr(base, name)
        high = (ratio[:, WUHU] - 1.3).abs() < 1e-4
        assert torch.logical_or(high, (ratio[:, WUHU] - 1.0).abs() < 1e-4).all()
        assert high.any()
        assert torch.equal(getattr(surge, name)[:, [0, 2]], getattr(base, name)[:, [0, 2]])


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_curtailment_order_closes_the_meter_both_ways(rule: str) -> None:
    s = sim("curtailment_order")
    flows, row = run(s, rule, struck(s, rows(s).grid_availability[:, WUHU] == 0.0))
    down = row.grid_availability[:, WUHU] == 0.0
    for name in ("grid_mwh", "ppa_mwh", "export_mwh"):
        assert float(getattr(flows, name)[down, WUHU].abs().max()) == 0.0, name
    assert float(flows.diesel_mwh[down, WUHU].sum()) > 0.0
    assert float(flows.diesel_mwh[~down, WUHU].sum()) == 0.0


def test_a_partial_order_leaves_a_share_of_the_connection() -> None:
    s = sim("curtailment_order", 0.7)
    flows, row = run(s, "stay", struck(s, rows(s).grid_availability[:, WUHU] < 1.0))
    down = row.grid_availability[:, WUHU] < 1.0
    imported = (flows.grid_mwh + flows.ppa_mwh)[:, WUHU]
    limit = 0.3 * s.params.connection_mwh[WUHU]
    assert float(imported[down].max()) <= float(limit) * (1 + 1e-5)
    assert float(imported[~down].max()) > float(limit)


def test_the_order_of_events_does_not_matter_and_overlaps_take_the_worse() -> None:
    one = "a:{kind:site_outage,per_year:200,duration_h:48,magnitude:0.4}"
    two = "b:{kind:site_outage,per_year:200,duration_h:48,magnitude:0.9}"
    overrides = ("forecast.mode=perfect", "episode.length_h=48")
    first, second = (
        rows(build_simulator("tri3", "test", year_ids=[0], overrides=[f"+events={{{x},{y}}}", *overrides]))
        for x, y in ((one, two), (two, one))
    )
    assert torch.equal(first.site_availability, second.site_availability)
    assert sorted(set(first.site_availability.ravel().tolist())) == pytest.approx([0.1, 0.6, 1.0])
