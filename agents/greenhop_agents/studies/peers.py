"""Environments of other projects stepped in turn with ours, on one thread: what a step costs, and what it decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from math import prod
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from greenhop_agents.studies.turns import Stepping, in_turn

SCAN = 32  # steps of a JAX environment in one call, so that calls cost little


class Made(NamedTuple):
    """A batch that was made."""

    observed: int  # numbers of an observation
    decided: int  # numbers of an action
    per_call: int  # environment steps of a call
    step: Callable[[], object]


@dataclass(frozen=True)
class Peer:
    """An environment of another project."""

    name: str
    package: str  # that must be importable
    install: str
    make: Callable[[int], Made]
    batches: bool = True  # whether it steps more than one environment at a time


@dataclass
class Compared:
    """What a step took."""

    environment: str
    observed: int
    decided: int
    num_envs: int
    steps_per_s: float  # environment steps a CPU-second


def compare(
    ids: Sequence[str], batches: Sequence[int], seconds: float, repetitions: int
) -> tuple[list[Compared], list[Peer]]:
    """Every environment at every batch, all in turn; medians.

    Args:
        ids: of our environments, without the namespace.
        batches: numbers of environments stepped together.
        seconds: CPU time of a repetition.
        repetitions: of each.

    Returns:
        What was measured, and the peers that are not installed.
    """
    there = [peer for peer in PEERS if find_spec(peer.package)]
    found: list[tuple[str, int, Made]] = []
    for batch in batches:
        found += [(env_id, batch, _ours(env_id, batch)) for env_id in ids]
        found += [(peer.name, batch, peer.make(batch)) for peer in there if batch == 1 or peer.batches]
    rates = in_turn([Stepping(made.step, made.per_call) for *_, made in found], seconds, repetitions)
    done = [
        Compared(name, made.observed, made.decided, batch, rate)
        for (name, batch, made), rate in zip(found, rates, strict=True)
    ]
    return done, [peer for peer in PEERS if peer not in there]


def _ours(env_id: str, batch: int) -> Made:
    """As a user makes it, on one thread and one year."""
    envs = gym.make_vec(f"greenhop:{env_id}", batch, year_ids=[0], threads=1)
    envs.reset(seed=0)
    observed, decided = (prod(space.shape or ()) for space in (envs.single_observation_space, envs.single_action_space))
    action = np.zeros((batch, decided), dtype=np.float32)
    return Made(observed, decided, batch, lambda: envs.step(action))


def _scanned(step: Callable[[Any, Any], Any], first: Any, key: Any, batch: int) -> Callable[[], object]:
    """Steps of a JAX environment, `SCAN` in a call; `step` maps a key and a state to the next state."""
    import jax

    def body(carry: Any, _: None) -> tuple[Any, None]:
        key, state = carry
        key, now = jax.random.split(key)
        return (key, jax.vmap(step)(jax.random.split(now, batch), state)), None

    run = jax.jit(lambda carry: jax.lax.scan(body, carry, None, length=SCAN)[0])
    carry = run((key, first))

    def go() -> None:
        nonlocal carry
        carry = jax.block_until_ready(run(carry))

    go()
    return go


def _size(tree: Any) -> int:
    import jax

    return sum(int(np.size(leaf)) for leaf in jax.tree.leaves(tree))


def _chargax(batch: int) -> Made:
    """Its default station with one action for all; episodes begin anew by themselves."""
    import jax
    from chargax import Chargax, ChargingStation

    env, key = Chargax(station=ChargingStation.init_default_station()), jax.random.PRNGKey(0)
    obs, state = jax.vmap(env.reset)(jax.random.split(key, batch))
    action = env.sample_action(key)
    step = _scanned(lambda k, s: env.step(k, s, action)[1], state, key, batch)
    return Made(_size(obs) // batch, _size(action), batch * SCAN, step)


def _cartpole(batch: int) -> Made:
    """gymnax's CartPole: about the least that an environment can compute."""
    import gymnax
    import jax

    env, settings = gymnax.make("CartPole-v1")
    key = jax.random.PRNGKey(0)
    obs, state = jax.vmap(env.reset, in_axes=(0, None))(jax.random.split(key, batch), settings)
    step = _scanned(lambda k, s: env.step(k, s, 0, settings)[1], state, key, batch)
    return Made(_size(obs) // batch, 1, batch * SCAN, step)


def _citylearn(batch: int) -> Made:
    """The first district of its challenge of 2023, all buildings under one agent; it needs its data set at hand."""
    from citylearn.citylearn import CityLearnEnv

    env = CityLearnEnv("citylearn_challenge_2023_phase_1", central_agent=True)
    (obs, *_), _ = env.reset()
    action = [np.zeros(env.action_space[0].shape)]

    def step() -> None:
        *_, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()

    return Made(len(obs), int(np.size(action)), batch, step)


PEERS = (
    Peer("Chargax", "chargax", "pip install git+https://github.com/ponseko/chargax", _chargax),
    Peer("gymnax CartPole", "gymnax", "pip install gymnax", _cartpole),
    Peer("CityLearn", "citylearn", "pip install CityLearn", _citylearn, batches=False),
)
