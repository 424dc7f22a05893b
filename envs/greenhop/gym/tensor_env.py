"""Many environments on one device, tensors in and out."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from greenhop.compiler.recorded import RecordError
from greenhop.compiler.unroll import UnrollError
from greenhop.engines.compiled import CompiledSteps, say_slow, to_compile
from greenhop.engines.numpy_steps import NumpySteps
from greenhop.episode.simulator import Carry, Simulator, choose, random_start
from greenhop.errors import ActionError, CompilerError, ConfigError
from greenhop.physics.rewards import report, reward_of
from greenhop.physics.state import Flows


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
        except CompilerError as error:
            if compile:
                raise
            say_slow(str(error))
    if lean and sim.params.device.type == "cpu":
        with suppress(RecordError):  # then torch runs it as it is written
            return NumpySteps(sim, num_envs)
    return None
