"""The environment of single jobs: a flow environment's observations and actions, the bill of whole jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.errors import ActionError
from greenhop.gym.interface import Info, checked_action, checked_options, checked_start, opening_info, spaces
from greenhop.jobs.draw import JobStatistics, episode_jobs
from greenhop.jobs.episode import JobEpisode
from greenhop.jobs.metrics import job_metrics
from greenhop.jobs.rules import rule_named
from greenhop.physics.rewards import REPORTED, report
from greenhop.scenario.config import ScenarioConfig, Split


class HubJobsEnv(gym.Env[NDArray[np.float32], NDArray[Any]]):
    """One network of hubs whose deferrable work is single jobs.

    * Observation and action: those of `HubEnv` in the same scenario, so that its policies run here unchanged.
    * Reward: minus the bill of what whole jobs made of the plan, in units of `sim.params.cost_scale_cny`.
    * Termination: after `sim.params.steps` steps, as in `HubEnv`; `info` of the last step also holds `jobs`, the
      metrics of `greenhop.jobs.metrics.job_metrics`.
    * State: `episode` (`greenhop.jobs.episode.JobEpisode`).

    It steps in torch, in float64, a few hundred times slower than machine code.

    Args:
        scenario: a shipped name, the path of a YAML file, or a checked scenario.
        split: train, val or test, which share no weather.
        overrides: of the scenario, such as `episode.length_h=24`.
        year_ids: years of the split; all of them by default.
        statistics: how an episode's work is cut into jobs; keys of `JobStatistics`.
        rule: which job goes first: `earliest_deadline`, `shortest_first`, `longest_waiting` or `least_migration`.
        sim: a simulator in float64 that exists already, instead of scenario, split, overrides and years.

    Raises:
        ConfigError: anything that these do not allow.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(
        self,
        scenario: ScenarioConfig | str = "pair2-jobs",
        split: Split = "train",
        *,
        overrides: Sequence[str] = (),
        year_ids: Sequence[int] | None = None,
        statistics: dict[str, Any] | None = None,
        rule: str = "earliest_deadline",
        sim: Simulator | None = None,
    ) -> None:
        self.statistics, self.rule = JobStatistics.model_validate(statistics or {}), rule_named(rule)
        self.sim = sim or build_simulator(scenario, split, overrides=overrides, year_ids=year_ids, dtype=torch.float64)
        self.observation_space, self.action_space = spaces(self.sim)
        self.episode: JobEpisode | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode: its week and its jobs follow from the seed; `options["start"]` picks the week.

        Raises:
            ConfigError: unknown options, or a start that does not exist.
        """
        given = checked_start(checked_options(options, ("start",)).get("start"), 1, self.sim)
        super().reset(seed=seed)
        start = int(self.np_random.integers(self.sim.bank.n_starts)) if given is None else int(given[0])
        jobs = episode_jobs(self.sim, start, self.statistics, int(self.np_random.integers(2**31)))
        self.episode = JobEpisode(self.sim, start, jobs, self.rule)
        opened = {name: x[0] for name, x in opening_info(self.sim, np.array([start])).items()}
        return self._obs(self.episode), Info({**dict.fromkeys(REPORTED, np.float32(0.0)), **opened})

    def step(self, action: NDArray[Any]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One step; `info` holds its cost terms and quantities by name, and `own_data_cny` of jobs.

        Raises:
            ActionError: an action that is not one, or no episode to go on with.
        """
        episode, p = self.episode, self.sim.params
        if episode is None or int(episode.carry.state.t[0]) >= p.steps:
            raise ActionError("no episode is running: it has ended, or none has begun; call reset() first")
        array = checked_action(action, (self.sim.action_size,))[None]
        with torch.no_grad():
            flows = episode.advance(self.sim.decode(episode.carry, torch.from_numpy(array).double()))
            reported = report(p, flows)[0]
        info = Info({n: np.float32(x) for n, x in zip(REPORTED, reported.tolist(), strict=True)})
        info["own_data_cny"] = np.float32(episode.extra_cny)
        over = int(episode.carry.state.t[0]) >= p.steps
        if over:
            info["jobs"] = job_metrics(episode)
        reward = -(float(flows.cost_cny.sum()) + episode.extra_cny) / p.cost_scale_cny
        return self._obs(episode), reward, over and p.prices_end, over and not p.prices_end, info

    def _obs(self, episode: JobEpisode) -> NDArray[np.float32]:
        with torch.no_grad():
            return self.sim.observe(episode.carry)[0].numpy().astype(np.float32)
