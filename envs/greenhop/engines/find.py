"""Which engine steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greenhop.compiler.threads import threads_for
from greenhop.compiler.unroll import UnrollError
from greenhop.engines.compiled import CompiledSteps, say_slow, to_compile
from greenhop.engines.engine import Engine
from greenhop.engines.torch_steps import TorchSteps
from greenhop.errors import ConfigError

if TYPE_CHECKING:
    from greenhop.episode.simulator import Simulator


def build_engine(sim: Simulator, num_envs: int, compile: bool | None, threads: int | None = None) -> Engine:
    """The engine for `num_envs` environments of `sim`, on its device.

    Args:
        sim: the simulator.
        num_envs: how many environments.
        compile: machine code; False for torch; None for machine code on a CPU that can have it, and torch elsewhere.
        threads: of machine code on a CPU; None for one a core that the process may use, see `threads_for`.

    Raises:
        UnrollError: `compile` is True, and the decoder does what machine code cannot follow.
        ConfigError: `compile` is True, and there is no compiler that works; or `threads` is below one.
    """
    threads_for(threads)
    if not to_compile(sim, compile):
        return TorchSteps(sim, num_envs)
    try:
        return CompiledSteps(sim, num_envs, threads=threads)
    except (UnrollError, ConfigError) as error:
        if compile:
            raise
        say_slow(str(error))
        return TorchSteps(sim, num_envs)
