"""Tables, page, figures and TensorBoard files of made-up results whose numbers are known."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from greenhop.episode.simulator import build_simulator
from greenhop.errors import ConfigError
from greenhop.physics.rewards import REPORTED
from greenhop.scenario.find import load_scenario
from greenhop_agents.benchmark.jobs import Done, Job, carry_out
from greenhop_agents.benchmark.results import COLUMNS, Curve, Results
from greenhop_agents.report.plots import LEAST_SHOWN, colour_of, learning, pareto, reference_savings
from greenhop_agents.report.plots_hubs import flows
from greenhop_agents.report.tables import line_of, sentence, short_table, table_rows
from greenhop_agents.report.write import PUBLISHED, markdown, publish, write_report
from tests.browser import CHROMIUM, QUIET, needs_chromium

AGENTS = {"stay": (1, 130.0), "price_follow": (1, 100.0), "mpc": (1, 84.0), "sb3_ppo": (3, 92.0)}


def known_frame() -> pd.DataFrame:
    """Reference 100, bound 80 and small seeded noise, in million CNY; six episodes."""
    rng = np.random.default_rng(0)
    rows = []
    for agent, (runs, cost) in AGENTS.items():
        for seed in range(runs):
            for episode in range(6):
                paid = cost + (0.0 if runs == 1 else rng.normal())
                money = [1e6 * paid, 1e8, 8e7]
                rows.append([agent, seed, "pair2", "test", episode, *money, 5e6, 0.5, 0.001, 900.0, 2e-3])
    return pd.DataFrame(rows, columns=list(COLUMNS))


def known_details(frame: pd.DataFrame) -> pd.DataFrame:
    bound = frame[frame["agent"] == "price_follow"].assign(agent="bound", cost_cny=8e7)
    part = pd.concat([frame, bound])[["agent", "seed", "scenario", "episode", "cost_cny"]]
    filled = part.assign(**dict.fromkeys(REPORTED, 0.0)).assign(facility_mwh=100.0, green_used_mwh=60.0)
    filled = filled.assign(served_mwh=99.0, missed_mwh=1.0, carbon_kg=5e6)
    return filled.assign(grid_energy_cny=0.9 * part["cost_cny"], export_cny=0.1 * part["cost_cny"])


@pytest.fixture(scope="module")
def results() -> Results:
    scenario = load_scenario("pair2", ["episode.length_h=24"])
    sim = build_simulator(scenario, "test")
    spec = {"scenario": scenario.model_dump(mode="json"), "split": "test", "policy": "price_follow", "run": None}
    week = carry_out(Job("week", "x", {**spec, "start": int(sim.bank.spread(1)[0])}), ".").result
    assert week is not None
    steps = np.arange(1.0, 21.0) * 1e4
    frame = known_frame()
    return Results(
        frame=frame,
        details=known_details(frame),
        weeks={"price_follow": week["week"]},
        curves=[Curve("sb3_ppo", seed, steps, 8.0 * (1 - np.exp(-steps / 5e4)) + seed - 1) for seed in range(3)],
        failures=[Done(Job("train", "shac-s0", {}), None, "out of <luck>")],
        facts={"title": "Known numbers", "command": "python scripts/benchmark.py", "seeds": [0, 1, 2]},
        setting=spec["scenario"],  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def folder(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report")
    write_report(results, path)
    return path


def test_scores_gaps_and_probabilities_are_those_computed_by_hand(results: Results) -> None:
    mpc = line_of(results, "mpc", "pair2")
    assert mpc is not None
    assert mpc.score is not None
    assert mpc.improvement is not None
    assert mpc.score.value == pytest.approx(100 * (100 - 84) / (100 - 80))
    assert mpc.above_bound == pytest.approx(84 / 80 - 1)
    assert mpc.shortfall == pytest.approx(20.0)
    assert mpc.improvement.value == 1.0
    stay = line_of(results, "stay", "pair2")
    assert stay is not None
    assert stay.improvement is not None
    assert stay.improvement.value == 0.0


def test_agents_are_listed_from_cheap_to_dear_and_the_bound_comes_last(results: Results) -> None:
    assert [row[0] for row in table_rows(results, "pair2")] == ["mpc", "sb3_ppo", "price_follow", "stay", "bound"]


def test_the_summary_names_the_winner_even_if_it_did_not_learn(results: Results) -> None:
    text = sentence(results, "pair2")
    assert text.startswith("The best agent is mpc: it captures 80.0 %")
    assert "best learned agent is sb3_ppo" in text


def test_a_run_that_lacks_an_episode_is_left_out(results: Results) -> None:
    frame = results.frame.drop(results.frame[(results.frame["seed"] == 2) & (results.frame["episode"] == 5)].index)
    fewer = Results(frame, results.details, {}, [], [], {}, results.setting)
    assert fewer.matrix("sb3_ppo", "pair2").shape == (2, 6)


def test_without_bounds_there_are_costs_but_no_scores(results: Results) -> None:
    frame = results.frame.assign(bound_cny=np.nan)
    details = results.details[results.details["agent"] != "bound"]
    rows = table_rows(Results(frame, details, {}, [], [], {}, results.setting), "pair2")
    assert [row[3] for row in rows] == ["–"] * 4
    assert rows[0][2] == "84.000"


def test_tables_hold_the_same_agents_and_the_failures(results: Results) -> None:
    text = markdown(results)
    assert all(f"| {agent} |" in text for agent in [*AGENTS, "bound"])
    assert "`train shac-s0`: out of <luck>" in text
    assert short_table(results, "pair2").row_count == len(AGENTS) + 1


def test_the_page_needs_nothing_but_itself(folder: Path) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8")
    outside = re.sub(r"data:image/svg\+xml;base64,[\w+/=]+", "", page)
    assert re.findall(r"(?:src|href)=(\S*?)[\s>]", outside.replace("src=''", "")) == ['"replay.html"']
    assert not re.search(r"https?:|@import|url\(", outside)
    assert page.count("<figure") == page.count("base64,") == len(list((folder / "figures").glob("*.svg")))
    assert "out of &lt;luck&gt;" in page


def test_the_replay_beside_the_page_holds_the_recorded_weeks(folder: Path, results: Results) -> None:
    text = (folder / "replay.html").read_text(encoding="utf-8")
    data = json.loads(re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)[0])
    assert [policy["name"] for policy in data["policies"]] == list(results.weeks)
    assert data["policies"][0]["series"]["cost_cny"] == results.weeks["price_follow"]["cost_cny"]


def test_every_figure_is_there_as_png_and_svg(folder: Path) -> None:
    names = {"scores", "learning", "breakdown", "pareto", "profile", "week-price_follow", "flows-price_follow"}
    assert {p.stem for p in (folder / "figures").glob("*.png")} == names
    assert {p.stem for p in (folder / "figures").glob("*.svg")} == names


def test_what_is_published_is_a_page_with_its_pictures(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "results" / "known"
    (target / "figures").mkdir(parents=True)
    (target / "figures" / "week-old.png").touch()
    publish(folder, target)
    pictures = {p.name for p in (folder / "figures").glob("*.png")}
    assert {p.name for p in target.iterdir()} == {*PUBLISHED, "figures"}
    assert {p.name for p in (target / "figures").iterdir()} == pictures
    assert set(re.findall(r"\(figures/(.+?)\)", (target / "table.md").read_text(encoding="utf-8"))) == pictures


def test_a_folder_that_cannot_be_published_to_is_one_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"publish = .* cannot be written"):
        publish(folder, tmp_path / "file")


def test_drawing_twice_gives_the_same_bytes(results: Results, folder: Path, tmp_path: Path) -> None:
    write_report(results, tmp_path)
    for name in ("report.html", "table.md", "results.csv"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_reference_lines_are_held_out_savings(results: Results) -> None:
    assert reference_savings(results, "pair2") == pytest.approx({"price_follow": 0.0, "mpc": 16.0, "bound": 20.0})


def test_learning_curves_are_scores_where_every_run_knew_the_bound(results: Results) -> None:
    """A saving on one split's weeks does not compare with a saving on another's; a score does."""
    known = [replace(c, score_percent=10.0 * c.saving_percent) for c in results.curves]
    for curves, label, lines in (
        (known, "score, %", (0, 80, 100)),
        (results.curves, "cost below price_follow, %", (0, 16, 20)),
    ):
        figure = learning(replace(results, curves=curves), "pair2")
        assert figure is not None
        (ax,) = figure.axes
        assert ax.get_ylabel() == label
        level = [float(y[0]) for line in ax.lines if len(y := np.asarray(line.get_ydata())) == 2]
        assert level == pytest.approx(lines)


def test_learning_is_shown_against_steps_and_against_wall_time_where_it_was_logged(results: Results) -> None:
    timed = [replace(c, minutes=c.steps / 1e5) for c in results.curves]
    figure = learning(replace(results, curves=timed), "pair2")
    assert figure is not None
    assert [ax.get_xlabel().split(" (")[0] for ax in figure.axes] == ["environment steps", "minutes of wall time"]


def test_a_curve_that_ends_below_the_picture_is_marked_and_named(results: Results) -> None:
    lost = [replace(c, score_percent=-200.0 - c.saving_percent) for c in results.curves]
    figure = learning(replace(results, curves=lost), "pair2")
    assert figure is not None
    (ax,) = figure.axes
    assert ax.get_ylim()[0] == LEAST_SHOWN
    assert any(line.get_marker() == "v" for line in ax.lines)
    assert any(text.get_text().startswith("sb3_ppo −2") for text in ax.texts)


def test_arrows_of_two_maps_are_equally_wide_for_equal_work(results: Results) -> None:
    week = results.weeks["price_follow"]
    busy = {**week, "moved_mw": (4.0 * np.array(week["moved_mw"])).tolist()}
    both = replace(results, weeks={"price_follow": week, "busy": busy})
    keys = []
    for name in both.weeks:
        figure = flows(both, name)
        assert figure is not None
        key = figure.axes[0].get_legend()
        assert key is not None
        keys.append(
            [(t.get_text(), line.get_linewidth()) for t, line in zip(key.get_texts(), key.get_lines(), strict=True)]
        )
    assert keys[0] == keys[1]


def test_what_is_far_dearer_than_price_following_does_not_squeeze_cost_against_carbon(results: Results) -> None:
    figure = pareto(results, "pair2")
    assert figure is not None
    (ax,) = figure.axes
    assert ax.get_xlim()[1] < 110  # stay pays 130
    assert any(text.get_text().startswith("stay (130") for text in ax.texts)


def test_a_mean_above_price_following_is_told_where_the_interquartile_mean_is_not(results: Results) -> None:
    frame = results.frame[results.frame["agent"] == "price_follow"]
    paid = np.array([101.0, 101.0, 101.0, 101.0, 101.0, 60.0])
    other = frame.assign(agent="greenest", cost_cny=1e6 * paid)
    text = sentence(replace(results, frame=pd.concat([frame, other]), curves=[], memo={}), "pair2")
    assert text == (
        "By the interquartile mean of the score no agent passes price_follow, the rule that marks 0 %. "
        "In the mean greenest is above it."
    )


def test_agents_tested_elsewhere_have_no_learning_curves_beside_it(results: Results) -> None:
    elsewhere = pd.concat([results.frame, results.frame.assign(scenario="elsewhere")])
    assert learning(replace(results, frame=elsewhere), "pair2") is None


def test_agents_keep_their_colour_whoever_else_takes_part() -> None:
    assert colour_of("mpc", ["mpc"]) == colour_of("mpc", ["x", "y", "mpc"])
    assert colour_of("x", ["x", "y"]) != colour_of("y", ["x", "y"])


def test_tensorboard_holds_curves_reference_lines_hparams_and_figures(folder: Path) -> None:
    def events(name: str) -> EventAccumulator:
        found = EventAccumulator(str(folder / "tensorboard" / name))
        found.Reload()
        return found

    run, line = events("sb3_ppo-s1"), events("mpc")
    assert [e.step for e in run.Scalars("benchmark/saving_percent")] == [10_000 * k for k in range(1, 21)]
    drawn = line.Scalars("benchmark/saving_percent")
    assert (drawn[0].step, drawn[-1].step) == (0, 200_000)
    assert {round(e.value, 4) for e in drawn} == {16.0}
    assert "_hparams_/session_start_info" in run.summary_metadata
    assert run.Scalars("benchmark/score_iqm")[0].value == pytest.approx(40.0, abs=5.0)
    assert "figures/scores" in events("report").Tags()["images"]


def screenshot(url: str, path: Path, wait_ms: int = 0) -> Image.Image:
    assert CHROMIUM is not None
    profile = path.with_suffix(".profile")
    command = [CHROMIUM, *QUIET, f"--user-data-dir={profile}", "--window-size=1280,1600", f"--screenshot={path}"]
    command += [f"--virtual-time-budget={wait_ms}"] if wait_ms else []
    subprocess.run([*command, url], check=True, capture_output=True, timeout=90)
    with Image.open(path) as picture:
        rgb: Image.Image = picture.convert("RGB")
    return rgb


@pytest.mark.slow
def test_the_page_looks_like_something_in_a_browser(folder: Path, tmp_path: Path) -> None:
    needs_chromium()
    picture = screenshot((folder / "report.html").as_uri(), tmp_path / "page.png")
    pixels = np.asarray(picture)
    assert picture.size == (1280, 1600)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 200  # text, tables and coloured figures
    assert (pixels[800:] != pixels[800, 0]).any(axis=(1, 2)).mean() > 0.5  # figures below the table too


@pytest.mark.slow
def test_tensorboard_shows_the_curves_in_a_browser(folder: Path, tmp_path: Path) -> None:
    needs_chromium()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder / "tensorboard"), "--port", str(port)]
    server = subprocess.Popen([*command, "--load_fast=false"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(f"http://127.0.0.1:{port}/data/environment")
        picture = screenshot(f"http://127.0.0.1:{port}/#timeseries", tmp_path / "tensorboard.png", wait_ms=15_000)
    finally:
        server.terminate()
        server.wait(timeout=20)
    assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 100


def wait_for(url: str, timeout_s: float = 60.0) -> None:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        try:
            with urlopen(url, timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.5)
    pytest.fail(f"{url} did not answer within {timeout_s:.0f} s")
