"""Testing agents where they were not trained: other scenarios, fewer hubs, changed worlds, series of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from greenhop.errors import ConfigError
from greenhop.importers.build import build_pack
from greenhop.importers.spec import parse_import
from greenhop.scenario.config import parse_scenario
from greenhop.scenario.find import compose_scenario, config_dir, scenario_names
from greenhop_agents.benchmark.plan import Collected, make_plan, run_plan
from greenhop_agents.benchmark.results import Results, facts_of, gather
from greenhop_agents.benchmark.settings import EvaluationConfig, build_setting
from greenhop_agents.report.tables import settings_rows, short_settings
from greenhop_agents.report.write import markdown, write_report
from tests.importers.writers import tidy
from tests.once import once

SETTINGS = "{home: {}, blind: {overrides: ['forecast.mode=none']}, fewer: {without: [wuhu]}, other: {scenario: hub10}}"
TINY_PPO = (
    "{num_envs: 4, group_size: 2, horizon: 24, epochs: 1, batches: 1, network: {kind: region, width: 4, layers: 1}}"
)
TINY_SB3 = (
    "{num_envs: 2, group_size: 2, options: {n_steps: 24, batch_size: 48, n_epochs: 1, policy_kwargs: {net_arch: [4]}}}"
)


def configured(output: Path, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose("benchmark", overrides=[f"output={output}", "engine=inline", *overrides])


class Suite(NamedTuple):
    """A small generalisation benchmark that has run."""

    collected: Collected
    results: Results
    folder: Path


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    folder = once(tmp_path_factory, "generalisation", lambda path: write_report(run_small(path).results, path / "out"))
    return run_small(folder)  # takes up every finished job


def run_small(folder: Path) -> Suite:
    """Run what is not finished yet in `folder`."""
    if not (folder / "pack").exists():
        folder.mkdir()
        tidy(folder / "wind.csv", "farm", "wind_cf", list(0.5 + 0.4 * np.sin(np.arange(13 * 168) / 30)))
        wind = {"layout": "tidy_csv", "path": str(folder / "wind.csv"), "region": "zhangjiakou", "quantity": "wind_cf"}
        build_pack(parse_import({"inputs": [wind]}, "test"), folder / "pack", False, lambda *_: None)
    config = configured(
        folder / "out",
        "benchmark=smoke",
        "scenario=tri3",
        "++scenario.episode.length_h=24",
        "++scenario.years={train: 1, val: 1, test: 1}",
        "benchmark.agents=[stay,price_follow,ppo,sb3_ppo]",
        "benchmark.seeds=[0]",
        "benchmark.episodes=2",
        "benchmark.weeks=[]",
        "benchmark.total_steps=96",
        f"++benchmark.train.ppo={{agent: {{options: {TINY_PPO}}}, validation: {{episodes: 0}}}}",
        f"++benchmark.train.sb3_ppo={{agent: {TINY_SB3}, validation: {{episodes: 0}}}}",
        f"++benchmark.evaluations={SETTINGS}",
        "benchmark.everywhere=['episode.length_h=24','years.test=1']",
        f"benchmark.pack={folder / 'pack'}",
    )
    collected = run_plan(make_plan(config), config, lambda *_: None)
    return Suite(
        collected, gather(collected, folder / "out", facts_of("", 0.0, collected, folder / "out")), folder / "out"
    )


def test_agents_are_tested_wherever_they_can_act_and_nowhere_else(suite: Suite) -> None:
    assert not suite.collected.failures
    tested = suite.results.frame.groupby("agent")["scenario"].unique()
    every = ["home", "blind", "fewer", "other", "pack"]
    assert {agent: sorted(where) for agent, where in tested.items()} == {
        "stay": sorted(every),
        "price_follow": sorted(every),
        "ppo": sorted(every),  # its network runs on any graph
        "sb3_ppo": ["blind", "home", "pack"],  # its network knows one number of hubs
    }
    assert suite.collected.plan.skipped == {"sb3_ppo": ["fewer", "other"]}


def test_every_setting_has_its_own_reference_and_bound(suite: Suite) -> None:
    frame = suite.results.frame
    rule = frame[frame["agent"] == "price_follow"].set_index(["scenario", "episode"])
    np.testing.assert_allclose(rule["cost_cny"], rule["reference_cny"])
    assert (frame["cost_cny"] >= frame["bound_cny"] * (1 - 1e-6)).all()
    means = rule["reference_cny"].groupby("scenario").mean()
    assert means.nunique() == len(means), "no two settings are the same"


def test_the_report_shows_scores_by_setting_and_who_was_not_tested(suite: Suite) -> None:
    head, *rows = settings_rows(suite.results)
    assert head == ["setting", "stay", "price_follow", "ppo", "sb3_ppo"]
    assert {row[0]: row[4] for row in rows}["other"] == "–"
    assert all(row[2].startswith("0.0 (") for row in rows)
    text = markdown(suite.results)
    assert "Score in every setting" in text
    assert "sb3_ppo in fewer, other" in text
    page = (suite.folder / "report.html").read_text(encoding="utf-8")
    assert "id='settings'" in page
    assert (suite.folder / "figures" / "settings.svg").is_file()
    assert short_settings(suite.results).row_count == len(rows)


def test_the_shipped_suite_covers_what_it_promises(tmp_path: Path) -> None:
    wanted = ["price_follow", "shac", "sb3_ppo"]
    plan = make_plan(configured(tmp_path, "benchmark=generalisation", f"benchmark.agents=[{','.join(wanted)}]"))
    names = {label: setting.scenario["name"] for label, setting in plan.settings.items()}
    variants = {name for name in scenario_names() if name.startswith("hub10-")} - {"hub10-15min"}
    variants -= {"hub10-real", "hub10-jobs"}  # one needs weather that has to be fetched, one is for single jobs
    variants -= {"hub10-carbon"}  # another price, no other setting
    assert set(names.values()) == {"hub10", "hub12", *variants}
    forecasts = {setting.scenario["forecast"]["mode"] for setting in plan.settings.values()}
    assert forecasts == {"noisy", "perfect", "persistence", "none"}
    sizes = {label: len(setting.scenario["sites"]) for label, setting in plan.settings.items()}
    assert (sizes["unseen_years"], sizes["without_guian"], sizes["hub12"]) == (10, 9, 12)
    modes = {site["tariff_mode"] for site in plan.settings["negotiated"].scenario["sites"].values()}
    assert modes == {"negotiated"}
    assert {agent: set(where) for agent, where in plan.skipped.items()} == {
        "sb3_ppo": {"offgrid", "without_guian", "hub12", "direct"}
    }
    assert all(setting.split == "test" for setting in plan.settings.values())


def test_a_site_goes_with_everything_that_belongs_to_it() -> None:
    data = compose_scenario("hub10-outage")
    setting = build_setting("x", data, EvaluationConfig(without=["guian", "tianfu"]), [], "test", 1)
    left = parse_scenario(setting.scenario)
    assert len(left.sites) == 8
    assert not any({"guian", "tianfu"} & set(link.between) for link in left.links)
    assert {unit.site for unit in left.storage.values()} <= set(left.sites)
    assert left.events["grid_outage"].sites == ["shaoguan", "chongqing"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["++benchmark.evaluations={x: {without: [guain]}}"], "did you mean guian"),
        (["++benchmark.evaluations={x: {overrides: ['market.green_targt=1']}}"], "did you mean green_target"),
        (["++benchmark.evaluations={x: {withuot: [guian]}}"], "did you mean without"),
        (["benchmark.everywhere=['episode.length=24']"], "did you mean length_h"),
        (["++benchmark.train={sb3_pp: {total_steps: 1}}"], "did you mean sb3_ppo"),
        (["++benchmark.train={stay: {total_steps: 1}}"], "no agent of that name is trained"),
        (["++benchmark.train={sb3_ppo: {total_step: 1}}"], "did you mean total_steps"),
        (["++benchmark.train={sb3_ppo: {scenario: {years: {trian: 1}}}}"], "did you mean train"),
    ],
)
def test_mistakes_in_settings_and_changes_are_answered_with_the_nearest_name(
    tmp_path: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_plan(configured(tmp_path, "benchmark=hub10", "benchmark.agents=[stay]", *overrides))
