"""Pictures of running environments. Machine code keeps no flows, so steps to be seen are run again when asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from greenhop.engines.engine import Engine, present
from greenhop.episode.snapshot import Snapshot, snapshot
from greenhop.errors import ConfigError
from greenhop.gym.render import Renderer, text_frame
from greenhop.physics.state import State

if TYPE_CHECKING:
    from greenhop.episode.simulator import Simulator

RENDER_MODES = ("rgb_array", "ansi")
AT_ONCE = 256  # environments × steps that are run again in one batch


class Event(NamedTuple):
    """A step that was taken, or the beginning of episodes."""

    state: Callable[[], State]  # before the step, or at the beginning
    action: NDArray[np.float32] | None  # [B, A]; None at a beginning
    envs: NDArray[np.int64]  # that it concerns


class Viewer:
    """What `render` draws of `num_envs` environments.

    Raises:
        ConfigError: an unknown render mode.
    """

    def __init__(self, sim: Simulator, num_envs: int, mode: str) -> None:
        if mode == "human":
            raise ConfigError(
                "render_mode = 'human': gymnasium.make(…, render_mode='human') opens a window, with pygame: "
                "pip install 'greenhop[render]'"
            )
        if mode not in RENDER_MODES:
            raise ConfigError(f"render_mode = {mode!r}; allowed: {', '.join(RENDER_MODES)} or None")
        self.sim, self._mode = sim, mode
        self._unseen: deque[Event] = deque(maxlen=sim.params.steps + 1)  # older events belong to episodes that ended
        self._now: list[Snapshot | None] = [None] * num_envs
        drawn = mode == "rgb_array"
        self._renderers = [Renderer(sim.scenario, sim.params) for _ in range(num_envs)] if drawn else []

    def begun(self, engine: Engine, envs: NDArray[np.int64]) -> None:
        """Episodes have begun in `envs`."""
        if len(envs) == len(self._now):
            self._unseen.clear()
        self._unseen.append(Event(engine.keep(), None, envs))

    def steps(self, engine: Engine, action: NDArray[np.float32], envs: NDArray[np.int64]) -> None:
        """`envs` are about to take a step with `action` `[B, A]`."""
        self._unseen.append(Event(engine.keep(), action, envs))

    def draw(self) -> list[NDArray[np.uint8] | str]:
        """A frame of every environment: a `[600, 960, 3]` picture of its last step, or text.

        Raises:
            ConfigError: no episode has begun.
        """
        self._look()
        if any(now is None for now in self._now):
            raise ConfigError("render() needs an episode: call reset() first")
        shown = [now for now in self._now if now is not None]
        if self._mode == "ansi":
            return [text_frame(self.sim.params, now) for now in shown]
        return [renderer.frame(now) for renderer, now in zip(self._renderers, shown, strict=True)]

    def _look(self) -> None:
        """Run what has not been seen again, some steps at once."""
        most = max(1, AT_ONCE // len(self._now))
        while self._unseen:
            event = self._unseen.popleft()
            if event.action is None:
                self._see(event.state(), None, [event.envs])
                continue
            run = [event]
            while len(run) < most and self._unseen and self._unseen[0].action is not None:
                run.append(self._unseen.popleft())
            before = State(*(torch.cat(parts) for parts in zip(*(e.state() for e in run), strict=True)))
            action = np.concatenate([e.action for e in run if e.action is not None])
            self._see(before, torch.from_numpy(action).to(before.t.device), [e.envs for e in run])

    @torch.no_grad()
    def _see(self, before: State, action: Tensor | None, whom: list[NDArray[np.int64]]) -> None:
        """Snapshots of a batch that holds all environments once for every entry of `whom`."""
        carry = present(self.sim.bank.table, before)
        row, _ = self.sim.unpack(carry)
        after, flows = (carry, None) if action is None else self.sim.act(carry, action)
        for k, envs in enumerate(whom):
            for env in envs.tolist():
                now = snapshot(self.sim.params, row, after.state, flows, k * len(self._now) + env)
                self._now[env] = now
                if self._renderers:
                    self._renderers[env].see(now)
