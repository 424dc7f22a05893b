"""The manners of a Gymnasium environment: copies, seeds, options, information, refusals, pictures, wrappers."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import vector as vector_wrappers
from numpy.typing import NDArray

from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.errors import ActionError, ConfigError
from greenhop.gym.env import HubEnv
from greenhop.gym.tensor_env import TensorVectorEnv
from greenhop.gym.vector_env import HubVectorEnv
from greenhop.physics.rewards import REPORTED
from tests.sims import day_sim

SHORT = 4
ONE_YEAR: dict[str, Any] = {"split": "test", "year_ids": [0]}
EPISODE = ("episode_start", "year", "day_of_year")


@pytest.fixture(scope="module")
def short_sim() -> Simulator:
    return build_simulator("pair2", "test", overrides=[f"episode.length_h={SHORT}"], year_ids=[0])


def actions(sim: Simulator, num_envs: int, steps: int) -> NDArray[np.float32]:
    shape = (steps, num_envs, sim.action_size)
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def pickled(x: Any) -> Any:
    return pickle.loads(pickle.dumps(x))


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
@pytest.mark.parametrize("compile", [None, False])
def test_a_copy_in_the_middle_of_an_episode_goes_on_bitwise(
    short_sim: Simulator, copied: Callable[[Any], Any], compile: bool | None
) -> None:
    given: dict[str, Any] = {"sim": short_sim, "compile": compile}
    one, many = HubEnv(render_mode="ansi", **given), HubVectorEnv(3, baseline="group", group_size=3, **given)
    one.reset(seed=3)
    many.reset(seed=3)
    first, *rest = actions(short_sim, 3, 2 * SHORT)
    one.step(first[0])
    many.step(first)
    single, batch = copied(one), copied(many)
    assert single.render() == one.render()
    for action in rest:
        for a, b in zip(many.step(action)[:4], batch.step(action)[:4], strict=True):
            np.testing.assert_array_equal(a, b)
        if one.tensors.t[0] == SHORT:
            one.reset()
            single.reset()
        ours, theirs = one.step(action[0]), single.step(action[0])
        np.testing.assert_array_equal(ours[0], theirs[0])
        assert ours[1:] == theirs[1:]


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
def test_a_copy_of_the_tensor_environments_goes_on_bitwise(short_sim: Simulator, copied: Callable[[Any], Any]) -> None:
    envs = TensorVectorEnv(short_sim, 3, seed=3, compile=None, reward="accrual", baseline="price_follow")
    first, *rest = torch.from_numpy(actions(short_sim, 3, SHORT))
    envs.step(first)
    other = copied(envs)
    for action in rest:
        for a, b in zip(envs.step(action), other.step(action), strict=True):
            np.testing.assert_array_equal(a, b)
    assert torch.equal(envs.restart(np.ones(3, dtype=bool)), other.restart(np.ones(3, dtype=bool)))


def test_environments_run_in_worker_processes() -> None:
    def make() -> gym.Env[Any, Any]:
        return gym.make("greenhop:Pair2-v1", overrides=[f"episode.length_h={SHORT}"], **ONE_YEAR)

    here = HubVectorEnv(2, "pair2", overrides=[f"episode.length_h={SHORT}"], **ONE_YEAR)
    there: Any = gym.vector.AsyncVectorEnv([make, make])
    try:
        np.testing.assert_allclose(there.reset(seed=4)[0], here.reset(seed=4)[0], rtol=1e-5, atol=1e-5)
        for action in actions(here.sim, 2, SHORT + 2):
            for a, b in zip(there.step(action)[:4], here.step(action)[:4], strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    finally:
        there.close()


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_the_batch_is_to_its_clients_what_gymnasium_makes_of_single_environments(
    short_sim: Simulator, mode: AutoresetMode
) -> None:
    ours = HubVectorEnv(2, sim=short_sim, autoreset_mode=mode)
    theirs: Any = gym.vector.SyncVectorEnv([lambda: HubEnv(sim=short_sim) for _ in range(2)], autoreset_mode=mode)
    assert ours.autoreset_mode == mode == ours.metadata["autoreset_mode"]
    assert_alike(ours.reset(seed=3), theirs.reset(seed=3))
    for action in actions(short_sim, 2, 2 * SHORT + 3):
        one, two = ours.step(action), theirs.step(action)
        assert_alike(one, two)
        if mode == AutoresetMode.DISABLED and one[2].all():
            mask = {"reset_mask": np.ones(2, dtype=bool)}
            assert_alike(ours.reset(options=dict(mask)), theirs.reset(options=dict(mask)))


def assert_alike(ours: Any, theirs: Any) -> None:
    """Numbers within rounding, the same names, the same masks."""
    if isinstance(ours, dict):
        assert set(ours) == set(theirs)
        for name in ours:
            assert_alike(ours[name], theirs[name])
    elif isinstance(ours, tuple):
        for a, b in zip(ours, theirs, strict=True):
            assert_alike(a, b)
    elif ours.dtype == object:
        assert_alike(tuple(ours), tuple(theirs))
    else:
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-2)


def test_a_reset_says_which_episode_it_is_and_knows_every_key_of_a_step(short_sim: Simulator) -> None:
    env, envs = HubEnv(sim=short_sim), HubVectorEnv(2, sim=short_sim)
    _, info = env.reset(options={"start": 40})
    assert tuple(info) == (*REPORTED, *EPISODE)
    assert all(info[name] == 0 for name in REPORTED)
    assert all(isinstance(x, np.generic) for x in info.values())
    row = int(short_sim.bank.starts[40])
    assert [int(info[name]) for name in EPISODE] == [40, 0, row // 24 + 1]
    _, same = env.reset(options={"start": info["episode_start"]})
    assert same == info
    assert all(isinstance(x, np.generic) for x in env.step(np.zeros(short_sim.action_size))[4].values())
    _, info = envs.reset(options={"start": [40, 3]})
    assert info["episode_start"].tolist() == [40, 3]
    assert info["_day_of_year"].all()


def test_a_deep_copy_of_info_shares_its_scalars_and_copies_what_others_put_in(short_sim: Simulator) -> None:
    env = HubEnv(sim=short_sim)
    env.reset(seed=0)
    info = env.step(np.zeros(short_sim.action_size))[4]
    info["terminal_observation"], info["episode"] = np.zeros(3), {"r": 1.0}
    info["itself"] = info
    copied = copy.deepcopy([info])[0]
    assert copied is not info
    assert list(copied) == list(info)
    assert all(copied[name] is info[name] for name in REPORTED), "nothing is copied that cannot change"
    copied["terminal_observation"][:] = 1.0
    copied["episode"]["r"] = 2.0
    copied["grid_mwh"] = np.float32(-1.0)
    assert not info["terminal_observation"].any()
    assert info["episode"]["r"] == 1.0
    assert info["grid_mwh"] >= 0
    assert copied["itself"] is copied


def test_years_are_those_of_the_split() -> None:
    sim = build_simulator("pair2", "train", overrides=["episode.length_h=24"], year_ids=[3, 5])
    half = sim.bank.n_starts // 2
    _, info = HubVectorEnv(2, sim=sim).reset(options={"start": [half - 1, half]})
    assert info["year"].tolist() == [3, 5]
    assert info["day_of_year"][1] < info["day_of_year"][0] <= 365


def test_every_environment_has_the_seed_that_it_is_given(short_sim: Simulator) -> None:
    envs, one = HubVectorEnv(3, sim=short_sim), HubEnv(sim=short_sim)
    envs.reset(seed=[5, 5, 2**40 + 1])
    starts = envs.tensors.starts.tolist()
    assert starts[0] == starts[1] != starts[2]
    for seed, start in zip((5, 2**40 + 1), (starts[0], starts[2]), strict=True):
        assert one.reset(seed=seed)[1]["episode_start"] == start
    envs.reset(seed=[5, None, 5])
    assert envs.tensors.starts.tolist()[::2] == [starts[0]] * 2
    with pytest.raises(ConfigError, match="2 seeds are given for 3 environments"):
        envs.reset(seed=[1, 2])


@pytest.mark.parametrize("seed", [1.5, "ab", [1.5, 2], [1, -1], -1, [[1], [2]], np.array([0.5, 1.0])])
def test_seeds_that_are_none_are_refused_in_one_line(short_sim: Simulator, seed: Any) -> None:
    with pytest.raises(ConfigError, match=r"^seed = .*; allowed: whole numbers from 0"):
        HubVectorEnv(2, sim=short_sim).reset(seed=seed)


def test_some_environments_can_be_seeded_while_the_others_go_on(short_sim: Simulator) -> None:
    envs = HubVectorEnv(2, sim=short_sim, autoreset_mode="Disabled")
    envs.reset(seed=0)
    before = envs.tensors.starts.copy()
    envs.reset(seed=[9, 9], options={"reset_mask": np.array([False, True])})
    assert envs.tensors.starts[0] == before[0]
    assert envs.tensors.starts[1] == HubEnv(sim=short_sim).reset(seed=9)[1]["episode_start"]


@pytest.mark.parametrize("start", [1.7, True, "x", -1, 10**6, [1, 2, 3], None.__class__, torch.tensor(1.0)])
def test_starts_that_are_none_are_refused(short_sim: Simulator, start: Any) -> None:
    for env in (HubEnv(sim=short_sim), HubVectorEnv(2, sim=short_sim)):
        with pytest.raises(ConfigError, match=r"options\['start'\] = .*; allowed: one.* of the integers 0…"):
            env.reset(options={"start": start})


def test_one_start_serves_all_environments(short_sim: Simulator) -> None:
    envs = HubVectorEnv(3, sim=short_sim)
    envs.reset(options={"start": np.int64(7)})
    assert envs.tensors.starts.tolist() == [7, 7, 7]


@pytest.mark.parametrize("options", [{"starts": 1}, {"Start": 1}, 5])
def test_unknown_options_are_refused(short_sim: Simulator, options: Any) -> None:
    for env in (HubEnv(sim=short_sim), HubVectorEnv(2, sim=short_sim)):
        with pytest.raises(ConfigError, match=r"options .*; allowed: .*start"):
            env.reset(options=options)


def test_no_step_is_taken_before_an_episode_or_after_its_end(short_sim: Simulator) -> None:
    env, envs = HubEnv(sim=short_sim), HubVectorEnv(2, sim=short_sim)
    still = np.zeros(short_sim.action_size)
    with pytest.raises(ActionError, match="no episode is running"):
        env.step(still)
    with pytest.raises(ActionError, match="no episode has begun"):
        envs.step(np.zeros((2, short_sim.action_size)))
    env.reset(seed=0)
    for _ in range(SHORT):
        env.step(still)
    before = env.tensors.carry.state.t.clone()
    with pytest.raises(ActionError, match="no episode is running"):
        env.step(still)
    assert torch.equal(env.tensors.carry.state.t, before)
    env.reset()
    env.step(still)


@pytest.mark.parametrize(
    "change",
    [lambda x: x.bfloat16(), lambda x: x.requires_grad_(), lambda x: x.to("meta")],
    ids=["bf16", "grad", "meta"],
)
def test_tensors_that_numpy_cannot_read_are_refused_in_one_line(
    short_sim: Simulator, change: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    env = HubEnv(sim=short_sim)
    env.reset(seed=0)
    with pytest.raises(ActionError, match=r"^action cannot be read as an array: [^\n]*$"):
        env.step(change(torch.zeros(short_sim.action_size)))  # type: ignore[arg-type]
    env.step(torch.zeros(short_sim.action_size))  # type: ignore[arg-type]


def test_tensors_that_do_not_fit_are_refused_in_one_line(short_sim: Simulator) -> None:
    envs = TensorVectorEnv(short_sim, 2, compile=None)
    size = short_sim.action_size
    for wrong in (torch.zeros(2, size, dtype=torch.bfloat16), torch.zeros(1, size), torch.zeros(2, size).to("meta")):
        with pytest.raises(ActionError, match=rf"allowed is \(2, {size}\) of torch.float32 on cpu"):
            envs.step(wrong)
    asked = torch.zeros(2, size, requires_grad=True)
    with pytest.raises(ActionError, match="no gradient flows through machine code"):
        envs.step(asked)
    reward = TensorVectorEnv(short_sim, 2).step(asked)[1]
    assert reward.requires_grad
    assert envs.t.tolist() == [0, 0]


@pytest.mark.parametrize("compile", [None, False])
def test_what_the_caller_has_set_in_torch_changes_nothing(compile: bool | None) -> None:
    """Inference mode and another default device, from the making of the environment on."""

    def run() -> tuple[list[float], str]:
        env = HubEnv("pair2", compile=compile, overrides=[f"episode.length_h={SHORT}"], **ONE_YEAR)
        env.reset(seed=1)
        kind = type(env.tensors.engine).__name__
        return [env.step(a[0])[1] for a in actions(env.sim, 1, SHORT)], kind

    expected = run()
    with torch.inference_mode():
        assert run() == expected
    torch.set_default_device("meta")
    try:
        assert run() == expected
    finally:
        torch.set_default_device(None)


def test_what_was_made_in_inference_mode_can_be_differentiated_later() -> None:
    with torch.inference_mode():
        env = HubEnv("pair2", overrides=[f"episode.length_h={SHORT}"], compile=False, **ONE_YEAR)
    sim = env.sim
    action = torch.zeros(1, sim.action_size, requires_grad=True)
    _, flows = sim.act(sim.begin(torch.tensor([3])), action)
    flows.cost_cny.sum().backward()  # type: ignore[no-untyped-call]
    assert action.grad is not None


def test_environments_made_alike_share_one_simulator() -> None:
    one, two = (gym.make("greenhop:Pair2-v1", **ONE_YEAR).unwrapped for _ in range(2))
    assert one.sim is two.sim  # type: ignore[attr-defined]
    other = gym.make("greenhop:Pair2-v1", overrides=["episode.length_h=24"], **ONE_YEAR).unwrapped
    assert other.sim is not one.sim  # type: ignore[attr-defined]


def test_pictures_come_from_machine_code_and_show_what_torch_shows(short_sim: Simulator) -> None:
    kinds = [HubEnv(sim=short_sim, render_mode="ansi", compile=c) for c in (None, False)]
    for env in kinds:
        env.reset(seed=2)
        for action in actions(short_sim, 1, 3):
            env.step(action[0])
    texts = [env.render() for env in kinds]
    assert texts[0] == texts[1]
    assert "step 3/4" in str(texts[0])


def test_a_picture_shows_all_steps_since_the_last_one(short_sim: Simulator) -> None:
    often, once = (HubEnv(sim=short_sim, render_mode="rgb_array") for _ in range(2))
    for env in (often, once):
        env.reset(seed=2)
        for action in actions(short_sim, 1, 3):
            env.step(action[0])
            if env is often:
                env.render()
    np.testing.assert_array_equal(often.render(), once.render())


def test_a_batch_draws_a_picture_of_every_environment() -> None:
    envs = gym.make_vec("greenhop:Pair2-v1", 2, overrides=["episode.length_h=4"], render_mode="rgb_array", **ONE_YEAR)
    one = gym.make("greenhop:Pair2-v1", overrides=["episode.length_h=4"], render_mode="rgb_array", **ONE_YEAR)
    envs.reset(options={"start": [3, 9]})
    one.reset(options={"start": 9})
    still = np.zeros(envs.action_space.shape or ())
    for t in range(6):
        frames: Any = envs.render()
        assert len(frames) == 2
        if t < 5:
            np.testing.assert_array_equal(frames[1], one.render())
        envs.step(still)
        if t < 4:
            one.step(still[0])
    with pytest.raises(ConfigError, match=r"render_mode = 'human': .*pip install 'greenhop.render.'"):
        HubVectorEnv(1, sim=day_sim("pair2"), render_mode="human")


def test_observation_wrappers_stand_around_the_batch_as_it_is_made() -> None:
    for wrap in (
        vector_wrappers.NormalizeObservation,
        vector_wrappers.FlattenObservation,
        vector_wrappers.RecordEpisodeStatistics,
        partial(vector_wrappers.TransformObservation, func=np.negative),
    ):
        envs = wrap(gym.make_vec("greenhop:Pair2-v1", 2, overrides=["episode.length_h=4"], **ONE_YEAR))
        envs.reset(seed=0)
        for _ in range(6):
            obs, *_ = envs.step(envs.action_space.sample())
        assert np.isfinite(obs).all()


def test_ids_of_old_end_in_a_line_that_names_the_new_one() -> None:
    for make in (gym.make, gym.make_vec):
        with (
            pytest.warns(DeprecationWarning, match="out of date"),
            pytest.raises(ConfigError, match=r"Pair2-v0 is no more: make Pair2-v1, .*docs/migration\.md"),
        ):
            make("greenhop:Pair2-v0")
