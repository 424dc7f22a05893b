"""The batched simulator as TorchRL's own kind of environment: tensors in, tensors out, on any device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from greenhop.errors import ConfigError
from greenhop.gym.pay import Baseline
from greenhop.gym.tensor_env import TensorVectorEnv
from greenhop.physics.rewards import RewardKind

try:
    from tensordict import TensorDict, TensorDictBase
    from torchrl.data import Binary, Bounded, Composite, Unbounded
    from torchrl.envs import EnvBase
except ImportError:
    raise ConfigError("a TorchRL environment needs TorchRL: pip install 'greenhop[torchrl]'") from None

if TYPE_CHECKING:
    from greenhop.episode.simulator import Simulator


class TorchRLEnv(EnvBase):
    """`num_envs` environments of a simulator whose batch is TorchRL's; no NumPy, no processes, no copies.

    * `observation` `[B, O]`, `action` `[B, A]` in −1…1, `reward` `[B, 1]`, as in `TensorVectorEnv`.
    * `terminated` where the last step prices what it leaves, else `truncated`; all `[B, 1]`.
    * Environments may be reset apart from each other (`_reset` masks), as collectors do.

    Args:
        sim: the simulator.
        num_envs: how many environments.
        seed: of the first episodes; `set_seed` begins others.
        machine_code: as `compile` of the other environments, a word that TorchRL keeps for itself: machine code, torch
            (False), or what is possible (None). Gradients flow through torch alone.
        reward: `bill` or `accrual`, see `greenhop.gym.pay.Pay`.
        baseline: `none`, `group` or `price_follow`.
        group_size: environments that live the same episodes.

    Raises:
        ConfigError: TorchRL is not installed, or a size or word that is not allowed.
    """

    batch_locked = True

    def __init__(
        self,
        sim: Simulator,
        num_envs: int,
        seed: int = 0,
        *,
        machine_code: bool | None = None,
        reward: RewardKind = "accrual",
        baseline: Baseline = "none",
        group_size: int = 1,
    ) -> None:
        super().__init__(device=sim.params.device, batch_size=[num_envs])
        self.sim = sim
        self.tensors = TensorVectorEnv(
            sim, num_envs, seed, compile=machine_code, reward=reward, baseline=baseline, group_size=group_size
        )
        flat: dict[str, Any] = {"device": self.device, "dtype": sim.params.dtype}
        flag: dict[str, Any] = {"device": self.device, "dtype": torch.bool}
        self.observation_spec = Composite(
            observation=Unbounded((num_envs, sim.obs_size), **flat), shape=(num_envs,), device=self.device
        )
        self.action_spec = Bounded(-1.0, 1.0, (num_envs, sim.action_size), **flat)
        self.reward_spec = Unbounded((num_envs, 1), **flat)
        self.done_spec = Composite(
            **{name: Binary(1, (num_envs, 1), **flag) for name in ("done", "terminated", "truncated")},
            shape=(num_envs,),
            device=self.device,
        )

    def _reset(self, tensordict: TensorDictBase | None = None, **kwargs: Any) -> TensorDictBase:
        mask = None if tensordict is None else tensordict.get("_reset", None)
        obs = self.tensors.reset() if mask is None else self.tensors.restart(mask.reshape(-1).cpu().numpy())
        none = np.zeros(self.tensors.num_envs, dtype=bool)
        return TensorDict({"observation": obs.clone(), **self._ends(none)}, self.batch_size, device=self.device)

    def _step(self, tensordict: TensorDictBase) -> TensorDictBase:
        obs, reward, ended, _ = self.tensors.step(tensordict.get("action").contiguous())
        told = {"observation": obs.clone(), "reward": reward.reshape(-1, 1), **self._ends(ended)}
        return TensorDict(told, self.batch_size, device=self.device)

    def _ends(self, ended: NDArray[np.bool_]) -> dict[str, Tensor]:
        """`[B, 1]` each."""
        done = torch.from_numpy(ended.copy()).reshape(-1, 1).to(self.device)
        never, priced = torch.zeros_like(done), self.sim.params.prices_end
        return {
            "done": done,
            "terminated": done.clone() if priced else never,
            "truncated": never if priced else done.clone(),
        }

    def _set_seed(self, seed: int | None) -> None:
        self.tensors.reset(seed)
