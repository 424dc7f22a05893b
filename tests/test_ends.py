"""How episodes end: a priced end is a termination and worth nothing more, an end without a price a truncation."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from torch import Tensor

from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.errors import ConfigError
from greenhop.gym.env import HubEnv
from greenhop.gym.vector_env import HubVectorEnv
from greenhop.lp.bound import bound
from greenhop.physics.rewards import potential
from greenhop.physics.state import COST_TERMS
from greenhop_agents.learners.sb3 import HubVecEnv
from greenhop_agents.scoring.bounds import episode_window
from tests.sims import day_sim

SHORT = 4
ONE_YEAR: dict[str, Any] = {"split": "test", "year_ids": [0]}


def short_sim(terminal: bool = True, dtype: torch.dtype = torch.float32) -> Simulator:
    given = [f"episode.length_h={SHORT}", f"episode.terminal={str(terminal).lower()}"]
    return build_simulator("pair2", "test", overrides=given, year_ids=[0], dtype=dtype)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_priced_end_terminates_and_another_truncates(terminal: bool) -> None:
    sim = short_sim(terminal)
    env, envs = HubEnv(sim=sim), HubVectorEnv(2, sim=sim)
    env.reset(seed=0)
    envs.reset(seed=0)
    for t in range(SHORT):
        *_, terminated, truncated, info = env.step(np.zeros(sim.action_size))
        over = t == SHORT - 1
        assert (terminated, truncated) == (over and terminal, over and not terminal)
        assert (info["terminal_cny"] != 0.0) == (over and terminal)
        each = envs.step(np.zeros((2, sim.action_size)))
        assert each[2].tolist() == [terminated] * 2
        assert each[3].tolist() == [truncated] * 2


def test_the_last_observation_announces_the_end() -> None:
    sim = short_sim()
    env = HubEnv(sim=sim)
    seen = [env.reset(seed=0)[0], *(env.step(np.zeros(sim.action_size))[0] for _ in range(SHORT))]
    progress = [float(obs[sim.observer.slices()["progress"]][0]) for obs in seen]
    assert progress == pytest.approx([t / SHORT for t in range(SHORT + 1)])


@pytest.mark.parametrize("terminal", [True, False])
def test_the_bound_ends_as_the_episode_does(terminal: bool) -> None:
    sim = short_sim(terminal, torch.float64)
    window = episode_window(sim, 40)
    found = bound(*window)
    assert found.replay_cost == pytest.approx(found.value, rel=1e-9)
    assert abs(found.relative_gap) < 1e-6
    carry, cost = sim.begin(torch.tensor([40])), 0.0
    for _ in range(SHORT):
        carry, flows = sim.act(carry, torch.zeros(1, sim.action_size, dtype=torch.float64))
        cost += float(flows.cost_cny.sum())
        assert terminal or float(flows.cost_cny[0, COST_TERMS.index("terminal")]) == 0.0
    assert found.lower_bound < cost


def test_an_end_without_a_price_is_cheaper_by_all_that_is_put_off() -> None:
    costs = [bound(*episode_window(short_sim(terminal, torch.float64), 40)).lower_bound for terminal in (True, False)]
    assert costs[1] < 0.8 * costs[0]


@pytest.mark.parametrize("terminal", [True, False])
def test_the_potential_is_billed_at_a_priced_end_and_stays_at_another(terminal: bool) -> None:
    sim = short_sim(terminal)
    state = sim.begin(torch.tensor([3])).state
    assert float(potential(sim.params, state)) != 0.0
    ended = state._replace(t=state.t + SHORT)
    assert float(potential(sim.params, ended)) == (0.0 if terminal else float(potential(sim.params, state)))


@pytest.mark.parametrize("steps", [5, 200])
def test_max_episode_steps_means_the_same_however_an_environment_is_made(steps: int) -> None:
    one = gym.make("greenhop:Pair2-v1", max_episode_steps=steps, **ONE_YEAR)
    ways: list[Any] = [
        gym.make_vec("greenhop:Pair2-v1", max_episode_steps=steps, **ONE_YEAR),
        gym.make_vec("greenhop:Pair2-v1", vectorization_mode="sync", max_episode_steps=steps, **ONE_YEAR),
        gym.make_vec("greenhop:Pair2-v1", overrides=[f"episode.length_h={steps}"], **ONE_YEAR),
    ]
    assert one.spec is not None
    assert one.spec.max_episode_steps == steps
    assert one.unwrapped.sim.params.steps == steps  # type: ignore[attr-defined]
    one.reset(options={"start": 9})
    for envs in ways:
        envs.reset(options={"start": 9})
    for t in range(steps):
        action = np.full((1, *one.action_space.shape), 0.1)  # type: ignore[misc]
        _, reward, terminated, _, info = one.step(action[0])
        assert terminated == (t == steps - 1)
        for envs in ways:
            stepped = envs.step(action)
            assert stepped[1][0] == pytest.approx(reward, rel=1e-4)
            assert bool(stepped[2][0]) == terminated
    assert info["terminal_cny"] > 0.0


def test_the_length_of_an_environment_is_known_and_no_limit_is_put_around_it() -> None:
    env = gym.make("greenhop:Pair2-v1", overrides=["episode.length_h=24"], **ONE_YEAR)
    assert env.spec is not None
    assert env.spec.max_episode_steps == 24
    assert "TimeLimit" not in str(env)
    again = gym.make(env.spec)
    assert again.unwrapped.sim.params.steps == 24  # type: ignore[attr-defined]
    unlimited = gym.make("greenhop:Pair2-v1", max_episode_steps=-1, **ONE_YEAR)
    assert unlimited.unwrapped.sim.params.steps == 168  # type: ignore[attr-defined]


@pytest.mark.parametrize("steps", [0, 2.5, True, "x"])
def test_an_episode_lasts_whole_steps(steps: Any) -> None:
    with pytest.raises(ConfigError, match=r"max_episode_steps = .*; allowed: whole numbers from 1"):
        HubEnv("pair2", "test", year_ids=[0], max_episode_steps=steps)


@pytest.mark.parametrize("terminal", [True, False])
def test_stable_baselines_adds_a_value_only_beyond_an_end_without_a_price(terminal: bool) -> None:
    sim = short_sim(terminal)
    for env in (HubVecEnv(sim, 2), None):
        made: Any = HubEnv(sim=sim) if env is None else env
        model = PPO("MlpPolicy", made, n_steps=SHORT, batch_size=SHORT, n_epochs=1, gamma=0.5, gae_lambda=1.0)
        model.set_logger(Logger(None, []))
        _, callback = model._setup_learn(SHORT, callback=None)
        inner: Any = model.get_env()
        plain, seen = inner.step_wait, list[Any]()

        def watched(plain: Any = plain, seen: Any = seen) -> Any:
            out = plain()
            seen.append((out[1].copy(), out[3]))
            return out

        inner.step_wait = watched
        model.collect_rollouts(inner, callback, model.rollout_buffer, SHORT)
        rewards, infos = seen[-1]
        last = torch.from_numpy(np.stack([info["terminal_observation"] for info in infos]))
        with torch.no_grad():
            value = model.policy.predict_values(last).flatten().numpy()
        assert np.abs(value).min() > 1e-3
        expected = rewards if terminal else rewards + 0.5 * value
        np.testing.assert_allclose(model.rollout_buffer.rewards[-1], expected, rtol=1e-5)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_client_in_the_manner_of_cleanrl_adds_a_value_only_beyond_an_end_without_a_price(terminal: bool) -> None:
    """Its target: `r + γ·V(final_obs)·(1 − terminated)`."""
    envs = HubVectorEnv(2, sim=short_sim(terminal), autoreset_mode="SameStep")
    obs, _ = envs.reset(seed=0)
    for t in range(SHORT):
        following, reward, terminated, truncated, info = envs.step(np.zeros((2, envs.sim.action_size)))
        real = following.copy()
        if (terminated | truncated).any():
            real = np.stack(info["final_obs"].tolist())
        target = reward + 0.9 * value_of(real) * (1.0 - terminated)
        over = t == SHORT - 1
        np.testing.assert_allclose(target, reward if over and terminal else reward + 0.9 * value_of(real))
        obs = following
    assert obs.shape == (2, envs.sim.obs_size)


def value_of(obs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(1.0 + np.abs(obs).sum(-1))


@pytest.mark.parametrize("terminal", [True, False])
def test_torchrl_adds_a_value_only_beyond_an_end_without_a_price(terminal: bool) -> None:
    pytest.importorskip("torchrl", reason="TorchRL is not installed")
    from tensordict import TensorDict
    from torchrl.envs.libs.gym import GymWrapper
    from torchrl.objectives.value.functional import generalized_advantage_estimate

    env = GymWrapper(HubEnv(sim=short_sim(terminal)))
    data = env.rollout(SHORT)
    assert isinstance(data, TensorDict)
    after = data["next"]
    ones: Tensor = torch.ones(SHORT, 1)
    advantage, _ = generalized_advantage_estimate(
        0.5, 1.0, 0.0 * ones, ones, after["reward"], after["done"], after["terminated"]
    )
    beyond = float(advantage[-1] - after["reward"][-1])
    assert beyond == pytest.approx(0.0 if terminal else 0.5)


def test_price_following_for_a_day_costs_what_it_did_without_a_price_but_for_the_end() -> None:
    priced = day_sim("pair2")
    free = build_simulator("pair2", "test", overrides=["episode.length_h=24", "episode.terminal=false"], year_ids=[0])
    bills = []
    for sim in (priced, free):
        env = HubEnv(sim=sim, compile=False)
        env.reset(options={"start": 7})
        bills.append([env.step(np.zeros(sim.action_size))[4] for _ in range(24)])
    for with_price, without in zip(*bills, strict=True):
        rest = {name: x for name, x in with_price.items() if name != "terminal_cny"}
        assert rest == {name: x for name, x in without.items() if name != "terminal_cny"}
