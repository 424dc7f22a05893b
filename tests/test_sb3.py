"""Stable-Baselines3 on the batched simulator: what algorithms read from the adapter, policies that come back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from stable_baselines3.common.logger import KVWriter, Logger

from greenhop.errors import ActionError, ConfigError
from greenhop.gym.env import HubEnv
from greenhop.physics.rewards import REPORTED
from greenhop.scenario.find import config_dir
from greenhop_agents.learners.sb3 import (
    EnvTerms,
    HubFeatures,
    HubVecEnv,
    Quieten,
    as_policy,
    build_env,
    build_model,
    learn,
    sb3_config,
)
from greenhop_agents.learners.weights import save_policy
from greenhop_agents.policies.policy import ActionPolicy
from greenhop_agents.scoring.evaluate import evaluate
from greenhop_agents.shelf.beginning import start_run
from greenhop_agents.shelf.runs import load_policy
from tests.sims import day_sim

SMALL: dict[str, Any] = {"n_steps": 24, "batch_size": 24, "n_epochs": 1, "policy_kwargs": {"net_arch": [16]}}


def model_of(env: HubVecEnv, algorithm: str, seed: int, options: dict[str, Any]) -> Any:
    """A model with these options."""
    return model_as(env, {"algorithm": algorithm, "num_envs": env.num_envs, "options": options}, seed)


def model_as(env: HubVecEnv, agent: dict[str, Any], seed: int) -> Any:
    """A model as an agent's configuration describes it."""
    return build_model(env, sb3_config(agent), seed)


def test_finished_episodes_carry_the_infos_that_algorithms_read() -> None:
    sim = day_sim("pair2")
    env = HubVecEnv(sim, 2, seed=4)
    obs: Any = env.reset()
    single = HubEnv(sim=sim)
    start = int(np.searchsorted(sim.bank.starts.numpy(), env.tensors.carry.state.world_row[0].item()))
    np.testing.assert_allclose(obs[0], single.reset(options={"start": start})[0], atol=1e-5)
    rng, returns, grid = np.random.default_rng(0), np.zeros(2), 0.0
    for t in range(24):
        action = rng.uniform(-1, 1, (2, sim.action_size)).astype(np.float32)
        obs, rewards, dones, infos = env.step(action)
        last, _, _, _, info = single.step(action[0])
        returns += rewards
        grid += info["grid_mwh"]
        if t < 23:
            assert infos == [{}, {}]
            assert not dones.any()
    assert dones.all()
    assert infos[0]["TimeLimit.truncated"] is False, "the last step has priced what it leaves"
    np.testing.assert_allclose(infos[0]["terminal_observation"], last, atol=1e-4)
    assert not np.allclose(obs[0], last, atol=1e-3), "the returned observation belongs to the next episode"
    assert infos[0]["episode"]["l"] == 24
    assert infos[0]["episode"]["r"] == pytest.approx(returns[0], rel=1e-5)
    assert infos[0]["episode"]["t"] > 0
    assert tuple(infos[0]["totals"]) == REPORTED
    assert infos[0]["totals"]["grid_mwh"] == pytest.approx(grid, rel=1e-4)


def test_bad_actions_are_refused_and_unsupported_calls_say_so() -> None:
    env = HubVecEnv(day_sim("pair2"), 2)
    env.reset()
    with pytest.raises(ActionError, match="NaN"):
        env.step(np.full((2, env.sim.action_size), np.nan, dtype=np.float32))
    with pytest.raises(ConfigError, match="share one simulator"):
        env.set_attr("sim", None)
    with pytest.raises(ConfigError, match="no single environments"):
        env.env_method("render")
    assert env.get_attr("num_envs") == [2, 2]
    assert env.env_is_wrapped(object) == [False, False]  # type: ignore[arg-type]


class Recorder(KVWriter):
    """Keeps everything an algorithm logs."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        self.rows.append(dict(key_values))


def test_training_logs_the_usual_tags_and_every_cost_term() -> None:
    model = model_of(HubVecEnv(day_sim("pair2"), 2), "ppo", 0, SMALL)
    seen = Recorder()
    model.set_logger(Logger(None, [seen]))
    model.learn(96, callback=EnvTerms())
    assert {"rollout/ep_rew_mean", "rollout/ep_len_mean", "time/fps", "train/approx_kl"} <= set(seen.rows[-1])
    assert {f"env/{name}" for name in REPORTED} <= set(seen.rows[-1])
    assert all(np.isfinite(v) for v in seen.rows[-1].values())


def test_learning_writes_a_tensorboard_file(tmp_path: Path) -> None:
    model = model_of(HubVecEnv(day_sim("pair2"), 2), "ppo", 0, SMALL)
    learn(model, 48, tmp_path, [])
    assert list(tmp_path.glob("events.out.tfevents.*"))


def test_the_same_seed_trains_the_same_policy() -> None:
    weights = []
    for _ in range(2):
        model = model_of(HubVecEnv(day_sim("pair2"), 2, seed=1), "ppo", 1, SMALL)
        model.set_logger(Logger(None, []))
        model.learn(96)
        weights.append(torch.nn.utils.parameters_to_vector(model.policy.parameters()))
    assert torch.equal(*weights)


def test_a_saved_policy_comes_back_with_the_same_actions(tmp_path: Path) -> None:
    sim = day_sim("pair2")
    agent = {"name": "sb3_ppo", "kind": "sb3", "algorithm": "ppo", "num_envs": 2, "options": SMALL}
    model = model_of(HubVecEnv(sim, 2), "ppo", 3, SMALL)
    start_run(tmp_path / "run", OmegaConf.create({"agent": agent, "seed": 3, "scenario": {"name": "pair2"}}), sim)
    save_policy(tmp_path / "run", model.policy.state_dict())
    ours, theirs = as_policy(model, "sb3_ppo"), load_policy(tmp_path / "run", sim)
    assert [e.totals for e in evaluate(sim, ours, [1, 9])] == [e.totals for e in evaluate(sim, theirs, [1, 9])]
    save_policy(tmp_path / "run", {"other": torch.zeros(3)})
    with pytest.raises(ConfigError, match="weights do not fit"):
        load_policy(tmp_path / "run", sim)
    with pytest.raises(ConfigError, match="obs_size"):
        load_policy(tmp_path / "run", day_sim("tri3"))


def test_the_policy_is_the_deterministic_action_of_the_model() -> None:
    sim = day_sim("pair2")
    model = model_of(HubVecEnv(sim, 3), "ppo", 0, SMALL)
    obs = HubVecEnv(sim, 3).reset()
    assert isinstance(obs, np.ndarray)
    with torch.no_grad():
        policy = as_policy(model, "sb3_ppo")
        assert isinstance(policy, ActionPolicy)
        ours = policy.act(torch.from_numpy(obs)).clamp(-1, 1).numpy()
    np.testing.assert_allclose(ours, model.predict(obs, deterministic=True)[0], atol=1e-6)


def test_unknown_algorithms_and_keywords_are_user_errors() -> None:
    env = HubVecEnv(day_sim("pair2"), 1)
    with pytest.raises(ConfigError, match=r"algorithm = 'dqn'.*'ppo', 'sac', 'td3', 'recurrent_ppo' or 'tqc'"):
        model_of(env, "dqn", 0, {})
    with pytest.raises(ConfigError, match=r"agent\.options.*n_step"):
        model_of(env, "ppo", 0, {"n_step": 3})


HUB: dict[str, Any] = {
    "name": "ppo", "kind": "sb3", "algorithm": "ppo", "num_envs": 2, "baseline": "price_follow",
    "network": {"kind": "region", "width": 8, "layers": 0, "log_std": -1.8},
    "options": {"n_steps": 24, "batch_size": 24, "n_epochs": 1},
}  # fmt: skip


@pytest.mark.parametrize("reward", ["bill", "accrual"])
def test_rewards_beyond_price_following_are_zero_for_the_zero_action(reward: str) -> None:
    sim = day_sim("pair2")
    env = build_env(sim, sb3_config(HUB | {"reward": reward}), seed=0)
    env.reset()
    for t in range(30):  # into the second episode
        _, rewards, dones, infos = env.step(np.zeros((2, sim.action_size), dtype=np.float32))
        np.testing.assert_allclose(rewards, 0.0, atol=1e-5)
        assert dones.all() == (t == 23)
        if dones.any():
            assert infos[0]["TimeLimit.truncated"] is False
            assert infos[0]["totals"]["grid_mwh"] > 0


def test_an_encoder_shared_by_the_hubs_starts_at_price_following_learns_and_comes_back(tmp_path: Path) -> None:
    sim = day_sim("pair2")
    model = model_as(build_env(sim, sb3_config(HUB), seed=0), HUB, seed=0)
    obs = HubVecEnv(sim, 2).reset()
    assert isinstance(obs, np.ndarray)
    assert np.abs(model.predict(obs, deterministic=True)[0]).max() < 0.1
    before = [e.cost_cny for e in evaluate(sim, as_policy(model, "ppo"), [1, 9])]
    learn(model, 96, tmp_path / "curves", [])
    start_run(tmp_path / "run", OmegaConf.create({"agent": HUB, "seed": 0, "scenario": {"name": "pair2"}}), sim)
    save_policy(tmp_path / "run", model.policy.state_dict())
    ours, theirs = (evaluate(sim, p, [1, 9]) for p in (as_policy(model, "ppo"), load_policy(tmp_path / "run", sim)))
    assert [e.totals for e in ours] == [e.totals for e in theirs]
    assert [e.cost_cny for e in ours] != before


def test_only_ppo_takes_our_networks() -> None:
    with pytest.raises(ConfigError, match="algorithm ppo"):
        model_as(HubVecEnv(day_sim("pair2"), 1), {**HUB, "algorithm": "sac", "options": {}}, seed=0)


OFF_POLICY = {"learning_starts": 4, "batch_size": 8, "gradient_steps": 1, "policy_kwargs": {"net_arch": [16]}}
WITH_FEATURES: dict[str, dict[str, Any]] = {
    "ppo": SMALL,
    "recurrent_ppo": {**SMALL, "policy_kwargs": {"net_arch": [16], "lstm_hidden_size": 8}},
    "sac": OFF_POLICY,
    "td3": OFF_POLICY,
    "tqc": OFF_POLICY,
}


@pytest.mark.parametrize("algorithm", WITH_FEATURES)
@pytest.mark.parametrize("kind", ["region", "mlp"])
def test_our_encoder_stands_in_front_of_any_algorithm_learns_and_comes_back(
    algorithm: str, kind: str, tmp_path: Path
) -> None:
    sim = day_sim("pair2")
    features = {"kind": kind, "width": 8, "layers": 1}
    agent = {**HUB, "algorithm": algorithm, "network": None, "features": features, "options": WITH_FEATURES[algorithm]}
    model = model_as(build_env(sim, sb3_config(agent), seed=0), agent, seed=0)
    extractors = [m for m in model.policy.modules() if isinstance(m, HubFeatures)]
    assert {m.features_dim for m in extractors} == {8 * (len(sim.params.regions) if kind == "region" else 1)}
    before = {name: x.clone() for name, x in extractors[0].named_parameters()}
    learn(model, 48, tmp_path / "curves", [])
    assert any(not torch.equal(x, before[name]) for name, x in extractors[0].named_parameters())
    start_run(tmp_path / "run", OmegaConf.create({"agent": agent, "seed": 0, "scenario": {"name": "pair2"}}), sim)
    save_policy(tmp_path / "run", model.policy.state_dict())
    ours, theirs = (evaluate(sim, p, [1, 9]) for p in (as_policy(model, "x"), load_policy(tmp_path / "run", sim)))
    assert [e.totals for e in ours] == [e.totals for e in theirs]


def test_a_policy_with_memory_forgets_between_evaluations_and_not_within() -> None:
    sim = day_sim("pair2")
    model = model_of(HubVecEnv(sim, 2), "recurrent_ppo", 0, WITH_FEATURES["recurrent_ppo"])
    policy = as_policy(model, "remembers")
    first, second = (evaluate(sim, policy, [1, 9]) for _ in range(2))
    assert [e.totals for e in first] == [e.totals for e in second]
    carry = sim.begin(torch.tensor([1]))
    policy.reset(sim)
    with torch.no_grad():
        once, twice = (policy.decide(sim, carry).serve_mwh for _ in range(2))
    assert not torch.equal(once, twice)


def test_an_algorithm_of_a_package_that_is_not_there_is_one_line_that_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    with pytest.raises(ConfigError, match=r"'tqc' needs sb3-contrib, .*pip install 'greenhop\[contrib\]'"):
        model_of(HubVecEnv(day_sim("pair2"), 1), "tqc", 0, {})


def test_every_preset_judges_an_episode_as_a_whole_and_takes_the_weather_out_of_rewards() -> None:
    files = sorted((config_dir() / "agent").glob("sb3_*.yaml"))
    presets = [
        sb3_config({str(k): v for k, v in dict(OmegaConf.load(path)).items() if k != "defaults"}) for path in files
    ]
    assert {p.algorithm for p in presets} == set(WITH_FEATURES)
    for preset in presets:
        assert preset.baseline in ("group", "price_follow")
        on_policy = "gae_lambda" in preset.options.model_fields_set
        assert preset.reward == ("bill" if on_policy and preset.options.gae_lambda == 1.0 else "accrual")
        assert preset.options.gamma == 1.0 if on_policy else preset.options.gamma >= 0.99


def test_rates_fall_in_a_line_and_activations_have_names() -> None:
    agent = {
        "algorithm": "sac",
        "num_envs": 1,
        "final_learning_rate": 1e-4,
        "options": {"learning_rate": 1e-3, "policy_kwargs": {"net_arch": [8], "activation_fn": "normed_silu"}},
    }
    model = model_as(HubVecEnv(day_sim("pair2"), 1), agent, 0)
    assert [model.lr_schedule(left) for left in (1.0, 0.5, 0.0)] == pytest.approx([1e-3, 5.5e-4, 1e-4])
    hidden = model.critic.q_networks[0][0](torch.randn(4, model.critic.q_networks[0][0].in_features))
    normed = model.critic.q_networks[0][1](hidden)
    expected = torch.nn.functional.silu(torch.nn.functional.layer_norm(hidden, (8,)))
    torch.testing.assert_close(normed, expected)
    agent["options"]["policy_kwargs"]["activation_fn"] = "gelu"  # type: ignore[index]
    with pytest.raises(ConfigError, match=r"activation_fn = 'gelu' is unknown; allowed: tanh, relu"):
        model_as(HubVecEnv(day_sim("pair2"), 1), agent, 0)


def test_the_noise_of_a_policy_gradient_falls_to_the_end(tmp_path: Path) -> None:
    model = model_of(HubVecEnv(day_sim("pair2"), 2), "ppo", 0, SMALL)
    first = model.policy.log_std.detach().clone()
    learn(model, 96, tmp_path, [Quieten(0.25, 96)])
    fallen = model.policy.log_std.detach() - first
    assert float(fallen.max()) == pytest.approx(float(np.log(0.25)), abs=0.01)  # and one update since
