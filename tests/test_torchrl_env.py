"""The TorchRL environment: TorchRL's own check passes, and it lives the episodes of the others."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import pytest
import torch

from greenhop.errors import ConfigError
from greenhop.gym.tensor_env import TensorVectorEnv
from tests.sims import day_sim

needs_torchrl = pytest.mark.skipif(find_spec("torchrl") is None, reason="TorchRL is not installed (extra `torchrl`)")


@needs_torchrl
@pytest.mark.parametrize("machine_code", [None, False])
def test_torchrls_own_check_passes(machine_code: bool | None) -> None:
    from torchrl.envs.utils import check_env_specs

    from greenhop.communities.torchrl_env import TorchRLEnv

    check_env_specs(TorchRLEnv(day_sim("pair2"), 3, machine_code=machine_code))


@needs_torchrl
def test_a_rollout_is_the_episode_of_the_tensor_environment() -> None:
    from greenhop.communities.torchrl_env import TorchRLEnv

    sim = day_sim("pair2")
    env, plain = TorchRLEnv(sim, 3, machine_code=False), TensorVectorEnv(sim, 3, compile=False)
    env.set_seed(5)
    env.reset()
    done = env.rollout(30, auto_reset=True)
    assert done.shape == (3, sim.params.steps), "episodes end by themselves"
    plain.reset(5)
    plain.reset()
    obs = plain.reset()
    for t in range(sim.params.steps):
        torch.testing.assert_close(done["observation"][:, t], obs)
        obs, reward, ended, _ = plain.step(done["action"][:, t])
        torch.testing.assert_close(done["next", "reward"][:, t, 0], reward)
        assert done["next", "terminated"][:, t, 0].tolist() == ended.tolist()
    assert not done["next", "truncated"].any()


@needs_torchrl
def test_environments_are_reset_apart_from_each_other() -> None:
    from greenhop.communities.torchrl_env import TorchRLEnv

    env = TorchRLEnv(day_sim("pair2"), 3, machine_code=False)
    first = env.reset()
    stepped = env.step(first.set("action", torch.zeros(3, env.sim.action_size)))["next"]
    before = stepped["observation"].clone()
    again = env.reset(stepped.set("_reset", torch.tensor([[False], [True], [False]])))["observation"]
    assert torch.equal(again[[0, 2]], before[[0, 2]])
    assert not torch.equal(again[1], before[1])
    assert env.tensors.t.tolist() == [1, 0, 1]


@needs_torchrl
def test_gradients_flow_through_steps_of_torch() -> None:
    from greenhop.communities.torchrl_env import TorchRLEnv

    env = TorchRLEnv(day_sim("pair2"), 2, machine_code=False)
    action = torch.zeros(2, env.sim.action_size, requires_grad=True)
    env.step(env.reset().set("action", action))["next", "reward"].sum().backward()
    assert action.grad is not None
    assert action.grad.abs().sum() > 0


def test_without_torchrl_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchrl", None)
    monkeypatch.setitem(sys.modules, "torchrl.data", None)
    monkeypatch.setitem(sys.modules, "tensordict", None)
    monkeypatch.delitem(sys.modules, "greenhop.communities.torchrl_env", raising=False)
    with pytest.raises(ConfigError, match=r"pip install 'greenhop\[torchrl\]'"):
        __import__("greenhop.communities.torchrl_env")
