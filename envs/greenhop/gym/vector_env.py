"""The batched Gymnasium environment: a NumPy facade with all three autoreset modes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Tensor

from greenhop.episode.observations import OBS_LIMIT
from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.errors import ActionError, ConfigError
from greenhop.gym.tensor_env import TensorVectorEnv
from greenhop.physics.rewards import REPORTED
from greenhop.scenario.config import ScenarioConfig, Split


def spaces(sim: Simulator) -> tuple[gym.Space[Any], gym.Space[Any]]:
    """Observation and action space of one environment."""
    return (
        gym.spaces.Box(-OBS_LIMIT, OBS_LIMIT, (sim.obs_size,), np.float32),
        gym.spaces.Box(-1.0, 1.0, (sim.action_size,), np.float32),
    )


def checked_action(action: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A float32 array of the right shape, clipped to −1…1.

    Raises:
        ActionError: wrong shape, no numbers, NaN or infinity.
    """
    array = np.asarray(action)
    if array.shape != shape:
        raise ActionError(f"action has shape {array.shape}, allowed is {shape}")
    if array.dtype.kind not in "fiub":
        raise ActionError(f"action holds {array.dtype}, allowed are real numbers")
    if not np.logical_and.reduce(np.isfinite(array), axis=None):
        raise ActionError(
            f"action holds {np.count_nonzero(~np.isfinite(array))} NaN or infinite values of {array.size}"
        )
    clipped: NDArray[np.float32] = np.minimum(np.maximum(array, -1.0), 1.0).astype(np.float32, copy=False)
    return clipped  # np.clip is slower


class HubVectorEnv(VectorEnv[NDArray[np.float32], NDArray[Any], NDArray[Any]]):
    """The NumPy facade of `TensorVectorEnv`, a `gymnasium.vector.VectorEnv`.

    * Observation: float32 `[num_envs, O]`, named by `sim.observer.parts`.
    * Action: float32 `[num_envs, A]` in −1…1, named by `sim.decoder.parts`; zero follows prices.
    * Reward: minus the step's cost in units of `sim.params.cost_scale_cny`.
    * Termination: never; truncation after `sim.params.steps` steps.
    * State: `sim.begin`, `sim.act` (pure functions of tensors).

    `compile=None` makes machine code of the step on a CPU with a C++ compiler, which takes some 8 s for ten hubs the
    first time: steps are 20 to 30 times as fast as torch's (`compile=False`). On a GPU ask for it: `compile=True`.

    Args:
        num_envs: how many environments.
        scenario: a shipped name, the path of a YAML file, or a scenario that is checked already.
        split: whose years the episodes are of.
        overrides: changes of a scenario given by name, such as `episode.length_h=24`.
        year_ids: which years of the split; None is all of them.
        device: where the tensors live.
        autoreset_mode: what happens after the end of an episode, as Gymnasium names it.
        max_episode_steps: steps of an episode, instead of the scenario's `episode.length_h`.
        sim: a simulator that exists already, instead of scenario, split, overrides, years and device.
        compile: machine code for the step (True), torch (False), or what is fastest here (None).

    Raises:
        ConfigError: a scenario, split, year, device or number of environments that is not possible.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(
        self,
        num_envs: int = 1,
        scenario: ScenarioConfig | str = "hub10",
        split: Split = "train",
        *,
        overrides: Sequence[str] = (),
        year_ids: Sequence[int] | None = None,
        device: str = "cpu",
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        max_episode_steps: int | None = None,
        sim: Simulator | None = None,
        compile: bool | None = None,
    ) -> None:
        if max_episode_steps is not None:
            overrides = [*overrides, f"episode.length_h={_length_h(scenario, overrides, max_episode_steps)}"]
        self.sim = sim or build_simulator(scenario, split, overrides=overrides, year_ids=year_ids, device=device)
        self.tensors = TensorVectorEnv(self.sim, num_envs, compile=compile)
        self.num_envs = num_envs
        self.single_observation_space, self.single_action_space = spaces(self.sim)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.mode = AutoresetMode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.mode}
        self._ended = np.zeros(num_envs, dtype=bool)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin new episodes; `options["starts"]` picks them, `options["reset_mask"]` restarts only some."""
        options = options or {}
        super().reset(seed=seed[0] if isinstance(seed, list) else seed)
        mask = options.get("reset_mask")
        starts = self._starts(options.get("starts"))
        if mask is None:
            first = int(self.np_random.integers(2**31))
            obs = self.tensors.reset(first, starts)
            self._ended[:] = False
        else:
            mask = np.array(mask, dtype=bool)
            if mask.shape != (self.num_envs,):
                raise ConfigError(f"options['reset_mask'] has shape {mask.shape}, allowed is ({self.num_envs},)")
            obs = self.tensors.restart(mask, starts)
            self._ended[mask] = False
        return _numpy(obs), {}

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[Any], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """One step of every environment; what happens where an episode ended depends on the autoreset mode."""
        action = checked_action(actions, (self.num_envs, self.sim.action_size))
        if self.mode == AutoresetMode.DISABLED and self._ended.any():
            raise ActionError(f"{self._ended.sum()} environments have ended; reset them with options['reset_mask']")
        restart_now = self._ended.copy()
        obs, reward, truncated, reported = self.tensors.step_arrays(action)
        obs = obs.astype(np.float32)
        if self.mode == AutoresetMode.NEXT_STEP and restart_now.any():
            obs = _numpy(self.tensors.restart(restart_now))
            reward = np.where(restart_now, 0.0, reward)
            truncated = truncated & ~restart_now
        self._ended = truncated
        info = _info(reported, ~restart_now)
        if self.mode == AutoresetMode.SAME_STEP and truncated.any():
            info.update(_final(obs, info, truncated))
            obs = _numpy(self.tensors.restart(truncated))
            self._ended = np.zeros_like(truncated)
        return obs, reward.astype(np.float64), np.zeros_like(truncated), truncated.copy(), info

    def _starts(self, given: Any) -> Tensor | None:
        if given is None:
            return None
        starts = np.asarray(given, dtype=np.int64)
        if starts.shape != (self.num_envs,) or starts.min() < 0 or starts.max() >= self.sim.bank.n_starts:
            raise ConfigError(f"options['starts'] needs {self.num_envs} integers in 0…{self.sim.bank.n_starts - 1}")
        return torch.from_numpy(starts).to(self.sim.params.device)


def _length_h(scenario: ScenarioConfig | str, overrides: Sequence[str], steps: int) -> float:
    """Hours that `steps` steps last in a scenario given by name."""
    from greenhop.scenario.find import load_scenario

    if isinstance(scenario, ScenarioConfig):
        raise ConfigError(
            "max_episode_steps needs a scenario given by name; set episode.length_h in the config instead"
        )
    return steps * float(load_scenario(scenario, overrides).dt_h)


def _numpy(x: Tensor) -> NDArray[np.float32]:
    """A float32 array that shares no memory with the tensor."""
    return np.array(x.detach().cpu().numpy(), dtype=np.float32, copy=True)


def _info(reported: NDArray[np.float32], valid: NDArray[np.bool_]) -> dict[str, Any]:
    """Each reported number as an array over environments, with Gymnasium's mask of where it is set."""
    info: dict[str, Any] = {}
    for i, name in enumerate(REPORTED):
        info[name], info[f"_{name}"] = reported[:, i].astype(np.float32), valid.copy()
    return info


def _final(obs: NDArray[np.float32], info: dict[str, Any], truncated: NDArray[np.bool_]) -> dict[str, Any]:
    """Gymnasium's SAME_STEP fields: the last observation and info of the episodes that ended."""
    final_obs = np.full(len(truncated), None, dtype=object)
    for i in np.flatnonzero(truncated):
        final_obs[i] = obs[i]
    return {
        "final_obs": final_obs,
        "_final_obs": truncated.copy(),
        "final_info": {key: value.copy() for key, value in info.items()},
        "_final_info": truncated.copy(),
    }
