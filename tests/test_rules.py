"""The rules and the table they fill: stay, price_follow, greenest."""

from __future__ import annotations

from io import StringIO

import pytest
import torch
from rich.console import Console

from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.errors import ConfigError
from greenhop.physics.state import COST_TERMS
from greenhop_agents.policies.policy import ActionPolicy
from greenhop_agents.policies.rules import RULES
from greenhop_agents.report.console import policy_table
from greenhop_agents.scoring.evaluate import Episode, evaluate, score
from greenhop_agents.scoring.scoreboard import summarise
from greenhop_agents.shelf.find import find_policy
from tests.sims import DAY, SCENARIOS, day_sim

STARTS = [1, 90, 180, 270]


def episodes_of(sim: Simulator, name: str) -> list[Episode]:
    return evaluate(sim, find_policy(name, sim), STARTS)


def mean_cost(episodes: list[Episode]) -> float:
    return sum(e.cost_cny for e in episodes) / len(episodes)


def test_stay_moves_nothing_and_leaves_storage_alone() -> None:
    sim = day_sim("pair2")  # without replicas, which send data of their own
    for episode in episodes_of(sim, "stay"):
        assert episode.totals["migrated_mwh"] == 0
        assert episode.totals["network_cny"] == 0
        assert episode.totals["storage_cny"] == 0


def test_stay_runs_an_even_share_of_every_cohort() -> None:
    sim = build_simulator("tri3", "test", overrides=[*DAY, "demand.multiplier=0.7"], year_ids=[0])
    carry = sim.begin(torch.tensor(STARTS))
    for _ in range(sim.params.steps):
        plan = find_policy("stay", sim).decide(sim, carry)
        slack = sim.params.slack[(carry.state.world_row + carry.state.t) % sim.params.period]
        torch.testing.assert_close(plan.serve_mwh * (slack.unsqueeze(1) + 1), carry.state.backlog_mwh)
        carry, flows = sim.advance(carry, plan)
        torch.testing.assert_close(
            flows.serve_mwh, plan.serve_mwh, rtol=1e-4, atol=1e-3
        )  # there was room for all of it


def test_price_follow_is_the_zero_action() -> None:
    sim = day_sim("tri3")
    zero = ActionPolicy("zero", lambda obs: obs.new_zeros(obs.shape[0], sim.action_size))
    ours, theirs = episodes_of(sim, "price_follow"), evaluate(sim, zero, STARTS)
    assert [e.totals for e in ours] == [e.totals for e in theirs]


@pytest.mark.parametrize("name", SCENARIOS)
def test_following_prices_pays_less_than_staying(name: str) -> None:
    sim = day_sim(name)
    assert mean_cost(episodes_of(sim, "price_follow")) < mean_cost(episodes_of(sim, "stay"))


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("rule", RULES)
def test_rules_miss_less_than_one_percent_of_the_work(name: str, rule: str) -> None:
    assert all(e.missed_share < 0.01 for e in episodes_of(day_sim(name), rule))


def test_greenest_sends_work_to_green_surplus() -> None:
    sim = day_sim("hub10")
    totals = {rule: [e.totals for e in episodes_of(sim, rule)] for rule in ("greenest", "stay")}
    used = {rule: sum(t["green_used_mwh"] for t in each) for rule, each in totals.items()}
    assert used["greenest"] > used["stay"]


def test_greenest_needs_the_decoder_whose_bids_it_sets() -> None:
    sim = build_simulator("pair2", "test", overrides=["episode.length_h=24", "decoder.name=full"], year_ids=[0])
    with pytest.raises(ConfigError, match="greenest needs decoder shadow_price"):
        episodes_of(sim, "greenest")


def test_an_episode_costs_the_same_alone_and_in_a_batch() -> None:
    sim = day_sim("tri3")
    together = episodes_of(sim, "price_follow")
    for episode in together:
        (alone,) = evaluate(sim, find_policy("price_follow", sim), [episode.start])
        assert alone.cost_cny == pytest.approx(episode.cost_cny, rel=1e-5)


def test_a_record_holds_cost_terms_that_add_up_to_the_cost() -> None:
    for episode in episodes_of(day_sim("pair2"), "greenest"):
        record = episode.as_row()
        assert {"policy", "episode", "cost_cny", "green_share", "carbon_kg", "missed_mwh", "migrated_mwh"} <= set(
            record
        )
        assert sum(record[f"{term}_cny"] for term in COST_TERMS) == pytest.approx(record["cost_cny"])


def test_an_unknown_policy_is_told_with_its_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"'price_folow' is unknown; .*did you mean price_follow\?"):
        find_policy("price_folow", day_sim("pair2"))


def test_the_score_is_0_for_the_reference_100_for_the_bound_and_negative_below() -> None:
    assert score(10.0, 10.0, 5.0) == 0.0
    assert score(10.0, 5.0, 5.0) == 100.0
    assert score(10.0, 12.0, 5.0) == -40.0


def test_the_table_fits_into_eighty_columns_and_names_every_unit() -> None:
    sim = day_sim("pair2")
    episodes = {name: episodes_of(sim, name) for name in RULES}
    bounds = [0.8 * e.cost_cny for e in episodes["price_follow"]]
    shown = StringIO()
    Console(width=80, file=shown).print(policy_table(summarise(episodes, bounds), "pair2"))
    text = shown.getvalue()
    assert all(name in text for name in RULES)
    assert all(word in text for word in ("million", "CNY", "%", " t ", "MWh", "ms"))
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
