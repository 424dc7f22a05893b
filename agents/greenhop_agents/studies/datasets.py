"""Offline datasets: what policies did in training episodes, in the format of Minari, with scores to compare by.

In the space of bids (`decoder.name: shadow_price`) policies that act on observations are recorded as they act. In the
space of shares (`full`) every policy is: its plan has an action there, and what is recorded is what that action did.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray
from omegaconf import DictConfig
from pydantic import Field
from torch import Tensor

from greenhop.episode.decoders.full import FullDecoder
from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.errors import ConfigError
from greenhop.gym.env import HubEnv
from greenhop.physics.rewards import reward_of
from greenhop.scenario.config import Count, Model, NonNegative, Split
from greenhop.scenario.find import load_scenario
from greenhop_agents.base.cli import keys_checked
from greenhop_agents.base.overrides import own_hydra
from greenhop_agents.policies.policy import Acting, Policy
from greenhop_agents.policies.rules import PriceFollow
from greenhop_agents.scoring.bounds import episode_bounds
from greenhop_agents.scoring.evaluate import Progress, evaluate
from greenhop_agents.shelf.find import find_policy

ANY_DECODER = "decoder.name=shadow_price"  # in whose space policies decide


class CollectConfig(Model):
    """`configs/collect.yaml`: which policies are recorded, where, and under which name."""

    scenario_name: str
    """A shipped scenario, or the path of a YAML file."""
    overrides: list[str]
    """Changes of it, such as `episode.length_h=24` or `decoder.name=full`."""
    policies: Annotated[list[str], Field(min_length=1)]
    """Whose episodes are recorded, in turn: rules, planners, published policies and run folders."""
    episodes: Count
    """Episodes of the dataset, all policies together."""
    noise: NonNegative
    """Standard deviation of normal noise on recorded actions, which are then what was done."""
    split: Split
    """Whose years the episodes are of."""
    dataset: str
    """What the dataset is called, as Minari wants it: `greenhop/pair2/mixed-v0`."""
    seed: Annotated[int, Field(ge=0)]
    """Of episodes and noise."""
    author: str
    """Who collects it, for the dataset's metadata."""
    email: str
    """And how to reach them."""


def collect_config(config: DictConfig) -> CollectConfig:
    """The checked configuration.

    Raises:
        ConfigError: a wrong value.
    """
    return keys_checked(config, CollectConfig, "collect.yaml")


@dataclass(frozen=True)
class Recorded:
    """One batch of episodes of one policy, batch first."""

    policy: str
    start: NDArray[np.int64]  # [B] in `sim.bank.starts`
    obs: NDArray[np.float32]  # [B, T+1, O]
    action: NDArray[np.float32]  # [B, T, A]
    reward: NDArray[np.float64]  # [B, T]


def record(sim: Simulator, deciding: Simulator, policy: Policy, starts: Tensor, noise: float, seed: int) -> Recorded:
    """Run a policy from `starts` `[B]` and keep what it saw, did and earned.

    Args:
        sim: the simulator whose actions are recorded.
        deciding: the same in the action space of the policy.
        policy: who decides.
        starts: indices into `sim.bank.starts`.
        noise: standard deviation on the actions.
        seed: of the noise.

    Raises:
        ConfigError: a policy without actions, in a space where plans have none.
    """
    if not isinstance(sim.decoder, FullDecoder) and not isinstance(policy, Acting):
        raise ConfigError(
            f"policies holds {policy.name}, which plans and does not bid: record it with decoder.name=full in overrides"
        )
    generator, rows = torch.Generator().manual_seed(seed), []
    policy.reset(deciding)
    with torch.no_grad():
        carry = sim.begin(starts)
        for _ in range(sim.params.steps):
            obs = sim.observe(carry)
            if isinstance(sim.decoder, FullDecoder):
                row, _ = sim.unpack(carry)
                action = sim.decoder.action_of(policy.decide(deciding, carry), carry.state, row)
            else:
                assert isinstance(policy, Acting)
                action = policy.act(obs)
            action = (action + noise * torch.randn(action.shape, generator=generator)).clamp(-1.0, 1.0)
            carry, flows = sim.act(carry, action)
            rows.append((obs, action, reward_of(sim.params, flows)))
        last = sim.observe(carry)
    obs, action, reward = (torch.stack(x, dim=1) for x in zip(*rows, strict=True))
    seen = torch.cat((obs, last.unsqueeze(1)), dim=1)
    return Recorded(policy.name, starts.numpy(), seen.numpy(), action.numpy(), reward.double().numpy())


def collect(config: CollectConfig, progress: Progress | None = None) -> list[Recorded]:
    """The episodes that are asked for, policy by policy, none of them twice.

    Raises:
        ConfigError: more episodes than the split has, or a policy that cannot be recorded here.
    """
    sim, deciding = _simulators(config)
    if config.episodes > sim.bank.n_starts:
        raise ConfigError(f"episodes = {config.episodes}; split {config.split!r} has {sim.bank.n_starts}")
    order = torch.randperm(sim.bank.n_starts, generator=torch.Generator().manual_seed(config.seed))
    parts = torch.tensor_split(order[: config.episodes], len(config.policies))
    out = []
    for i, (name, starts) in enumerate(zip(config.policies, parts, strict=True)):
        policy = find_policy(name, deciding)
        if len(starts):
            out.append(record(sim, deciding, policy, starts, config.noise, config.seed + i))
        if progress:
            progress(i + 1, len(config.policies))
    return out


def _simulators(config: CollectConfig) -> tuple[Simulator, Simulator]:
    """The one whose actions are recorded, and the one in which policies decide."""
    with own_hydra():
        scenario = load_scenario(config.scenario_name, config.overrides)
        space_of_bids = load_scenario(config.scenario_name, [*config.overrides, ANY_DECODER])
    sim = build_simulator(scenario, config.split)
    if scenario.decoder.name == space_of_bids.decoder.name:
        return sim, sim
    return sim, build_simulator(space_of_bids, config.split)


def references(config: CollectConfig, starts: Sequence[int], progress: Progress | None = None) -> tuple[float, float]:
    """Mean return of price following and of the certified optimum on these episodes: scores 0 and 1.

    Raises:
        SolverError: an episode that is not solved and certified.
    """
    _, sim = _simulators(config)
    followed = np.mean([e.cost_cny for e in evaluate(sim, PriceFollow(), starts)])
    best = np.mean([b.bound_cny for b in episode_bounds(sim, starts, progress=progress)])
    return -float(followed) / sim.params.cost_scale_cny, -float(best) / sim.params.cost_scale_cny


def write_dataset(config: CollectConfig, recorded: Sequence[Recorded], scores: tuple[float, float], root: Path) -> Any:
    """Write a Minari dataset under `root` and return it.

    Raises:
        ConfigError: Minari is not installed, the name is none of its own, or a dataset of that name exists.
    """
    minari, buffer_class = _minari()
    given: dict[str, Any] = {"scenario": config.scenario_name, "split": config.split, "reward": "bill"}
    given["overrides"] = list(config.overrides)
    env = HubEnv(**given)
    spec = EnvSpec("Greenhop-v1", entry_point="greenhop.gym.env:HubEnv", kwargs=given, disable_env_checker=True)
    priced = env.sim.params.prices_end
    buffers = [
        buffer_class(
            id=None,
            options={"start": int(start)},
            observations=obs,
            actions=action,
            rewards=reward.tolist(),
            terminations=[False] * (len(reward) - 1) + [priced],
            truncations=[False] * (len(reward) - 1) + [not priced],
        )
        for part in recorded
        for start, obs, action, reward in zip(part.start, part.obs, part.action, part.reward, strict=True)
    ]
    with at_root(root), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="minari")  # that there is no link to code
        try:
            return minari.create_dataset_from_buffers(
                config.dataset,
                buffers,
                env=spec,
                algorithm_name=", ".join(dict.fromkeys(part.policy for part in recorded)),
                author=config.author,
                author_email=config.email,
                description=f"{config.scenario_name} {' '.join(config.overrides)}: {', '.join(config.policies)}",
                observation_space=env.observation_space,
                action_space=env.action_space,
                ref_min_score=scores[0],
                ref_max_score=scores[1],
                data_format="hdf5",
                requirements=["greenhop"],
            )
        except ValueError as error:
            raise ConfigError(f"dataset = {config.dataset!r}: {error}") from None


@contextmanager
def at_root(root: Path) -> Iterator[None]:
    """Minari's datasets are under `root` inside."""
    before = os.environ.get("MINARI_DATASETS_PATH")
    os.environ["MINARI_DATASETS_PATH"] = str(root)
    try:
        yield
    finally:
        if before is None:
            del os.environ["MINARI_DATASETS_PATH"]
        else:
            os.environ["MINARI_DATASETS_PATH"] = before


def _minari() -> tuple[Any, Any]:
    """The package, and what it calls an episode."""
    try:
        import minari
        from minari.data_collector import EpisodeBuffer
    except ImportError:
        raise ConfigError("writing datasets needs Minari: pip install 'greenhop[offline]'") from None
    return minari, EpisodeBuffer
