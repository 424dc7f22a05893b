"""The single Gymnasium environment: a batch of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray

from greenhop.episode.simulator import Simulator, shared_simulator
from greenhop.errors import ActionError
from greenhop.gym.asked import scenario_of, steps_asked_of_make
from greenhop.gym.interface import Info, checked_action, checked_options, checked_start, opening_info, spaces
from greenhop.gym.pay import Baseline
from greenhop.gym.tensor_env import TensorVectorEnv
from greenhop.gym.viewer import RENDER_MODES, Viewer
from greenhop.physics.rewards import REPORTED, RewardKind
from greenhop.scenario.config import ScenarioConfig, Split

ONLY = np.zeros(1, dtype=np.int64)  # the environments of a batch of one


class HubEnv(gym.Env[NDArray[np.float32], NDArray[Any]]):
    """One network of hubs.

    * Observation: float32 `[O]`, named by `sim.observer.parts`.
    * Action: float32 `[A]` in −1…1, named by `sim.decoder.parts`; zero follows prices.
    * Reward: `accrual`, minus the step's cost with work booked when it arrives, in units of
      `sim.params.cost_scale_cny`: over an episode minus the bill, and a number known at its start; `reward` and
      `baseline` choose others.
    * Termination: after `sim.params.steps` steps, the last of which prices what it leaves; with
      `episode.terminal=false` it does not, and the episode is truncated instead.
    * State: `sim.begin`, `sim.act` (pure functions of tensors).

    `compile=None` makes machine code of the step on a CPU with a C++ compiler, which takes some 5 s for ten hubs the
    first time: steps are some hundred times as fast as torch's, with a `render_mode` too. On a GPU, without a compiler,
    and where a decoder does what machine code cannot follow, torch itself steps.

    Args:
        scenario: a shipped name, the path of a YAML file, or a checked scenario.
        split: train, val or test, which share no weather.
        overrides: of the scenario, such as `episode.length_h=24`.
        year_ids: years of the split; all of them by default.
        device: of the simulator.
        render_mode: `rgb_array` or `ansi`.
        max_episode_steps: another length of the episodes, whose end is priced all the same.
        compile: machine code, torch (False), or what is possible (None).
        reward: `bill` or `accrual`, see `greenhop.gym.pay.Pay`.
        baseline: `none` or `price_follow`.
        sim: a simulator that exists already, instead of all that describes one.

    Raises:
        ConfigError: anything that these do not allow.
    """

    metadata: dict[str, Any] = {"render_modes": list(RENDER_MODES), "render_fps": 8}  # noqa: RUF012

    def __init__(
        self,
        scenario: ScenarioConfig | str = "hub10",
        split: Split = "train",
        *,
        overrides: Sequence[str] = (),
        year_ids: Sequence[int] | None = None,
        device: torch.device | str = "cpu",
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        compile: bool | None = None,
        reward: RewardKind = "accrual",
        baseline: Baseline = "none",
        sim: Simulator | None = None,
    ) -> None:
        steps = steps_asked_of_make() if max_episode_steps is None else max_episode_steps
        self.sim = sim or shared_simulator(scenario_of(scenario, overrides, steps), split, year_ids, device)
        self.render_mode = render_mode
        self._viewer = None if render_mode is None else Viewer(self.sim, 1, render_mode)
        self.tensors = TensorVectorEnv(self.sim, 1, compile=compile, reward=reward, baseline=baseline)
        self.observation_space, self.action_space = spaces(self.sim)
        self._action_shape = (self.sim.action_size,)
        self._seeded, self._running = False, False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: episodes follow from it, this one and the next ones that begin without a seed.
            options: `{"start": n}` begins at start n of `sim.bank.n_starts` instead.

        Returns:
            The observation, and an `info` with the keys of every step's, all 0, and which episode this is:
            `episode_start`, `year` of the split and `day_of_year` (from 1).

        Raises:
            ConfigError: unknown options, or a start that does not exist.
        """
        given = checked_start(checked_options(options, ("start",)).get("start"), 1, self.sim)
        super().reset(seed=seed)
        if seed is None and not self._seeded:
            seed = int(self.np_random.integers(2**31))
        self._seeded = self._running = True
        with torch.no_grad():
            starts = None if given is None else torch.from_numpy(given).to(self.sim.params.device)
            obs = self.tensors.reset(seed, starts)
        if self._viewer is not None:
            self._viewer.begun(self.tensors.engine, ONLY)
        info = Info.fromkeys(REPORTED, np.float32(0.0))
        info.update({name: x[0] for name, x in opening_info(self.sim, self.tensors.starts).items()})
        return obs.cpu().numpy()[0].astype(np.float32), info

    def step(self, action: NDArray[Any]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One step; `info` holds the cost terms and physical quantities of this step by name.

        Raises:
            ActionError: an action that is not one, or no episode to go on with.
        """
        if not self._running:
            raise ActionError("no episode is running: it has ended, or none has begun; call reset() first")
        array = checked_action(action, self._action_shape)[None]
        if self._viewer is not None:
            self._viewer.steps(self.tensors.engine, array, ONLY)
        obs, reward, ended, reported = self.tensors.step_arrays(array)
        over, priced = bool(ended[0]), self.sim.params.prices_end
        self._running = not over
        info = Info(zip(REPORTED, reported[0].astype(np.float32, copy=False), strict=True))
        return obs[0].astype(np.float32), float(reward[0]), over and priced, over and not priced, info

    def render(self) -> NDArray[np.uint8] | str | None:
        """`rgb_array`: a `[600, 960, 3]` picture of the last step; `ansi`: text; None without a render mode.

        Raises:
            ConfigError: before the first reset.
        """
        return None if self._viewer is None else self._viewer.draw()[0]

    @property
    def spec(self) -> EnvSpec | None:
        """What Gymnasium knows of the environment; `max_episode_steps` is how long its episodes are."""
        return getattr(self, "_spec", None)

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        self._spec = spec and replace(spec, max_episode_steps=self.sim.params.steps)
