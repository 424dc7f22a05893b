"""A planner that learns what its windows cannot see: what peaks and debts will have cost when the episode ends.

Model predictive control (`policies/mpc.py`) looks a day ahead. Each update it plays fresh training episodes, writes
down what followed every step, and values the ends of its windows by that from then on: an approximate policy iteration
whose value functions are means of convex functions over recorded futures (`policies/futures.py`), so that decisions
remain linear programmes. The first update knows no futures and plays as `mpc` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from torch import Generator, Tensor, nn

from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.errors import ConfigError
from greenhop.physics.rewards import report
from greenhop.scenario.config import Count, Positive, ScenarioConfig
from greenhop.scenario.limits import Limited
from greenhop_agents.learners.algorithm import Agent
from greenhop_agents.learners.native import Native, episode_metrics
from greenhop_agents.learners.parallel import Team
from greenhop_agents.policies.futures import Futures, day_of
from greenhop_agents.policies.mpc import Mpc, MpcSettings
from greenhop_agents.policies.policy import Policy
from greenhop_agents.scoring.bounds import in_parallel
from greenhop_agents.scoring.episodes import walk


class PlannerConfig(Limited):
    """Settings of the planner that learns."""

    horizon_h: Count = 24
    """Hours that a window covers."""
    fine_h: Count | None = None
    """Hours of it at full resolution, later ones in blocks; null: all of them."""
    episodes: Count = 8
    """Episodes played in an update."""
    memory: Count = 64
    """Episodes, the newest, whose futures count."""
    futures: Count = 8
    """Futures that the end of a window is valued by."""
    season_days: Positive = 30.0
    """Standard deviation of the weights of episodes that began on other days of the year."""
    workers: Count = 1
    """Processes that play."""


@dataclass(kw_only=True)
class Planner(Native):
    """The planner and what it remembers."""

    Options = PlannerConfig
    sim: Simulator
    name: str
    config: PlannerConfig
    generator: Generator
    futures: Futures | None = None

    @classmethod
    def build(cls, sim: Simulator, agent: Agent, seed: int, team: Team = Team()) -> Self:  # noqa: B008 (frozen)
        """A planner that remembers nothing."""
        config = cls.options_of(agent)
        return cls(sim=sim, name=agent["name"], config=config, generator=Generator().manual_seed(seed))

    @classmethod
    def load(cls, agent: Agent, weights: Mapping[str, Tensor], sim: Simulator) -> Policy:
        """The planner with these futures.

        Raises:
            ConfigError: they are of another network or length of episode.
        """
        config: PlannerConfig = cls.options_of(agent)
        given = {name: tuple(x.shape) for name, x in weights.items()}
        episodes = given.get("day", (0,))[0]
        p = sim.params
        needed = {
            "day": (episodes,),
            "peak_mw": (p.steps + 1, episodes, p.n_regions),
            "owed_mwh": (p.steps + 1, episodes, *p.owed_price_cny_per_mwh.shape),
        }
        if given != needed or not episodes:
            raise ConfigError(f"{agent['name']}: the futures do not fit {sim.scenario.name}: {given}, not {needed}")
        return planner(agent["name"], config, Futures.of(weights, config.season_days, config.futures))

    @classmethod
    def fits_any_graph(cls, agent: Agent) -> bool:
        """Futures are of one network."""
        return False

    @property
    def keeps_last(self) -> bool:
        """More episodes are better known futures: nothing is chosen by validation."""
        return True

    @property
    def frames(self) -> int:
        """Environment steps of the episodes of an update."""
        return self.config.episodes * self.sim.params.steps

    def policy(self) -> Policy:
        """As it plans now."""
        return planner(self.name, self.config, self.futures)

    def weights(self) -> dict[str, Tensor]:
        """The futures."""
        return {} if self.futures is None else self.futures.tensors()

    def parameters(self) -> Iterable[nn.Parameter]:
        """None: nothing here has a gradient."""
        return []

    def learn_once(self, done: float) -> dict[str, Tensor]:
        """Play, and remember what followed."""
        c = self.config
        starts = torch.randint(self.sim.bank.n_starts, (c.episodes,), generator=self.generator).tolist()
        parts = [starts[i :: c.workers] for i in range(min(c.workers, c.episodes))]
        play = partial(record, self.sim) if c.workers == 1 else partial(_play, self.sim.scenario)
        work = partial(play, self.policy(), c)
        played = [found for _, found in sorted(in_parallel(work, iter(parts), c.workers), key=lambda x: x[0])]
        for new, _ in played:
            self.futures = new if self.futures is None else self.futures.and_later(new, c.memory)
        return episode_metrics(self.sim.params.steps, torch.cat([told for _, told in played]).unsqueeze(0))

    def state(self) -> dict[str, Any]:
        """The futures and the random generator."""
        return {"futures": self.weights(), "generator": self.generator.get_state()}

    def take_up(self, state: Mapping[str, Any]) -> None:
        """The next update is the one that would have been, but for float32 in what is remembered."""
        kept = state["futures"]
        self.futures = Futures.of(kept, self.config.season_days, self.config.futures) if kept else None
        self.generator.set_state(state["generator"].cpu())


def planner(name: str, config: PlannerConfig, futures: Futures | None) -> Mpc:
    """The planner with these futures; without any it is `mpc`."""
    return Mpc(name, MpcSettings(config.horizon_h, config.fine_h), futures=futures)


def _play(
    scenario: ScenarioConfig, policy: Policy, config: PlannerConfig, starts: Sequence[int]
) -> tuple[Futures, Tensor]:
    """`record` in another process, which has no simulator yet."""
    return record(build_simulator(scenario, "train"), policy, config, starts)


def record(sim: Simulator, policy: Policy, config: PlannerConfig, starts: Sequence[int]) -> tuple[Futures, Tensor]:
    """Play one episode from each of `starts`: what followed every step, and `[B, len(REPORTED)]` means of a step."""
    peak, owed, told = [], [], []
    for walked in walk(sim, policy, torch.tensor(starts, device=sim.params.device)):
        imported = (walked.flows.grid_mwh + walked.flows.ppa_mwh) / sim.params.dt_h
        peak.append(imported.double().cpu().numpy())
        owed.append(walked.before.state.owed_mwh.double().cpu().numpy())
        told.append(report(sim.params, walked.flows))
    state = walked.after.state
    peak.append(np.zeros_like(peak[0]))
    owed.append(state.owed_mwh.double().cpu().numpy())
    later = np.maximum.accumulate(np.stack(peak)[::-1], axis=0)[::-1].copy()
    day = day_of(sim.params, state.world_row.cpu().numpy())
    futures = Futures(day, later, owed[-1] - np.stack(owed), config.season_days, config.futures)
    return futures, torch.stack(told).mean(0).cpu()
