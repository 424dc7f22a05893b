"""Batched Gymnasium environments: tensors in and out, and a NumPy facade with all three autoreset modes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Tensor

from greenhop.compiled import CompiledSteps, to_compile
from greenhop.config import ScenarioConfig, Split
from greenhop.errors import ActionError, ConfigError
from greenhop.numpy_steps import NumpySteps
from greenhop.observations import OBS_LIMIT
from greenhop.recorded import RecordError
from greenhop.rewards import REPORTED, report, reward_of
from greenhop.simulator import Carry, Simulator, build_simulator, choose, random_start
from greenhop.state import Flows
from greenhop.unrolled import UnrollError


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


class TensorVectorEnv:
    """`num_envs` environments on one device; the caller keeps everything as tensors.

    Episodes end by truncation only. The step count of every environment is known to the host, so no step synchronises
    with the device. Episode n of environment i starts at a hash of (seed, i, n): the same whatever `num_envs` is.

    Args:
        sim: the simulator.
        num_envs: how many environments.
        seed: of the first episodes.
        compile: the step as machine code, which takes some seconds to make the first time; None where that is possible
            on a CPU. No gradient flows through it, and `flows` stays None.
        lean: what is not compiled is a NumPy program, which is faster than torch for few environments; otherwise alike.
    """

    def __init__(
        self, sim: Simulator, num_envs: int, seed: int = 0, *, compile: bool | None = False, lean: bool = False
    ) -> None:
        if num_envs < 1:
            raise ConfigError(f"num_envs = {num_envs} must be at least 1")
        self.sim, self.num_envs = sim, num_envs
        self.flows: Flows | None = None
        self.engine = _engine(sim, num_envs, compile, lean)
        self._env = np.arange(num_envs)
        self._clock, self._began = 0, np.zeros(num_envs, dtype=np.int64)
        self.reset(seed)

    @property
    def t(self) -> NDArray[np.int64]:
        """`[B]` steps of the running episodes so far."""
        return self._clock - self._began

    def reset(self, seed: int | None = None, starts: Tensor | None = None) -> Tensor:
        """Begin new episodes everywhere, at `starts` `[B]` or as the seed says; `[B, O]` observations."""
        if seed is not None:
            self._seed = np.array([seed])
            self._episode = np.zeros_like(self._env)
        self._began[:] = self._clock
        self._first_end = self._clock + self.sim.params.steps
        first = self._next_starts() if starts is None else starts
        if self.engine is not None:
            return self.engine.begin(first)
        self._carry = self.sim.begin(first)
        return self.sim.observe(self._carry)

    @property
    def carry(self) -> Carry:
        """The running episodes, batch first; a copy where the step is compiled or lean."""
        return self._carry if self.engine is None else self.engine.carry

    def step(self, action: Tensor) -> tuple[Tensor, Tensor, NDArray[np.bool_], Tensor]:
        """One step with `[B, A]` actions.

        Returns:
            `[B, O]` observations after the step (before any restart), `[B]` rewards, `[B]` truncated (on the host),
            and `[B, len(REPORTED)]` cost terms and quantities.

        Raises:
            ActionError: an episode ended and was not restarted.
        """
        truncated = self._count()
        if self.engine is not None:
            obs, reward, reported = self.engine.step(action)
        else:
            self._carry, self.flows = self.sim.act(self._carry, action)
            obs, reward = self.sim.observe(self._carry), reward_of(self.sim.params, self.flows)
            reported = report(self.sim.params, self.flows)
        return obs, reward, truncated, reported

    def step_arrays(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_], NDArray[Any]]:
        """The same from and to NumPy; what it returns may be overwritten by the next step."""
        if self.engine is not None and self.sim.params.device.type == "cpu":
            truncated = self._count()
            obs, reward, reported = self.engine.step_arrays(action)
            return obs, reward, truncated, reported
        with torch.no_grad():
            seen = self.step(torch.from_numpy(action).to(self.sim.params.device))
        return seen[0].cpu().numpy(), seen[1].cpu().numpy(), seen[2], seen[3].cpu().numpy()

    def _count(self) -> NDArray[np.bool_]:
        """Count one step; `[B]` whose episodes end with it."""
        self._clock += 1
        if self._clock < self._first_end:
            return np.zeros(self.num_envs, dtype=bool)
        if self._clock > self._first_end + 1:  # one step too many is Gymnasium's NEXT_STEP
            late = int(np.argmin(self._began))
            raise ActionError(f"the episode of environment {late} has ended; restart it before stepping on")
        truncated: NDArray[np.bool_] = self.t == self.sim.params.steps
        return truncated

    def restart(self, mask: NDArray[np.bool_], starts: Tensor | None = None) -> Tensor:
        """Begin new episodes where `mask`; `[B, O]` observations of all environments."""
        first = self._next_starts(mask) if starts is None else starts
        self._began[mask] = self._clock
        self._first_end = int(self._began.min()) + self.sim.params.steps
        if self.engine is not None:
            return self.engine.restart(np.flatnonzero(mask), first)
        self._carry = choose(torch.from_numpy(mask).to(first.device), self.sim.begin(first), self._carry)
        return self.sim.observe(self._carry)

    def _next_starts(self, mask: NDArray[np.bool_] | None = None) -> Tensor:
        starts = random_start(self._seed, self._env, self._episode, self.sim.bank.n_starts)
        self._episode += 1 if mask is None else mask
        return torch.from_numpy(starts).to(self.sim.params.device)


def _engine(sim: Simulator, num_envs: int, compile: bool | None, lean: bool) -> CompiledSteps | NumpySteps | None:
    """What steps, where it is not torch."""
    if to_compile(sim, compile):
        try:
            return CompiledSteps(sim, num_envs)
        except UnrollError:
            if compile:
                raise
    if lean and sim.params.device.type == "cpu":
        with suppress(RecordError):  # then torch runs it as it is written
            return NumpySteps(sim, num_envs)
    return None


class HubVectorEnv(VectorEnv[NDArray[np.float32], NDArray[Any], NDArray[Any]]):
    """The NumPy facade of `TensorVectorEnv`, a `gymnasium.vector.VectorEnv`.

    * Observation: float32 `[num_envs, O]`, named by `sim.observer.parts`.
    * Action: float32 `[num_envs, A]` in −1…1, named by `sim.decoder.parts`; zero follows prices.
    * Reward: minus the step's cost in units of `sim.params.cost_scale_cny`.
    * Termination: never; truncation after `sim.params.steps` steps.
    * State: `sim.begin`, `sim.act` (pure functions of tensors).

    `compile=None` makes machine code of the step on a CPU with a C++ compiler, which takes some 8 s for ten hubs the
    first time: steps are 20 to 30 times as fast as torch's (`compile=False`). On a GPU ask for it: `compile=True`.
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
    from greenhop.scenarios import load_scenario

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
