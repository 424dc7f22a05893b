"""Whole jobs under any plan: nothing is lost, limits hold, and no bill is below the bound of the flows."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.errors import DataError
from greenhop.jobs.draw import JobStatistics, episode_jobs
from greenhop.jobs.episode import JobEpisode
from greenhop.jobs.metrics import job_metrics
from greenhop.jobs.rules import RULES
from greenhop.physics.step import phase_of
from greenhop_agents.scoring.bounds import episode_bounds
from tests.sims import DAY

FEW = JobStatistics(count=300)


@cache
def sim() -> Simulator:
    return build_simulator("pair2-jobs", "test", overrides=DAY, year_ids=[0], dtype=torch.float64)


def random_actions(seed: int) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.uniform(-1, 1, (sim().params.steps, 1, sim().action_size)))


def test_jobs_hold_the_work_of_the_flows_at_every_place_and_time() -> None:
    episode = JobEpisode(sim(), 3, episode_jobs(sim(), 3, FEW))
    for _ in range(sim().params.steps):
        backlog = episode.dispatcher.backlog_mwh(int(phase_of(sim().params, episode.carry.state)[0]))
        np.testing.assert_allclose(backlog, episode.carry.state.backlog_mwh[0], atol=1e-9)
        episode.advance(sim().decode(episode.carry, torch.zeros(1, sim().action_size, dtype=torch.float64)))


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 1000), start=st.integers(0, 300), rule=st.sampled_from(sorted(RULES)))
def test_work_of_every_job_and_hub_is_conserved(seed: int, start: int, rule: str) -> None:
    episode = JobEpisode(sim(), start, episode_jobs(sim(), start, FEW, seed), RULES[rule])
    d, p = episode.dispatcher, sim().params
    for action in random_actions(seed):
        row, _ = sim().unpack(episode.carry)
        before, phase = episode.carry.state.backlog_mwh[0].numpy().sum((1, 2)), episode.carry
        flows = episode.advance(sim().decode(phase, action))
        moved = flows.migrate_mwh[0].sum((1, 2)).numpy()
        arrived = np.zeros(p.n_regions)
        worth = (flows.migrate_mwh[0].sum(-1) * (1.0 + p.restart_overhead)).sum(-1).numpy()
        np.add.at(arrived, p.link_target.numpy(), worth)
        np.subtract.at(arrived, p.link_source.numpy(), moved)
        gone = (flows.serve_mwh[0].sum((1, 2)) + flows.missed_mwh[0].sum(1)).numpy()
        after = episode.carry.state.backlog_mwh[0].numpy().sum((1, 2))
        np.testing.assert_allclose(after, before + arrived - gone + row.next_arrivals_mwh[0].sum(1).numpy(), atol=1e-7)
        np.testing.assert_allclose(flows.serve_mwh[0].sum(), d.last_runs.work_mwh.sum(), atol=1e-9)
    done = d.done_mwh + d.missed_mwh + d.remaining_mwh
    np.testing.assert_allclose(done, d.jobs.work_mwh + d.overhead_mwh, atol=1e-9)


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 1000))
def test_a_job_runs_with_its_whole_width_or_not_at_all(seed: int) -> None:
    episode = JobEpisode(sim(), seed % 300, episode_jobs(sim(), seed % 300, FEW, seed))
    d = episode.dispatcher
    for action in random_actions(seed):
        left = d.remaining_mwh.copy()
        episode.advance(sim().decode(episode.carry, action))
        whole = np.minimum(left[d.last_runs.jobs], d.jobs.rate_mw[d.last_runs.jobs] * sim().params.dt_h)
        np.testing.assert_allclose(d.last_runs.work_mwh, whole, rtol=1e-8)


def test_jobs_that_may_not_be_interrupted_run_on_and_stay() -> None:
    rigid = replace(episode_jobs(sim(), 3, FEW), preemptible=np.zeros(len(episode_jobs(sim(), 3, FEW)), dtype=bool))
    episode = JobEpisode(sim(), 3, rigid)
    d = episode.dispatcher
    for action in random_actions(2):
        begun = np.flatnonzero(np.isfinite(d.started_h) & (d.remaining_mwh > 0))
        hubs = d.hub[begun].copy()
        episode.advance(sim().decode(episode.carry, action))
        assert np.isin(begun, d.last_runs.jobs).all()
        assert (d.hub[begun] == hubs).all()
    assert d.suspensions.sum() == 0
    assert d.moves.sum() > 0  # before they began


@pytest.mark.parametrize("action", [0.0, 0.3, -0.3])
def test_no_bill_of_single_jobs_is_below_the_bound_of_the_flows(action: float) -> None:
    starts = [40, 200]
    bounds = episode_bounds(sim(), starts)
    for start, bound in zip(starts, bounds, strict=True):
        episode, paid = JobEpisode(sim(), start, episode_jobs(sim(), start, FEW)), 0.0
        for _ in range(sim().params.steps):
            given_ = torch.full((1, sim().action_size), action, dtype=torch.float64)
            paid += float(episode.advance(sim().decode(episode.carry, given_)).cost_cny.sum()) + episode.extra_cny
        assert paid >= bound.bound_cny * (1 - 1e-9)


def test_data_of_a_jobs_own_is_billed_on_top() -> None:
    jobs = episode_jobs(sim(), 3, FEW)
    heavy = replace(jobs, checkpoint_gb=jobs.work_mwh * 5e3)
    bills = []
    for table in (jobs, heavy):
        episode, extra = JobEpisode(sim(), 3, table), 0.0
        for action in random_actions(1):
            episode.advance(sim().decode(episode.carry, action))
            extra += episode.extra_cny
        bills.append(extra)
    assert bills[0] == 0.0
    assert bills[1] > 0.0


def test_metrics_speak_of_what_was_submitted() -> None:
    episode = JobEpisode(sim(), 3, episode_jobs(sim(), 3, FEW))
    for _ in range(sim().params.steps):
        episode.advance(sim().decode(episode.carry, torch.zeros(1, sim().action_size, dtype=torch.float64)))
    named = job_metrics(episode)
    assert 0.5 < named["finished_share"] <= 1.0
    assert 0.0 < named["utilisation"] < 1.0
    assert named["waiting_h_median"] <= named["waiting_h_p95"]
    assert named["bounded_slowdown_mean"] >= 1.0
    assert all(np.isfinite(value) for value in named.values())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"work_mwh": -1.0}, "job 2: work_mwh must be above 0"),
        ({"width": 0}, "job 2: width must be at least 1"),
        ({"submit_h": -99.0}, "job 2: submitted before the job above it"),
        ({"deadline_h": -100.0}, "job 2: its deadline is before it is submitted"),
        ({"kind": 9}, "job 2: kind must lie in 0…2"),
        ({"after": 2}, "job 2: after must name a job above it"),
    ],
)
def test_a_job_that_cannot_be_is_named(change: dict[str, float], says: str) -> None:
    jobs = episode_jobs(sim(), 3, FEW)
    for name, value in change.items():
        column = getattr(jobs, name).copy()
        column[2] = value
        jobs = replace(jobs, **{name: column})
    with pytest.raises(DataError, match=says):
        jobs.check(2, 3)
