"""Which engine steps."""

from __future__ import annotations

import logging
from functools import cache

from greenhop.compiler.unroll import UnrollError
from greenhop.engines.compiled import CompiledSteps
from greenhop.engines.engine import Engine
from greenhop.engines.torch_steps import TorchSteps
from greenhop.episode.simulator import Simulator
from greenhop.errors import ConfigError

log = logging.getLogger(__name__)


def build_engine(sim: Simulator, num_envs: int, compile: bool | None) -> Engine:
    """The engine for `num_envs` environments of `sim`, on its device.

    Args:
        sim: the simulator.
        num_envs: how many environments.
        compile: machine code; False for torch; None for machine code on a CPU that can have it, and torch elsewhere.

    Raises:
        UnrollError: `compile` is True, and the decoder does what machine code cannot follow.
        ConfigError: `compile` is True, and there is no compiler that works.
    """
    if compile is False or (compile is None and sim.params.device.type != "cpu"):
        return TorchSteps(sim, num_envs)
    try:
        return CompiledSteps(sim, num_envs)
    except (UnrollError, ConfigError) as error:
        if compile:
            raise
        _say_slow(str(error))
        return TorchSteps(sim, num_envs)


@cache
def _say_slow(reason: str) -> None:
    """Once for every reason: what a user would otherwise find out by waiting."""
    log.warning("environments step in torch, a few hundred times slower than machine code for one: %s", reason)
