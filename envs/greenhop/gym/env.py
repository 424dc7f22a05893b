"""The single Gymnasium environment: a batch of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from greenhop.episode.simulator import Carry, Simulator, build_simulator
from greenhop.episode.snapshot import Snapshot, snapshot
from greenhop.errors import ConfigError
from greenhop.gym.render import Renderer, text_frame
from greenhop.gym.tensor_env import TensorVectorEnv
from greenhop.gym.vector_env import checked_action, spaces
from greenhop.physics.rewards import REPORTED
from greenhop.physics.state import Flows
from greenhop.scenario.config import ScenarioConfig, Split


class HubEnv(gym.Env[NDArray[np.float32], NDArray[Any]]):
    """One network of hubs.

    * Observation: float32 `[O]`, named by `sim.observer.parts`.
    * Action: float32 `[A]` in −1…1, named by `sim.decoder.parts`; zero follows prices.
    * Reward: minus the step's cost in units of `sim.params.cost_scale_cny`.
    * Termination: never; truncation after `sim.params.steps` steps.
    * State: `sim.begin`, `sim.act` (pure functions of tensors).

    `compile=None` makes machine code of the step on a CPU with a C++ compiler, which takes some 5 s for ten hubs the
    first time: steps are some hundred times as fast as torch's. Elsewhere a NumPy program takes them, four times as
    fast as torch. With a `render_mode`, on a GPU, and where a decoder does what neither can follow, torch itself does.

    Args:
        scenario: a shipped name, the path of a YAML file, or a scenario that is checked already.
        split: whose years the episodes are of.
        overrides: changes of a scenario given by name, such as `episode.length_h=24`.
        year_ids: which years of the split; None is all of them.
        device: where the tensors live.
        render_mode: `rgb_array`, `ansi` or None.
        sim: a simulator that exists already, instead of the five above.
        compile: machine code for the step (True), torch (False), or what is fastest here (None).

    Raises:
        ConfigError: a scenario, split, year, device or render mode that does not exist.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "ansi"], "render_fps": 8}  # noqa: RUF012

    def __init__(
        self,
        scenario: ScenarioConfig | str = "hub10",
        split: Split = "train",
        *,
        overrides: Sequence[str] = (),
        year_ids: Sequence[int] | None = None,
        device: str = "cpu",
        render_mode: str | None = None,
        sim: Simulator | None = None,
        compile: bool | None = None,
    ) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ConfigError(f"render_mode = {render_mode!r}; allowed: {self.metadata['render_modes']} or None")
        if compile and render_mode is not None:
            raise ConfigError(f"render_mode = {render_mode!r} shows flows, which compile=True does not keep; use one")
        self.render_mode = render_mode
        self.sim = sim or build_simulator(scenario, split, overrides=overrides, year_ids=year_ids, device=device)
        lean = render_mode is None
        self.tensors = TensorVectorEnv(self.sim, num_envs=1, compile=compile if lean else False, lean=lean)
        self.observation_space, self.action_space = spaces(self.sim)
        self._action_shape = (self.sim.action_size,)
        self._device = self.sim.params.device
        self._shown: Snapshot | None = None
        self._renderer = Renderer(self.sim.scenario, self.sim.params) if render_mode == "rgb_array" else None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode; `options["start"]` picks one of `sim.bank.n_starts`, else it is drawn from the seed."""
        super().reset(seed=seed)
        first = int(self.np_random.integers(2**31))
        start = (options or {}).get("start")
        if start is not None and not 0 <= int(start) < self.sim.bank.n_starts:
            raise ConfigError(f"options['start'] = {start} must lie in 0…{self.sim.bank.n_starts - 1}")
        given = None if start is None else torch.tensor([int(start)], device=self._device)
        with torch.no_grad():
            obs = self.tensors.reset(first, given)
        if self.render_mode is not None:
            self._show(self.tensors.carry, None)
        return obs.cpu().numpy()[0].astype(np.float32), {}

    def step(self, action: NDArray[Any]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One step; `info` holds the cost terms and physical quantities of this step by name."""
        array = checked_action(action, self._action_shape)
        before = None if self.render_mode is None else self.tensors.carry
        obs, reward, truncated, reported = self.tensors.step_arrays(array[None])
        if before is not None:
            self._show(before, self.tensors.flows)
        info = dict(zip(REPORTED, reported[0].tolist(), strict=True))
        return obs[0].astype(np.float32), float(reward[0]), False, bool(truncated[0]), info

    def render(self) -> NDArray[np.uint8] | str | None:
        """`rgb_array`: a `[600, 960, 3]` picture of the last step; `ansi`: text; None without a render mode.

        Raises:
            ConfigError: before the first reset.
        """
        if self.render_mode is None:
            return None
        if self._shown is None:
            raise ConfigError("render() needs an episode: call reset() first")
        return text_frame(self.sim.params, self._shown) if self._renderer is None else self._renderer.frame(self._shown)

    def _show(self, before: Carry, flows: Flows | None) -> None:
        """Keep what `render` will draw: the row that was decided on and the state after the step."""
        row, _ = self.sim.unpack(before)
        self._shown = snapshot(self.sim.params, row, self.tensors.carry.state, flows)
        if self._renderer is not None:
            self._renderer.see(self._shown)
