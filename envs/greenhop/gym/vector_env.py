"""The batched Gymnasium environment: a NumPy facade with all three autoreset modes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Tensor

from greenhop.episode.simulator import Simulator, shared_simulator
from greenhop.errors import ActionError, ConfigError
from greenhop.gym.asked import scenario_of
from greenhop.gym.interface import checked_action, checked_options, checked_seeds, checked_start, opening_info, spaces
from greenhop.gym.pay import Baseline
from greenhop.gym.tensor_env import TensorVectorEnv
from greenhop.gym.viewer import RENDER_MODES, Viewer
from greenhop.physics.rewards import REPORTED, RewardKind
from greenhop.scenario.config import ScenarioConfig, Split


class HubVectorEnv(VectorEnv[NDArray[np.float32], NDArray[Any], NDArray[Any]]):
    """The NumPy facade of `TensorVectorEnv`: to its clients what `SyncVectorEnv` makes of so many `HubEnv`.

    * Observation: float32 `[num_envs, O]`, named by `sim.observer.parts`.
    * Action: float32 `[num_envs, A]` in −1…1, named by `sim.decoder.parts`; zero follows prices.
    * Reward: `accrual`, minus the step's cost with work booked when it arrives, in units of
      `sim.params.cost_scale_cny`: over an episode minus the bill, and a number known at its start; `reward` and
      `baseline` choose others.
    * Termination: after `sim.params.steps` steps, the last of which prices what it leaves; with
      `episode.terminal=false` it does not, and episodes are truncated instead.
    * State: `sim.begin`, `sim.act` (pure functions of tensors).

    Seeded `s`, environment i lives what a `HubEnv` seeded `s + i` lives. With `group_size=g` that holds for groups of g
    environments, whose members all live the same episodes.

    `compile=None` makes machine code of the step on a CPU with a C++ compiler, which takes some 8 s for ten hubs the
    first time: steps are 20 to 30 times as fast as torch's (`compile=False`). On a GPU ask for it: `compile=True`.

    Args:
        num_envs: how many environments.
        scenario: a shipped name, the path of a YAML file, or a checked scenario.
        split: train, val or test, which share no weather.
        overrides: of the scenario, such as `episode.length_h=24`.
        year_ids: years of the split; all of them by default.
        device: of the simulator.
        render_mode: `rgb_array` or `ansi`.
        max_episode_steps: another length of the episodes, whose end is priced all the same.
        compile: machine code, torch (False), or what is possible (None).
        autoreset_mode: what happens where an episode ended: a new one begins in the next step, whose action does not
            count (Gymnasium's own default), in the same step, or when `reset` is told so.
        group_size: environments that live the same episodes; divides `num_envs`.
        reward: `bill` or `accrual`, see `greenhop.gym.pay.Pay`.
        baseline: `none`, `price_follow` or `group`.
        threads: of machine code on a CPU, which change no bit; by default one a core that the process may use, fewer
            where `OMP_NUM_THREADS` says so, one in a process that works for another.
        sim: a simulator that exists already, instead of all that describes one.

    Raises:
        ConfigError: anything that these do not allow.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": list(RENDER_MODES),
        "render_fps": 8,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        scenario: ScenarioConfig | str = "hub10",
        split: Split = "train",
        *,
        overrides: Sequence[str] = (),
        year_ids: Sequence[int] | None = None,
        device: torch.device | str = "cpu",
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        compile: bool | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        group_size: int = 1,
        reward: RewardKind = "accrual",
        baseline: Baseline = "none",
        threads: int | None = None,
        sim: Simulator | None = None,
    ) -> None:
        self.autoreset_mode = _mode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.sim = sim or shared_simulator(scenario_of(scenario, overrides, max_episode_steps), split, year_ids, device)
        self.tensors = TensorVectorEnv(
            self.sim,
            num_envs,
            compile=compile,
            group_size=group_size,
            reward=reward,
            baseline=baseline,
            threads=threads,
        )
        self.num_envs, self.render_mode = num_envs, render_mode
        self._viewer = None if render_mode is None else Viewer(self.sim, num_envs, render_mode)
        self.single_observation_space, self.single_action_space = spaces(self.sim)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._ended = np.zeros(num_envs, dtype=bool)
        self._begun = False

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin new episodes.

        Args:
            seed: s for s, s + 1, …, or one for each environment; None goes on with the next episodes.
            options: `start`, one of `sim.bank.n_starts` for all or one for each; `reset_mask` `[num_envs]` bool, which
                environments begin anew while the others go on.

        Returns:
            Observations, and an `info` with the keys of every step's, all 0, and which episodes these are:
            `episode_start`, `year` of the split and `day_of_year` (from 1).

        Raises:
            ConfigError: unknown options, starts that do not exist, or a mask that does not fit.
        """
        known = checked_options(options, ("start", "reset_mask"))
        given = checked_start(known.get("start"), self.num_envs, self.sim)
        starts = None if given is None else torch.from_numpy(given).to(self.sim.params.device)
        mask = self._mask(known.get("reset_mask"))
        each = self._seeds(seed)
        with torch.no_grad():
            obs = self.tensors.reset(each, starts) if mask.all() else self.tensors.restart(mask, starts, each)
        self._ended[mask] = False
        self._begun = True
        return _numpy(obs), self._opened(mask)

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[Any], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """One step of every environment; what happens where an episode ended depends on the autoreset mode.

        Raises:
            ActionError: actions that are none, or episodes that have ended or not begun.
        """
        action = checked_action(actions, (self.num_envs, self.sim.action_size))
        if not self._begun:
            raise ActionError("no episode has begun: call reset() first")
        if self.autoreset_mode == AutoresetMode.DISABLED and self._ended.any():
            raise ActionError(f"{self._ended.sum()} environments have ended; reset them with options['reset_mask']")
        renewed = self._ended.copy()  # these begin anew instead: NEXT_STEP
        if self._viewer is not None:
            self._viewer.steps(self.tensors.engine, action, np.flatnonzero(~renewed))
        obs, reward, ended, reported = self.tensors.step_arrays(action)
        obs, reward = obs.astype(np.float32), reward.astype(np.float64)
        info = _info(reported, ~renewed)
        if renewed.any():
            obs = _numpy(self.tensors.restart(renewed))
            reward, ended = np.where(renewed, 0.0, reward), ended & ~renewed
            _replace(info, self._opened(renewed), renewed)
        self._ended = ended.copy()
        if self.autoreset_mode == AutoresetMode.SAME_STEP and ended.any():
            final = _final(obs, info, ended)
            obs = _numpy(self.tensors.restart(ended))
            _replace(info, self._opened(ended), ended)
            info |= final
            self._ended[:] = False
        never = np.zeros_like(ended)
        terminated, truncated = (ended, never) if self.sim.params.prices_end else (never, ended)
        return obs, reward, terminated.copy(), truncated.copy(), info

    def render(self) -> tuple[Any, ...] | None:
        """A frame of every environment, as `HubEnv.render` makes it; None without a render mode.

        Raises:
            ConfigError: before the first reset.
        """
        return None if self._viewer is None else tuple(self._viewer.draw())

    def _mask(self, given: Any) -> NDArray[np.bool_]:
        mask = np.ones(self.num_envs, dtype=bool) if given is None else np.asarray(given)
        if mask.shape != (self.num_envs,) or mask.dtype != bool or not mask.any():
            raise ConfigError(f"options['reset_mask'] = {given!r}; allowed: {self.num_envs} booleans, not all False")
        return mask

    def _seeds(self, seed: int | Sequence[int | None] | None) -> int | list[int] | None:
        """What the environments are seeded with; a first reset without a seed draws one."""
        asked = checked_seeds(seed)
        super().reset(seed=(*asked, None)[0] if isinstance(asked, list) else asked)
        if asked is None:
            return None if self._begun else int(self.np_random.integers(2**31))
        if not isinstance(asked, list):
            return asked
        return [int(self.np_random.integers(2**31)) if s is None else s for s in asked]

    def _opened(self, mask: NDArray[np.bool_]) -> dict[str, Any]:
        """Info of episodes that have just begun where `mask`."""
        if self._viewer is not None:
            self._viewer.begun(self.tensors.engine, np.flatnonzero(mask))
        info = _info(np.zeros((self.num_envs, len(REPORTED)), dtype=np.float32), mask)
        for name, x in opening_info(self.sim, self.tensors.starts).items():
            info[name], info[f"_{name}"] = np.where(mask, x, 0), mask.copy()
        return info


def _mode(given: AutoresetMode | str) -> AutoresetMode:
    try:
        return AutoresetMode(given)
    except ValueError:
        allowed = ", ".join(repr(mode.value) for mode in AutoresetMode)
        raise ConfigError(f"autoreset_mode = {given!r}; allowed: {allowed}") from None


def _numpy(x: Tensor) -> NDArray[np.float32]:
    """A float32 array that shares no memory with the tensor."""
    return np.array(x.detach().cpu().numpy(), dtype=np.float32, copy=True)


def _info(reported: NDArray[np.float32], valid: NDArray[np.bool_]) -> dict[str, Any]:
    """Each reported number as an array over environments, with Gymnasium's mask of where it is set."""
    info: dict[str, Any] = {}
    for i, name in enumerate(REPORTED):
        info[name], info[f"_{name}"] = reported[:, i].astype(np.float32), valid.copy()
    return info


def _replace(info: dict[str, Any], opened: dict[str, Any], mask: NDArray[np.bool_]) -> None:
    """Put the info of episodes that began in place of that of the ones they follow."""
    for name, x in opened.items():
        if name in info and not name.startswith("_"):
            info[name][mask] = x[mask]
            info[f"_{name}"] |= mask
        elif name not in info:
            info[name] = x


def _final(obs: NDArray[np.float32], info: dict[str, Any], ended: NDArray[np.bool_]) -> dict[str, Any]:
    """Gymnasium's SAME_STEP fields: the last observation and info of the episodes that ended."""
    final_obs = np.full(len(ended), None, dtype=object)
    for i in np.flatnonzero(ended):
        final_obs[i] = obs[i].copy()
    final_info = {}
    for name in REPORTED:
        final_info[name], final_info[f"_{name}"] = np.where(ended, info[name], 0.0), ended.copy()
    return {"final_obs": final_obs, "_final_obs": ended.copy(), "final_info": final_info, "_final_info": ended.copy()}
