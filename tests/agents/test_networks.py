"""Networks: equivariance, transfer to other graphs, and what they start from."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from greenhop.episode.decoders.base import split_action
from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.gym.hub_views import hub_views
from greenhop.scenario.config import ScenarioConfig
from greenhop.scenario.find import load_scenario
from greenhop_agents.learners.networks import (
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


def test_the_same_weights_run_on_another_number_of_regions(pair_of_tri3: tuple[Simulator, Simulator]) -> None:
    sim = day_sim("hub10")
    actor = build_actor(pair_of_tri3[0], NetworkConfig(width=16))
    other = build_actor(sim, NetworkConfig(width=16))
    other.load_state_dict(actor.state_dict())
    assert other.act(torch.randn(BATCH, sim.obs_size)).shape == (BATCH, sim.action_size)


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
