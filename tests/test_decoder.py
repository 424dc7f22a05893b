"""The default decoder: what bids mean, and that exploring them is safe."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from greenhop.episode.carry import Carry
from greenhop.episode.decoders.shadow_price import ShadowPriceDecoder
from greenhop.episode.simulator import Simulator
from greenhop.physics.state import Flows
from tests.sims import day_sim

STARTS = torch.arange(0, 320, 20)


def decoder_of(sim: Simulator) -> ShadowPriceDecoder:
    assert isinstance(sim.decoder, ShadowPriceDecoder)
    return sim.decoder


def bids(sim: Simulator, **blocks: float) -> Tensor:
    """`[A]` the same bid everywhere in each of the given blocks, zero in the others."""
    sizes = {name: torch.Size(shape).numel() for name, shape in sim.decoder.parts.items()}
    parts = [torch.full((n,), blocks.get(name, 0.0), dtype=sim.params.dtype) for name, n in sizes.items()]
    return torch.cat(parts)


def steps(sim: Simulator, action: Tensor) -> list[tuple[Carry, Flows]]:
    """A day from each of `STARTS` under one action: what each step began with, and what happened in it."""
    carry, out = sim.begin(STARTS), []
    for _ in range(sim.params.steps):
        after, flows = sim.act(carry, action.expand(len(STARTS), -1))
        out.append((carry, flows))
        carry = after
    return out


def above_paid_mwh(carry: Carry, flows: Flows, sim: Simulator) -> Tensor:
    """`[B, R]` import beyond the peak paid for."""
    return (flows.grid_mwh + flows.ppa_mwh - carry.state.peak_mw * sim.params.dt_h).clamp_min(0.0)


def served_mwh(sim: Simulator, action: Tensor) -> float:
    """Deferrable work of the first step."""
    _, flows = steps(sim, action)[0]
    return float(flows.serve_mwh.sum())


def test_a_bid_is_worth_its_price_at_the_ends_and_a_third_of_its_share_near_zero() -> None:
    decoder = decoder_of(day_sim("pair2"))
    most = decoder.config.bid_cny_per_mwh
    prices = decoder.price(torch.tensor([-1.0, -0.003, 0.0, 0.003, 1.0]))
    torch.testing.assert_close(prices, most * torch.tensor([-1.0, -0.001, 0.0, 0.001, 1.0]), rtol=1e-3, atol=1e-6)


def test_time_bids_decide_how_much_runs_now() -> None:
    sim = day_sim("tri3")
    amounts = [served_mwh(sim, bids(sim, time=bid)) for bid in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    assert amounts == sorted(amounts)
    assert amounts[0] < 0.5 * amounts[2] < 0.8 * amounts[-1]


def test_without_a_bid_only_work_that_must_run_imports_more_than_is_paid_for() -> None:
    """No time to wait for anything: all work may be put off, and none of it breaks the peak."""
    sim = day_sim("pair2")
    patient = bids(sim, time=-1.0)
    eager = bids(sim, time=0.6)
    carry, flows = steps(sim, eager)[0]
    _, waiting = steps(sim, patient)[0]
    allowed = above_paid_mwh(carry, waiting, sim) + 1e-3
    assert bool((above_paid_mwh(carry, flows, sim) <= allowed).all())
    assert float(flows.serve_mwh.sum()) > float(waiting.serve_mwh.sum())


def test_a_ceiling_bid_opens_the_connection_by_its_share_in_every_step() -> None:
    sim = day_sim("pair2")
    decoder, p = decoder_of(sim), sim.params
    carry = sim.begin(STARTS)
    row, _ = sim.unpack(carry)
    paid = carry.state.peak_mw * p.dt_h
    for bid in (0.2, 1.0):
        before, ceiling = decoder._ceiling(torch.full_like(paid, bid), carry.state, row)
        share = float(decoder.opening(torch.tensor(bid)))
        torch.testing.assert_close(before, paid)
        torch.testing.assert_close(ceiling, paid + share * (p.connection_mwh - paid))
    assert float(decoder.opening(torch.tensor(0.2))) < 0.02 * float(decoder.opening(torch.tensor(1.0)))
    assert float(decoder.opening(torch.tensor(-1.0))) == 0.0


def test_the_lowest_ceiling_bid_holds_due_work_to_the_peak_paid_for() -> None:
    """With every pool crowded by patience, due work comes; held back it leaves the peaks where they were."""
    sim = day_sim("pair2")
    free, held = (steps(sim, bids(sim, time=-0.8, ceiling=ceiling)) for ceiling in (0.0, -1.0))
    raised, kept = (sum(float(above_paid_mwh(c, f, sim).sum()) for c, f in each) for each in (free, held))
    assert raised > 100.0
    assert kept < 0.5 * raised


def test_a_full_hub_takes_in_the_online_work_that_is_bid_for() -> None:
    sim = day_sim("pair2")
    taken = []
    for bid in (0.3, 1.0):
        action = bids(sim)
        first = sum(torch.Size(s).numel() for n, s in sim.decoder.parts.items() if n in ("place", "time", "storage"))
        action[first : first + len(sim.params.online)] = bid  # of the first region
        action[first + len(sim.params.online) : first + 2 * len(sim.params.online)] = -bid
        taken.append(sum(float(flows.route_mwh.sum()) for _, flows in steps(sim, action)))
    assert taken[1] > 1.1 * taken[0]


@pytest.mark.parametrize("name", ["pair2", "tri3", "hub10"])
def test_random_bids_cost_less_than_staying_put(name: str) -> None:
    from greenhop_agents.policies.rules import Stay
    from greenhop_agents.scoring.evaluate import evaluate

    sim, g = day_sim(name), torch.Generator().manual_seed(0)
    stay = sum(e.cost_cny for e in evaluate(sim, Stay(), STARTS.tolist()))
    carry, cost = sim.begin(STARTS), 0.0
    for _ in range(sim.params.steps):
        carry, flows = sim.act(carry, 2.0 * torch.rand(len(STARTS), sim.action_size, generator=g) - 1.0)
        cost += float(flows.cost_cny.sum())
    assert cost < stay


@pytest.mark.parametrize("block", ["place", "time", "storage", "route", "ceiling"])
def test_the_bill_has_a_gradient_by_every_block_of_the_zero_action(block: str) -> None:
    sim = day_sim("tri3", dtype=torch.float64)
    action = bids(sim).requires_grad_()
    total = torch.stack([flows.cost_cny.sum() for _, flows in steps(sim, action)]).sum()
    (gradient,) = torch.autograd.grad(total, action)
    assert bool(gradient.isfinite().all())
    sizes = [torch.Size(shape).numel() for shape in sim.decoder.parts.values()]
    by_block = dict(zip(sim.decoder.parts, torch.split(gradient, sizes), strict=True))
    assert float(by_block[block].abs().max()) > 0.0
