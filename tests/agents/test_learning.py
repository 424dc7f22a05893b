"""Learners find the known optimum of a two-state problem, and improve `pair2`."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.errors import ConfigError
from greenhop_agents.base.hardware import waits
from greenhop_agents.learners.algorithms import ppo, shac
from greenhop_agents.learners.networks import matrix_products
from greenhop_agents.policies.rules import PriceFollow
from greenhop_agents.scoring.evaluate import evaluate
from tests.agents.toy import STEPS, A, B, Toy, learner_on, toy_learner, toy_score

NET = {"kind": "mlp", "width": 32, "layers": 2}
UNPRICED = {"reward": "bill", "baseline": "price_follow", "group_size": 1}  # the toy has no terminal prices
CLOSE = 95.0  # % of the saving that the Riccati solution makes
CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "shac": ("shac", {"horizon": 4, "learning_rate": 1e-2, "critic_warmup": 10, "num_envs": 64, "network": NET}, 35),
    "analytic": ("shac", {"horizon": 0, "learning_rate": 1e-2, "num_envs": 64, "network": NET}, 15),
    "analytic by Muon": (
        "shac",
        {"horizon": 0, "learning_rate": 3e-2, "num_envs": 64, "network": NET, "optimiser": "muon"},
        15,
    ),
    "ppo": (
        "ppo",
        {"horizon": 12, "num_envs": 128, "learning_rate": 3e-3, "network": NET | {"log_std": -0.7}} | UNPRICED,
        15,
    ),
    "ppo in groups": (
        "ppo",
        {"horizon": 12, "num_envs": 128, "learning_rate": 3e-3, "network": NET | {"log_std": -0.7}, "reward": "bill"},
        15,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_learner_nearly_reaches_the_riccati_optimum(case: str) -> None:
    kind, options, updates = CASES[case]
    toy = Toy()
    learner = toy_learner(kind, options, toy=toy)
    for i in range(updates):
        learner.learn_once(i / updates)
    assert toy_score(toy, learner.actor.act) > CLOSE


@pytest.mark.parametrize("network", [{"kind": "constant"}, {"kind": "mlp", "layers": 0}])
def test_muon_needs_hidden_layers_that_follow_one_another(network: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"needs network\.kind=mlp with hidden layers"):
        toy_learner("shac", {"horizon": 0, "optimiser": "muon", "network": network})


def cost(sim: Simulator, policy: Any) -> float:
    """Mean cost of eight episodes."""
    return sum(e.cost_cny for e in evaluate(sim, policy, sim.bank.spread(8))) / 8


@pytest.mark.slow
def test_the_analytic_gradient_beats_price_following_on_pair2(day: Simulator) -> None:
    options = {"horizon": 0, "num_envs": 32, "learning_rate": 5e-3, "network": {"width": 32}}
    updates = 16
    learner = learner_on(day, "shac", options, 0)
    for i in range(updates):
        learner.learn_once(i / updates)
    held_out = build_simulator(day.scenario, "val", year_ids=[0])
    assert cost(held_out, learner.policy()) < cost(held_out, PriceFollow())


@pytest.mark.slow
def test_ppo_beats_price_following_on_pair2(day: Simulator) -> None:
    options = {"num_envs": 128, "network": {"width": 32, "layers": 1, "log_std": -1.5}}
    learner = learner_on(day, "ppo", options, 0)
    for _ in range(12):
        learner.learn_once(0.0)
    held_out = build_simulator(day.scenario, "val", year_ids=[0])
    assert cost(held_out, learner.policy()) < cost(held_out, PriceFollow())


def test_the_analytic_gradient_is_the_derivative_of_the_episode_reward() -> None:
    toy = Toy()
    options = {"horizon": 0, "num_envs": 8, "network": NET}
    learner = toy_learner("shac", options, toy=toy)
    agent = learner
    assert isinstance(agent, shac.Shac)
    agent.noise.zero_()
    weight = agent.actor.get_parameter("mean.6.bias")

    def objective() -> torch.Tensor:
        return shac.collect(agent)[0].objective

    (grad,) = torch.autograd.grad(objective(), weight)
    h = 1e-2
    with torch.no_grad():
        weight.add_(h)
        high = objective()
        weight.sub_(2 * h)
        low = objective()
    torch.testing.assert_close(grad, ((high - low) / (2 * h)).reshape(1), rtol=1e-2, atol=1e-4)


def test_windows_of_a_staggered_fleet_cover_the_whole_episode() -> None:
    toy = Toy()
    options = {"horizon": 4, "num_envs": 9, "critic_warmup": 0, "network": NET}
    learner = toy_learner("shac", options, toy=toy)
    assert sorted(set(learner.fleet.t.tolist())) == [0, 4, 8]
    assert (learner.fleet.carry.state.t.numpy() == learner.fleet.t).all()
    learner.learn_once(0.0)
    assert (learner.fleet.carry.state.t.numpy() == learner.fleet.t).all()


@pytest.mark.parametrize("priced", [True, False])
def test_ppo_adds_the_value_of_the_final_observation_only_where_the_end_has_no_price(priced: bool) -> None:
    toy = Toy()
    toy.params.prices_end = priced
    options = {"horizon": STEPS, "num_envs": 4, "network": NET} | UNPRICED
    agent = toy_learner("ppo", options, toy=toy)
    assert isinstance(agent, ppo.Ppo)
    rollout, _ = ppo.collect(agent)
    last = rollout.obs[-1, :, :2] / 2.0
    final = last @ A.T + torch.tanh(rollout.bid[-1]) @ B.T
    value = agent.critic(torch.cat((2.0 * final, torch.ones(4, 1)), -1)).detach() * agent.scale
    assert value.abs().min() > 0.0
    torch.testing.assert_close(rollout.next_value[-1], torch.zeros(4) if priced else value)
    torch.testing.assert_close(rollout.next_value[:-1], rollout.value[1:])


def weights_after_an_update(**options: Any) -> torch.Tensor:
    """All weights of a PPO actor on the toy after one update."""
    chosen = {"horizon": STEPS, "num_envs": 16, "target_kl": None, "network": NET} | UNPRICED | options
    learner = toy_learner("ppo", chosen)
    learner.learn_once(0.0)
    return torch.nn.utils.parameters_to_vector(learner.actor.parameters()).detach()


def test_an_update_in_bfloat16_is_close_to_one_in_float32() -> None:
    exact, rounded = weights_after_an_update(), weights_after_an_update(bf16=True)
    start = weights_after_an_update(learning_rate=1e-9)
    moved = (exact - start).norm()
    assert 0.0 < float((rounded - exact).norm()) < 0.5 * float(moved)


def test_tensor_float_32_is_a_matter_of_updates_alone() -> None:
    before = torch.get_float32_matmul_precision()
    with matrix_products(True):
        assert torch.get_float32_matmul_precision() == "high"
    assert torch.get_float32_matmul_precision() == before
    with matrix_products(False):
        assert torch.get_float32_matmul_precision() == before
    assert torch.equal(weights_after_an_update(tf32=True), weights_after_an_update())  # on a CPU it changes nothing


def test_the_learning_rate_falls_where_kl_is_large_and_rises_where_it_is_small() -> None:
    rates = []
    for kl in (0.05, 0.02, 0.005, 1e9):
        rate = torch.tensor(1e-3)
        ppo.adapt(rate, torch.tensor(kl), 0.02)
        rates.append(float(rate))
    assert rates == pytest.approx([1e-3 / 1.5, 1e-3, 1.5e-3, 1e-3 / 1.5])
    floor = torch.tensor(1.1e-5)
    ppo.adapt(floor, torch.tensor(1.0), 0.02)
    assert float(floor) == pytest.approx(1e-5)
    kept = torch.tensor(5.0)
    ppo.adapt(kept, torch.tensor(1.0), None)
    assert float(kept) == 5.0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("kind", ["ppo", "shac"])
def test_a_captured_update_is_the_update_and_waits_for_nothing(kind: str) -> None:
    day = build_simulator("pair2", "train", overrides=["episode.length_h=24"], year_ids=[0], device="cuda")
    learners = [
        learner_on(day, kind, {"num_envs": 64, "horizon": 6, "critic_warmup": 1, "compile": True, "graph": graph}, 0)
        for graph in (False, True)
    ]
    for i in range(6):
        eager, captured = (learner.learn_once(i / 6)["rollout/ep_rew_mean"].clone() for learner in learners)
        torch.testing.assert_close(captured, eager, rtol=1e-3, atol=1e-5)
    assert learners[1].captured is not None
    assert (learners[1].fleet.t == learners[0].fleet.t).all()
    assert [waits(partial(learner.learn_once, 0.0)) for learner in learners] == [0, 0]


def test_a_graph_of_an_update_needs_a_gpu() -> None:
    with pytest.raises(ConfigError, match=r"graph = true needs device=cuda, not cpu"):
        toy_learner("shac", {"graph": True})


def test_a_group_lives_the_same_weeks_and_its_rewards_count_beyond_the_others() -> None:
    learner = toy_learner("ppo", {"horizon": STEPS, "num_envs": 12, "group_size": 4, "reward": "bill", "network": NET})
    for _ in range(2):  # before and after the first episodes have ended
        begun = learner.fleet.carry.state.world_row.reshape(-1, 4)
        assert (begun == begun[:, :1]).all()
        assert len(begun[:, 0].unique()) == 3
        rollout, learner.fleet = ppo.collect(learner)
    torch.testing.assert_close(rollout.reward.reshape(STEPS, 3, 4).sum(-1), torch.zeros(STEPS, 3), atol=1e-5, rtol=0.0)
    paid = -rollout.reported[..., 0].reshape(STEPS, 3, 4)
    others = (paid.sum(-1, keepdim=True) - paid) / 3.0
    torch.testing.assert_close(rollout.reward.reshape(STEPS, 3, 4), paid - others)


def test_noise_and_divergence_fall_to_the_end() -> None:
    options = {"horizon": STEPS, "num_envs": 8, "reward": "bill", "network": NET, "final_noise": 0.25}
    learner = toy_learner("ppo", {**options, "target_kl": 0.06, "final_target_kl": 0.01})
    told = [learner.learn_once(done) for done in (0.0, 0.5, 1.0)]
    noise = [float(m["train/std"]) for m in told]
    assert noise[0] > noise[1] > noise[2]
    assert [float(m["train/target_kl"]) for m in told] == pytest.approx([0.06, 0.035, 0.01])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"num_envs": 12}, "multiple of group_size = 8"), ({"group_size": 1}, "needs others to compare with")],
)
def test_groups_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        toy_learner("ppo", options)
