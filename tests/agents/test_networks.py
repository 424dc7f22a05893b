"""Networks: equivariance, transfer to other graphs, and what they start from."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from torch import Tensor
from torch.nn.functional import silu

from greenhop.episode.decoders.base import split_action
from greenhop.episode.simulator import Simulator, build_simulator, shapes_of
from greenhop.gym.hub_views import hub_views
from greenhop.scenario.config import ScenarioConfig
from greenhop.scenario.find import load_scenario
from greenhop.world.bank import WorldBank
from greenhop_agents.learners.hub_graph import Ends, build_graph
from greenhop_agents.learners.layout import build_layout
from greenhop_agents.learners.networks import (
    Messages,
    NetworkConfig,
    build_actor,
    build_critic,
    entropy,
    log_prob,
)
from tests.sims import day_sim

BATCH = 3


def renumbered(scenario: ScenarioConfig) -> ScenarioConfig:
    """The same scenario with regions, links and units in another order."""
    sites = dict(reversed(scenario.sites.items()))
    storage = dict(reversed(scenario.storage.items()))
    links = [link.model_copy(update={"between": link.between[::-1]}) for link in scenario.links[::-1]]
    return scenario.model_copy(update={"sites": sites, "storage": storage, "links": links})


def orders(a: Simulator, b: Simulator) -> tuple[list[int], list[int], list[int]]:
    """Positions in `a` of the regions, links and units of `b`."""
    p, q = a.params, b.params
    return (
        [p.regions.index(r) for r in q.regions],
        [p.links.index(l) for l in q.links],
        [p.units.index(u) for u in q.units],
    )


def permuted_obs(sim: Simulator, obs: Tensor, order: tuple[list[int], list[int], list[int]]) -> Tensor:
    """An observation as a simulator with another numbering would make it."""
    regions, links, units = order
    part = sim.observer.split(obs)
    part["region"], part["soc"] = part["region"][:, regions], part["soc"][:, units]
    part["link_availability"] = part["link_availability"][:, links]
    return torch.cat([x.flatten(1) for x in part.values()], 1)


def permuted_action(sim: Simulator, action: Tensor, order: tuple[list[int], list[int], list[int]]) -> Tensor:
    """An action in another numbering."""
    part = split_action(action, sim.decoder.parts)
    return torch.cat([x[:, order[2] if name == "storage" else order[0]].flatten(1) for name, x in part.items()], 1)


@pytest.fixture(scope="module")
def pair_of_tri3() -> tuple[Simulator, Simulator]:
    scenario = load_scenario("tri3", ["episode.length_h=6"])
    return tuple(build_simulator(s, "train", year_ids=[0]) for s in (scenario, renumbered(scenario)))  # type: ignore[return-value]


def shaken(module: torch.nn.Module) -> torch.nn.Module:
    """Weights far from the near-zero start, so that outputs differ."""
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return module


def test_renumbering_regions_renumbers_the_bids(pair_of_tri3: tuple[Simulator, Simulator]) -> None:
    torch.manual_seed(0)
    a, b = pair_of_tri3
    actor, twin = (build_actor(s, NetworkConfig(width=16)) for s in (a, b))
    twin.load_state_dict(shaken(actor).state_dict())
    obs, order = torch.randn(BATCH, a.obs_size), orders(a, b)
    expected = permuted_action(a, actor.act(obs), order)
    assert expected.std() > 0.05
    torch.testing.assert_close(twin.act(permuted_obs(a, obs, order)), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(twin(obs)[1], permuted_action(a, actor(obs)[1].exp().expand(BATCH, -1), order)[0].log())


def test_renumbering_regions_leaves_the_value_alone(pair_of_tri3: tuple[Simulator, Simulator]) -> None:
    torch.manual_seed(0)
    a, b = pair_of_tri3
    critic, twin = (build_critic(s, NetworkConfig(width=16)) for s in (a, b))
    twin.load_state_dict(shaken(critic).state_dict())
    obs = torch.randn(BATCH, a.obs_size)
    torch.testing.assert_close(twin(permuted_obs(a, obs, orders(a, b))), critic(obs), atol=1e-5, rtol=1e-4)


SHIPPED = ("pair2", "tri3", "hub10", "hub10-outage", "hub10-direct", "hub10-15min", "hub12", "city57")


def worldless(name: str, *overrides: str) -> Simulator:
    """A scenario without its weather: all that a network is built from."""
    scenario = load_scenario(name, ["episode.length_h=24", *overrides])
    params, decoder, observer = shapes_of(scenario)
    return Simulator(scenario, params, cast(WorldBank, None), decoder, observer)


@pytest.fixture(scope="module")
def weights() -> dict[str, dict[str, Tensor]]:
    torch.manual_seed(0)
    sim, small = worldless("tri3"), NetworkConfig(width=16, message_width=8)
    return {"actor": shaken(build_actor(sim, small)).state_dict(), "critic": build_critic(sim, small).state_dict()}


@pytest.mark.parametrize("name", SHIPPED)
def test_one_set_of_weights_runs_in_every_shipped_scenario(name: str, weights: dict[str, dict[str, Tensor]]) -> None:
    sim, small = worldless(name), NetworkConfig(width=16, message_width=8)
    actor, critic = build_actor(sim, small), build_critic(sim, small)
    actor.load_state_dict(weights["actor"])
    critic.load_state_dict(weights["critic"])
    obs = torch.randn(BATCH, sim.obs_size)
    (mean, log_std), value = actor(obs), critic(obs)
    assert mean.shape == (BATCH, sim.action_size)
    assert log_std.shape == (sim.action_size,)
    assert value.shape == (BATCH,)
    assert mean.std() > 0.05


def test_a_pool_or_an_account_that_a_scenario_lacks_is_a_feature_of_zero() -> None:
    torch.manual_seed(0)
    few, all_of_them = worldless("pair2"), worldless("pair2", "+pools.ai_legacy={idle_share: 0.1, capacity_share: 0.0}")
    assert len(all_of_them.params.pools) == len(few.params.pools) + 1
    actor, twin = (build_actor(sim, NetworkConfig(width=16)) for sim in (few, all_of_them))
    twin.load_state_dict(shaken(actor).state_dict())
    obs = torch.randn(BATCH, few.obs_size)
    part = few.observer.split(obs)
    at = few.observer.slices()["region.pressure"].start + all_of_them.params.pools.index("ai_legacy")
    part["region"] = torch.cat((part["region"][..., :at], torch.zeros(BATCH, 2, 1), part["region"][..., at:]), -1)
    torch.testing.assert_close(twin.act(torch.cat([x.flatten(1) for x in part.values()], 1)), actor.act(obs))


def test_slots_of_a_bin_add_up_and_leads_between_two_known_ones_share_between_them() -> None:
    sim = worldless("pair2", "deferrable.ai_training.quantum_h=2", "forecast.leads_h=[1,3,24]")
    layout = build_layout(sim.params, sim.observer, sim.scenario.forecast.leads_h)
    used = int(sim.params.slots_used[1].sum())
    slots = layout.slots.reshape(3, -1, 3, 4)
    assert used == 13
    assert layout.slots.sum(1).eq(1.0).all()
    assert slots[1, :used, 1].sum(0).tolist() == [4.0, 3.0, 3.0, 3.0]
    torch.testing.assert_close(layout.leads[:, 1], torch.tensor([0.5, 0.5, 0.0]))  # two hours ahead
    torch.testing.assert_close(layout.leads[:, 5], torch.tensor([0.0, 0.0, 1.0]))


def test_picking_and_adding_tell_the_same_as_the_matrix_of_ends(pair_of_tri3: tuple[Simulator, Simulator]) -> None:
    ends = Ends(pair_of_tri3[0].params)
    links, regions = torch.randn(len(ends.source), 4, 5), torch.randn(ends.at.shape[1], 4, 5)
    quick = ends.tell(links.clone(), regions), ends.hear(links)
    ends.small = False
    torch.testing.assert_close((ends.tell(links, regions), ends.hear(links)), quick)


def test_a_round_of_messages_is_the_formula_it_names(pair_of_tri3: tuple[Simulator, Simulator]) -> None:
    torch.manual_seed(0)
    graph, h = build_graph(pair_of_tri3[0]), torch.randn(3, 4, 16)
    round_ = Messages(16, 8, graph.link_features)
    available, source, target = torch.rand(6, 4), graph.ends.source, graph.ends.target - 3
    links = torch.cat((available.unsqueeze(-1), graph.static_link.unsqueeze(1).expand(-1, 4, -1)), -1)
    message = silu(round_.source(h[source]) + round_.target(h[target]) + round_.link(links))
    zero = torch.zeros(3, 4, 8)
    entering, leaving = zero.index_add(0, target, message), zero.index_add(0, source, message)
    everyone = h.mean(0, keepdim=True).expand_as(h)
    mixed = round_.norm(round_.update(torch.cat((h, entering, leaving, everyone), -1)))
    torch.testing.assert_close(round_(h, available, graph), h + round_.out(silu(mixed)))


@pytest.mark.parametrize("kind", ["region", "mlp"])
def test_an_untrained_actor_nearly_follows_prices(moment: Simulator, kind: str) -> None:
    torch.manual_seed(0)
    actor = build_actor(moment, NetworkConfig.model_validate({"kind": kind}))
    obs = moment.observe(moment.begin(torch.arange(BATCH)))
    assert actor.act(obs).abs().max() < 0.1
    assert actor(obs)[1].shape == (moment.action_size,)


def test_the_region_network_serves_the_full_decoder_too() -> None:
    sim = build_simulator("pair2", "train", overrides=["decoder.name=full", "episode.length_h=6"], year_ids=[0])
    actor = build_actor(sim, NetworkConfig(width=8))
    assert actor.act(torch.randn(BATCH, sim.obs_size)).shape == (BATCH, sim.action_size)


def test_log_prob_and_entropy_match_torch() -> None:
    mean, log_std, bid = torch.randn(4, 5), torch.randn(5), torch.randn(4, 5)
    normal = torch.distributions.Normal(mean, log_std.exp())
    expected, spread = normal.log_prob(bid), normal.entropy()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(log_prob(bid, mean, log_std), expected.sum(-1))
    torch.testing.assert_close(entropy(log_std), spread[0].sum())


@pytest.mark.parametrize("name", ["pair2", "tri3"])
def test_a_hub_of_many_agents_bids_by_what_it_sees_alone(name: str) -> None:
    """Features that no hub publishes move the bids of their own hub and of no other."""
    sim = day_sim(name)
    actor, views = build_actor(sim, NetworkConfig(kind="hub", width=8, layers=1)), hub_views(sim)
    with torch.no_grad():
        for weight in actor.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    obs = torch.randn(1, sim.obs_size, generator=torch.Generator().manual_seed(0))
    owner = views.place // views.bids
    width, backlog = sim.observer.parts["region"][1], sim.observer.slices()["region.backlog"]
    before = actor.act(obs)
    for hub in range(sim.params.n_regions):
        other = obs.clone()
        other[:, hub * width + backlog.start : hub * width + backlog.stop] += 1.0
        moved = (actor.act(other) != before)[0]
        assert moved[owner == hub].any()
        assert not moved[owner != hub].any()
