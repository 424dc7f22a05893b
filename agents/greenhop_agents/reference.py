"""What price following earns in every step of every episode: the control variate of the learners.

The weather of a week moves its cost far more than any decision does. An agent's reward minus that of the zero action in
the same step of the same episode differs from the reward by a number no action can change, so it leaves the optimal
policy alone and takes most of the noise out of values and advantages.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from greenhop.cache import cached, key_of, source_key
from greenhop.rewards import reward_of
from greenhop.simulator import Carry, Simulator

BATCH = 2048  # episodes per pass


def reference_rewards(sim: Simulator) -> Tensor:
    """`[E, T]` rewards of the zero action from each of `sim.bank.starts`, kept in the disk cache."""
    relevant = sim.scenario.model_dump(mode="json", exclude={"description"})
    key = key_of(relevant, sim.bank.split, list(sim.bank.year_ids), str(sim.params.dtype), source_key())
    found = cached("references", key, lambda: {"reward": _run(sim).cpu().numpy()})
    return torch.from_numpy(np.asarray(found["reward"])).to(sim.params.device)


def _run(sim: Simulator) -> Tensor:
    starts = torch.arange(sim.bank.n_starts, device=sim.params.device)
    with torch.no_grad():
        return torch.cat([_episodes(sim, part) for part in starts.chunk(-(-len(starts) // BATCH))])


def _episodes(sim: Simulator, starts: Tensor) -> Tensor:
    """`[E, T]` rewards of the episodes from `starts`."""
    carry, rewards = sim.begin(starts), []
    action = carry.packed.new_zeros(len(starts), sim.action_size)
    for _ in range(sim.params.steps):
        carry, flows = sim.act(carry, action)
        rewards.append(reward_of(sim.params, flows))
    return torch.stack(rewards, dim=1)


def at(table: Tensor, sim: Simulator, carry: Carry) -> Tensor:
    """`[B]` entries of a table `[E, T]` for the present step of each running episode."""
    start = torch.searchsorted(sim.bank.starts, carry.state.world_row)
    return table[start, carry.state.t]
