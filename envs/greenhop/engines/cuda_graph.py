"""Work on a GPU, captured once as a CUDA graph and replayed with one launch: several steps, or a learner's update."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

import torch
from torch import Tensor

from greenhop.engines.compiled import CompiledSteps
from greenhop.engines.engine import Tick
from greenhop.errors import ActionError, ConfigError

if TYPE_CHECKING:
    from greenhop.episode.simulator import Simulator

Policy = Callable[[Tensor], Tensor]
Result = TypeVar("Result")
WARM_UP = 3  # runs on a side stream before capture, as the documentation asks


class Captured(Generic[Result]):
    """What `function` does on the GPU, captured without being done, and replayed by calling.

    The function works on tensors that stay where they are; it must have run on `aside()` before. What a call returns is
    overwritten by the next. Generators that it draws from must be given, so that every replay draws anew.
    """

    def __init__(self, function: Callable[[], Result], generators: Sequence[torch.Generator] = ()) -> None:
        self.graph = torch.cuda.CUDAGraph()
        for generator in generators:
            self.graph.register_generator_state(generator)
        with torch.cuda.graph(self.graph):
            self.result = function()

    def __call__(self) -> Result:
        """Replay."""
        self.graph.replay()
        return self.result


@contextmanager
def aside() -> Iterator[None]:
    """Runs what is inside on a stream of its own, as work that is to be captured must have run once."""
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        yield
    torch.cuda.current_stream().wait_stream(side)


class GraphedSteps:
    """`steps` compiled steps of `num_envs` environments in one CUDA graph with static buffers.

    Without a policy, fill `action` `[steps, B, A]` before each `replay`. A policy maps observations `[B, O]` to actions
    inside the graph; generators it draws from must be given, so that every replay draws anew. What `replay` returns is
    overwritten by the next one. Restart episodes between replays: `steps` must divide the length of an episode.
    """

    def __init__(
        self,
        sim: Simulator,
        num_envs: int,
        steps: int,
        policy: Policy | None = None,
        generators: tuple[torch.Generator, ...] = (),
    ) -> None:
        if sim.params.device.type != "cuda":
            raise ConfigError(f"a CUDA graph needs device = 'cuda', not {sim.params.device.type!r}")
        if sim.params.steps % steps:
            raise ConfigError(f"steps = {steps} must divide the {sim.params.steps} steps of an episode")
        self.sim, self.steps, self.policy = sim, steps, policy
        self.engine = CompiledSteps(sim, num_envs)
        self.obs = self.engine.begin(torch.zeros(num_envs, dtype=torch.int64, device=sim.params.device)).clone()
        self.action = self.obs.new_zeros(steps, num_envs, sim.action_size)
        self._static = [x.clone() for x in self.engine.running]
        with torch.no_grad():
            with aside():
                for _ in range(WARM_UP):
                    self._run()
            self._replay = Captured(self._run, generators)
        self.t = sim.params.steps  # steps of the running episodes; none begins by itself

    def replay(self) -> Tick:
        """`steps` steps: observations `[steps, B, O]`, rewards `[steps, B]`, reports `[steps, B, …]`.

        Raises:
            ActionError: the episodes have ended.
        """
        if self.t == self.sim.params.steps:
            raise ActionError("the episodes have ended; begin new ones before the next replay")
        self.t += self.steps
        return self._replay()

    def _run(self) -> Tick:
        """Static buffers in, static buffers out: what the graph does."""
        for ours, static in zip(self.engine.running, self._static, strict=True):
            ours.copy_(static)
        obs, ticks = self.obs, []
        for t in range(self.steps):
            done = self.engine.step(self.action[t] if self.policy is None else self.policy(obs))
            obs = done.obs
            ticks.append(done)
        for static, new in zip(self._static, self.engine.running, strict=True):
            static.copy_(new)
        self.obs.copy_(obs)
        return Tick(*(torch.stack(parts) for parts in zip(*ticks, strict=True)))

    def begin(self, start: Tensor) -> Tensor:
        """Start episodes everywhere, `start` `[B]`; observations `[B, O]`."""
        self.t = 0
        self.obs.copy_(self.engine.begin(start))
        for static, new in zip(self._static, self.engine.running, strict=True):
            static.copy_(new)
        return self.obs
