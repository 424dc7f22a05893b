"""Running many staggered episodes for a learner: the fleet, and what one step of it returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import tree_leaves

from greenhop.compiler.unroll import UnrollError
from greenhop.engines.compiled import to_compile
from greenhop.engines.differentiable import CompiledOutcome, Step
from greenhop.engines.engine import tick
from greenhop.episode.carry import Carry, carry_of, choose, random_start
from greenhop.episode.simulator import Simulator
from greenhop.physics.state import State


def ticker(sim: Simulator, compile: bool | None, derivative: bool) -> Step:
    """The step of a fleet, compiled or as it is written; None compiles where that is possible on a CPU.

    Raises:
        UnrollError: `compile` is True, and the decoder does what cannot be compiled.
    """
    if to_compile(sim, compile):
        step = CompiledOutcome(sim)
        try:
            _ = step.backward if derivative else step.forward
        except UnrollError:
            if compile:
                raise
        else:
            return step
    return partial(tick, sim)


@dataclass(frozen=True)
class Fleet:
    """`B` running episodes. Episode n of environment i starts at a hash of (seed, i, n), whatever `B` is.

    The step count lives on the host: episodes end by time alone, so no step has to ask the device.
    """

    carry: Carry
    obs: Tensor  # [B, O] of the carry
    t: NDArray[np.int64]  # [B] step in the episode
    env: Tensor  # [B] int64 number of each group of environments, which their starts follow from
    episode: Tensor  # [B] int64 episodes begun so far
    seed: int

    @property
    def size(self) -> int:
        """B."""
        return len(self.t)


@dataclass(frozen=True)
class Stepped:
    """What a step of a fleet returned, before any restart."""

    reward: Tensor  # [B]
    reported: Tensor  # [B, len(REPORTED)], without gradient
    ended: NDArray[np.bool_]  # [B] episodes that ended
    final: Carry  # carry after the step; where it ended, the end of an episode
    final_obs: Tensor  # [B, O] its observation


def launch(
    sim: Simulator, num_envs: int, seed: int, every: int | None = None, first_env: int = 0, group: int = 1
) -> Fleet:
    """Begin `num_envs` episodes; with `every`, staggered so that together they cover the whole episode.

    Staggering runs price following (the zero action) until group g has reached step `every·g mod T`.

    Args:
        sim: the simulator.
        num_envs: how many environments.
        seed: that their starts follow from.
        every: steps between the places of neighbouring groups; None begins all at their first step.
        first_env: number of the first environment among those of all processes.
        group: environments that live the same episodes.
    """
    env = torch.arange(first_env, first_env + num_envs, device=sim.params.device) // group
    carry = _fresh(sim, seed, env, torch.zeros_like(env))
    fleet = Fleet(
        carry=carry,
        obs=sim.observe(carry),
        t=np.zeros(num_envs, dtype=np.int64),
        env=env,
        episode=torch.ones_like(env),
        seed=seed,
    )
    if every is None:
        return fleet
    return _stagger(sim, fleet, every * env.cpu().numpy() % sim.params.steps)


def _stagger(sim: Simulator, fleet: Fleet, offset: NDArray[np.int64]) -> Fleet:
    """Run each environment `offset` steps with the zero action."""
    start, carry = fleet.carry, fleet.carry
    action = carry.packed.new_zeros(fleet.size, sim.action_size)
    longest = int(offset.max())
    with torch.no_grad():
        for done in range(longest):
            waiting = torch.from_numpy(longest - done > offset).to(action.device)
            carry = choose(waiting, start, sim.act(choose(waiting, start, carry), action)[0])
    return replace(fleet, carry=carry, obs=sim.observe(carry), t=offset.astype(np.int64))


def _fresh(sim: Simulator, seed: int, env: Tensor, episode: Tensor) -> Carry:
    return sim.begin(random_start(torch.full_like(env, seed), env, episode, sim.bank.n_starts))


def advance(sim: Simulator, fleet: Fleet, action: Tensor, step: Step) -> tuple[Fleet, Stepped]:
    """One `step` with actions `[B, A]`, through which gradients flow; episodes that end begin anew."""
    carry, seen = step(fleet.carry, action)
    over = fleet.t + 1 == sim.params.steps
    stepped = Stepped(seen.reward, seen.reported.detach(), over, carry, seen.obs)
    if not over.any():
        return replace(fleet, carry=carry, obs=seen.obs, t=fleet.t + 1), stepped
    ended = carry.state.t >= sim.params.steps
    fresh = _fresh(sim, fleet.seed, fleet.env, fleet.episode)
    after = replace(
        fleet,
        carry=choose(ended, fresh, carry),
        obs=torch.where(ended.unsqueeze(-1), sim.observe(fresh), seen.obs),
        t=np.where(over, 0, fleet.t + 1),
        episode=fleet.episode + ended,
    )
    return after, stepped


def detach(fleet: Fleet) -> Fleet:
    """The same fleet, cut off from the gradient."""
    return replace(fleet, carry=carry_of(Tensor.detach, fleet.carry), obs=fleet.obs.detach())


def tensors_of(fleet: Fleet) -> list[Tensor]:
    """Everything of a fleet that a step changes on the device."""
    return [*tree_leaves(fleet.carry), fleet.obs, fleet.episode]


def fleet_state(fleet: Fleet) -> dict[str, Any]:
    """Everything a checkpoint needs to go on with these episodes."""
    return {
        "state": dict(fleet.carry.state._asdict()),
        "past": [dict(state._asdict()) for state in fleet.carry.past],
        "obs": fleet.obs,
        "t": torch.from_numpy(fleet.t),
        "env": fleet.env,
        "episode": fleet.episode,
        "seed": fleet.seed,
    }


def restore_fleet(sim: Simulator, data: Mapping[str, Any]) -> Fleet:
    """The fleet that `fleet_state` described; the present rows are read again from the world."""
    device = sim.params.device
    kept = (data["state"], *data.get("past", ()))
    state, *past = (State(**{name: x.to(device) for name, x in each.items()}) for each in kept)
    packed = sim.bank.table.index_select(0, state.world_row + state.t)
    env, episode = data["env"].to(device), data["episode"].to(device)
    carry = Carry(state, packed, tuple(past))
    return Fleet(carry, data["obs"].to(device), data["t"].numpy(), env, episode, data["seed"])
