"""What price following earns in every step of every episode: a control variate for learners.

The weather of a week moves its cost far more than any decision does. An agent's reward minus that of the zero action in
the same step of the same episode differs from the reward by a number no action can change, so it leaves the optimal
policy alone and takes most of the noise out of values and advantages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from greenhop.cache import cached, key_of, source_key
from greenhop.engines.engine import Engine
from greenhop.engines.find import build_engine
from greenhop.physics.rewards import RewardKind
from greenhop.saying import say
from greenhop.world import MADE_BY as WORLD

if TYPE_CHECKING:
    from greenhop.episode.carry import Carry
    from greenhop.episode.simulator import Simulator

MADE_BY = (*WORLD, "physics", "episode")  # the code that these rewards rest on
BATCH = 1024  # episodes per pass


def price_follow_rewards(sim: Simulator, reward: RewardKind = "bill") -> Tensor:
    """`[E, T]` rewards of the zero action from each of `sim.bank.starts`, kept in the disk cache."""
    relevant = sim.scenario.model_dump(mode="json", exclude={"description"})
    key = key_of(relevant, sim.bank.split, list(sim.bank.year_ids), str(sim.params.dtype), source_key(*MADE_BY), reward)
    found = cached("references", key, lambda: {"reward": _run(sim, reward)})
    return torch.from_numpy(np.asarray(found["reward"])).to(sim.params.device)


def _run(sim: Simulator, reward: RewardKind) -> NDArray[np.floating]:
    """All episodes, in passes of like size."""
    count = sim.bank.n_starts
    engine = build_engine(sim, min(BATCH, count), None)
    firsts = [*range(0, count - engine.num_envs, engine.num_envs), count - engine.num_envs]
    out = np.empty((count, sim.params.steps), dtype=sim.bank.table.cpu().numpy().dtype)
    for first in firsts:  # the last pass may overlap the one before
        say("measuring what price following earns: episode %d of %d; it is kept for next time", first + 1, count)
        out[first : first + engine.num_envs] = _episodes(engine, first, reward)
    return out


def _episodes(engine: Engine, first: int, reward: RewardKind) -> NDArray[np.floating]:
    """`[B, T]` rewards of the episodes from `first` on."""
    sim = engine.sim
    engine.begin(torch.arange(first, first + engine.num_envs, device=sim.params.device))
    still = np.zeros((engine.num_envs, sim.action_size), dtype=np.float32)
    steps = (engine.step_arrays(still) for _ in range(sim.params.steps))
    return np.stack([done.reward + done.gain if reward == "accrual" else done.reward.copy() for done in steps], axis=1)


def at(table: Tensor, sim: Simulator, carry: Carry) -> Tensor:
    """`[B]` entries of a table `[E, T]` for the present step of each running episode."""
    start = torch.searchsorted(sim.bank.starts, carry.state.world_row)
    return table[start, carry.state.t]
