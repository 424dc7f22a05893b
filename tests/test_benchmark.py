"""The benchmark end to end: jobs, engines, resuming, failures, and the files it leaves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from greenhop.episode.simulator import build_simulator
from greenhop.errors import ConfigError
from greenhop.scenario.find import config_dir, load_scenario
from greenhop_agents.benchmark import executors as engines
from greenhop_agents.benchmark import jobs
from greenhop_agents.benchmark.executors import Resources
from greenhop_agents.benchmark.jobs import Done, Job, carry_out, result_path, simulator, store, stored
from greenhop_agents.benchmark.plan import Collected, benchmark_of, make_plan, run_plan
from greenhop_agents.benchmark.results import COLUMNS, facts_of, gather, write_results
from greenhop_agents.policies.rules import PriceFollow
from greenhop_agents.scoring.evaluate import evaluate
from tests.crashing import FakeJob, die_or_live
from tests.once import once

ROOT = Path(__file__).resolve().parents[1]
RULES = ["benchmark.agents=[stay,price_follow]", "benchmark.bound=false", "benchmark.weeks=[]", "engine=inline"]


def quiet(done: int, total: int) -> None:
    """Progress that nobody watches."""


def configured(output: Path, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose("benchmark", overrides=["benchmark=smoke", f"output={output}", *RULES, *overrides])


def run_rules(output: Path, *overrides: str) -> Collected:
    config = configured(output, *overrides)
    return run_plan(make_plan(config), config, quiet)


def numbers(collected: Collected, root: Path) -> pd.DataFrame:
    return gather(collected, root, {}).frame.drop(columns="decision_s")


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder that `benchmark=smoke` filled, and what it printed."""

    def make(folder: Path) -> None:
        command = [sys.executable, "scripts/benchmark.py", "benchmark=smoke", f"output={folder}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        (folder / "printed.txt").write_text(done.stdout, encoding="utf-8")

    folder = once(tmp_path_factory, "smoke", make)
    return folder, (folder / "printed.txt").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_smoke_benchmark_leaves_tables_a_page_and_figures(smoke: tuple[Path, str]) -> None:
    folder, printed = smoke
    names = {p.name for p in folder.iterdir()}
    assert {"results.csv", "details.csv", "table.md", "report.html", "figures", "tensorboard", "config.yaml"} <= names
    assert "failed" not in names
    figures = {p.stem for p in (folder / "figures").iterdir()}
    assert figures >= {"scores", "learning", "breakdown", "pareto", "profile", "week-bound", "flows-sb3_ppo"}
    assert all(agent in printed for agent in ("stay", "price_follow", "sb3_ppo", "bound"))


@pytest.mark.slow
def test_results_are_tidy_and_no_agent_beats_the_bound(smoke: tuple[Path, str]) -> None:
    frame = pd.read_csv(smoke[0] / "results.csv")
    assert tuple(frame.columns) == COLUMNS
    runs = frame.groupby("agent")["seed"].unique()
    assert {agent: sorted(seeds) for agent, seeds in runs.items()} == {
        "price_follow": [0],  # a rule has no seed: one run
        "sb3_ppo": [0, 1],
        "stay": [0],
    }
    assert (frame.groupby(["agent", "seed"])["episode"].count() == 4).all()
    assert (frame["cost_cny"] >= frame["bound_cny"] * (1 - 1e-6)).all()
    rule = frame[frame["agent"] == "price_follow"]
    np.testing.assert_allclose(rule["cost_cny"], rule["reference_cny"])
    assert frame.notna().all(axis=None)


def test_every_agent_meets_the_same_episodes(tmp_path: Path) -> None:
    frame = numbers(run_rules(tmp_path), tmp_path)
    per_agent = frame.pivot(index="episode", columns="agent", values="reference_cny")
    np.testing.assert_array_equal(per_agent["stay"], per_agent["price_follow"])


def test_a_finished_job_is_not_run_again_and_a_missing_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run_rules(tmp_path)
    gone = first.plan.jobs[0]
    result_path(tmp_path, gone).unlink()
    ran: list[str] = []

    def counted(job: Job, root: str) -> Done:
        ran.append(job.name)
        return carry_out(job, root)

    monkeypatch.setattr(engines, "carry_out", counted)
    again = run_rules(tmp_path)
    assert ran == [gone.name]
    assert again.resumed == len(first.plan.jobs) - 1
    pd.testing.assert_frame_equal(numbers(first, tmp_path), numbers(again, tmp_path))


def test_what_is_asked_differently_is_not_taken_from_earlier_results(tmp_path: Path) -> None:
    run_rules(tmp_path)
    assert run_rules(tmp_path, "benchmark.episodes=3").resumed == 0
    assert run_rules(tmp_path, "++scenario.market.green_target=0.5").resumed == 0


def test_a_broken_result_file_counts_as_missing(tmp_path: Path) -> None:
    first = run_rules(tmp_path)
    result_path(tmp_path, first.plan.jobs[0]).write_text('{"episodes": [', encoding="utf-8")
    assert run_rules(tmp_path).resumed == len(first.plan.jobs) - 1


def test_a_failed_job_is_reported_and_does_not_take_the_others_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = jobs.KINDS["evaluate"]

    def fails(spec: Mapping[str, Any], root: Path) -> dict[str, Any]:
        if spec["policy"] == "stay":
            raise ZeroDivisionError("no luck")
        return works(spec, root)

    monkeypatch.setitem(jobs.KINDS, "evaluate", fails)
    collected = run_rules(tmp_path)
    assert [(d.job.label, d.error) for d in collected.failures] == [("stay-s0-pair2", "ZeroDivisionError: no luck")]
    results = gather(collected, tmp_path, facts_of("", 0.0, collected, tmp_path))
    assert results.agents == ["price_follow"]
    write_results(results, tmp_path)
    assert len(list((tmp_path / "failed").iterdir())) == 1
    monkeypatch.setitem(jobs.KINDS, "evaluate", works)
    assert not run_rules(tmp_path).failures
    assert not list((tmp_path / "failed").iterdir())


def test_an_agent_whose_training_fails_is_reported_once_per_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(spec: Mapping[str, Any], root: Path) -> dict[str, Any]:
        raise ConfigError("cannot learn")

    monkeypatch.setitem(jobs.KINDS, "train", fails)
    collected = run_rules(tmp_path, "benchmark.agents=[price_follow,sb3_ppo]", "benchmark.seeds=[3]")
    assert {(d.job.kind, d.error) for d in collected.failures} == {
        ("train", "cannot learn"),
        ("evaluate", "its training failed"),
    }


def test_a_process_that_dies_takes_only_its_own_job_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "carry_out", die_or_live)
    names = ["good", "bad", "better"]
    with engines.local("root", Resources(workers=1)) as runner:
        done = {d.job.name: d for d in runner([FakeJob(name) for name in names])}  # type: ignore[misc]
    assert set(done) == set(names)
    assert done["bad"].result is None
    assert "died" in done["bad"].error
    assert done["good"].result == done["better"].result == {"root": "root"}


def test_slow_agents_get_one_job_per_episode_and_the_same_numbers(tmp_path: Path) -> None:
    together = run_rules(tmp_path / "a")
    apart = run_rules(tmp_path / "b", "benchmark.one_by_one=[stay]")
    assert len(apart.plan.jobs) == len(together.plan.jobs) + 3
    order = ["agent", "episode"]
    a, b = (numbers(c, tmp_path).sort_values(order, ignore_index=True) for c in (together, apart))
    pd.testing.assert_frame_equal(a, b, rtol=1e-5)


def test_a_job_sees_hubs_in_the_order_of_the_scenario(tmp_path: Path) -> None:
    plan = make_plan(configured(tmp_path, "scenario=tri3"))
    sites = list(load_scenario("tri3").sites)
    assert sites != sorted(sites)  # otherwise this test shows nothing
    for job in plan.jobs:
        assert list(simulator(job.spec).params.regions) == sites


def test_a_job_costs_what_a_direct_evaluation_costs(tmp_path: Path) -> None:
    frame = numbers(run_rules(tmp_path, "scenario=tri3"), tmp_path)
    sim = build_simulator("tri3", "test", overrides=["episode.length_h=48", "years.test=1"])
    direct = [e.cost_cny for e in evaluate(sim, PriceFollow(), sim.bank.spread(4))]
    np.testing.assert_allclose(frame[frame["agent"] == "price_follow"]["cost_cny"], direct, rtol=1e-9)


def test_agents_are_tested_in_every_setting_asked_for(tmp_path: Path) -> None:
    dear = "{overrides: ['market.carbon_price_cny_per_t=900']}"
    changed = f"++benchmark.evaluations={{plain: {{}}, dear: {dear}, val: {{split: val}}}}"
    frame = numbers(run_rules(tmp_path, changed), tmp_path)
    assert list(frame["scenario"].unique()) == ["plain", "dear", "val"]
    cost = frame[frame["agent"] == "stay"].groupby("scenario")["cost_cny"].mean()
    assert cost["dear"] > cost["plain"]
    assert set(frame[frame["scenario"] == "val"]["split"]) == {"val"}


def test_ray_gives_the_numbers_of_this_process(tmp_path: Path) -> None:
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed (extra `ray`)")
    here, there = run_rules(tmp_path / "a"), run_rules(tmp_path / "b", "engine=ray")
    pd.testing.assert_frame_equal(numbers(here, tmp_path), numbers(there, tmp_path))


def test_without_ray_the_error_says_what_to_install(tmp_path: Path) -> None:
    if find_spec("ray") is not None:
        pytest.skip("Ray is installed")
    with pytest.raises(ConfigError, match=r"pip install 'greenhop\[ray\]'"):
        run_rules(tmp_path, "engine=ray")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("benchmark.agents=[stay,price_folow]", "did you mean price_follow"),
        ("benchmark.agents=[]", "agents"),
        ("benchmark.episodes=0", "episodes = 0"),
        ("benchmark.seeds=[-1]", "seeds"),
        ("benchmark.solver=magic", "solver"),
        ("+benchmark.episods=3", "did you mean episodes"),
        ("engine=loca", "engine = 'loca'"),
        ("++benchmark.evaluations={x: {scenario: hub11}}", "did you mean hub1"),
    ],
)
def test_mistakes_are_answered_before_anything_runs(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_plan(configured(tmp_path, override))


def test_shipped_benchmarks_are_valid_and_say_what_they_compare() -> None:
    names = {p.stem for p in (config_dir() / "benchmark").glob("*.yaml")}
    assert names >= {"hub10", "pair2", "generalisation", "smoke"}
    for name in names:
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            benchmark = benchmark_of(compose("benchmark", overrides=[f"benchmark={name}"]))
        assert benchmark.name == name
        assert {"stay", "price_follow"} <= set(benchmark.agents)


def test_results_are_stored_whole_or_not_at_all(tmp_path: Path) -> None:
    job = Job("evaluate", "x", {"a": 1})
    assert stored(tmp_path, job) is None
    store(tmp_path, Done(job, {"value": 1}))
    assert stored(tmp_path, job) == {"value": 1}
    assert [p.name for p in (tmp_path / "jobs").iterdir()] == [f"{job.name}.json"]
    assert Job("evaluate", "x", {"a": 2}).name != job.name
