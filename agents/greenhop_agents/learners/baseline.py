"""What price following earns in every step of every episode: the control variate of the learners.

The weather of a week moves its cost far more than any decision does. An agent's reward minus that of the zero action in
the same step of the same episode differs from the reward by a number no action can change, so it leaves the optimal
policy alone and takes most of the noise out of values and advantages.

Potential-based shaping (Ng, Harada and Russell, 1999) does the same for delay: a reward that includes the change of
what waiting work and stored energy are worth pays nothing for putting work off, before any value has been learnt.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from greenhop.cache import cached, key_of, source_key
from greenhop.episode.simulator import Carry, Simulator
from greenhop.gym.tensor_env import TensorVectorEnv
from greenhop.physics.params import Params
from greenhop.physics.state import State
from greenhop.world.bank import MADE_BY as WORLD

MADE_BY = (*WORLD, "physics", "episode")  # the code that these rewards rest on
BATCH = 2048  # episodes per pass


def reference_rewards(sim: Simulator, shaped: bool = False) -> Tensor:
    """`[E, T]` rewards of the zero action from each of `sim.bank.starts`, kept in the disk cache.

    With `shaped`, the change of `potential` in every step is part of its reward.
    """
    relevant = sim.scenario.model_dump(mode="json", exclude={"description"})
    key = key_of(relevant, sim.bank.split, list(sim.bank.year_ids), str(sim.params.dtype), source_key(*MADE_BY), shaped)
    found = cached("references", key, lambda: {"reward": _run(sim, shaped).cpu().numpy()})
    return torch.from_numpy(np.asarray(found["reward"])).to(sim.params.device)


def _run(sim: Simulator, shaped: bool) -> Tensor:
    starts = torch.arange(sim.bank.n_starts, device=sim.params.device)
    with torch.no_grad():
        return torch.cat([_episodes(sim, part, shaped) for part in starts.chunk(-(-len(starts) // BATCH))])


def _episodes(sim: Simulator, starts: Tensor, shaped: bool) -> Tensor:
    """`[E, T]` rewards of the episodes from `starts`."""
    env = TensorVectorEnv(sim, len(starts), compile=None)
    obs, rewards = env.reset(starts=starts), []
    action = obs.new_zeros(len(starts), sim.action_size)
    before = env.carry.state
    for _ in range(sim.params.steps):
        _, reward, _, _ = env.step(action)
        if shaped:
            after = env.carry.state
            reward, before = reward + gain(sim.params, before, after), after
        rewards.append(reward)
    return torch.stack(rewards, dim=1)


def potential(p: Params, state: State) -> Tensor:
    """`[B]` what a state is worth at the episode's terminal prices, in rewards; 0 at the end, where they are billed.

    `Φ(s) = (Σ soc·soc_price − Σ backlog·work_price) / cost_scale`.
    """
    work = (state.backlog_mwh.sum((1, 3)) * p.work_terminal_cny_per_mwh).sum(-1)
    stored = (state.soc_mwh * p.soc_terminal_cny_per_mwh).sum(-1)
    return torch.where(state.t >= p.steps, 0.0, (stored - work) / p.cost_scale_cny)


def gain(p: Params, before: State, after: State) -> Tensor:
    """`[B]` `Φ(after) − Φ(before)`: summed over an episode without discount it is `−Φ(start)`, whatever was done."""
    return potential(p, after) - potential(p, before)


def at(table: Tensor, sim: Simulator, carry: Carry) -> Tensor:
    """`[B]` entries of a table `[E, T]` for the present step of each running episode."""
    start = torch.searchsorted(sim.bank.starts, carry.state.world_row)
    return table[start, carry.state.t]
