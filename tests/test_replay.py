"""The replay of an episode: its series, the table beside it, and the page as somebody uses it in a browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.scenario.find import load_scenario
from greenhop.scenario.sites import locations_deg
from greenhop_agents.policies.rules import PriceFollow, Stay
from greenhop_agents.report.replay import SHOWN, english, replay_page
from greenhop_agents.scoring.bounds import episode_bounds
from greenhop_agents.scoring.evaluate import evaluate
from greenhop_agents.scoring.series import Series, as_frame, bound_series, policy_series
from tests.browser import Browser, browser, needs_chromium

START = 3


@pytest.fixture(scope="module")
def sim() -> Simulator:
    return build_simulator("pair2", "test", overrides=["episode.length_h=24"], year_ids=[0])


@pytest.fixture(scope="module")
def weeks(sim: Simulator) -> dict[str, Series]:
    recorded = {policy.name: policy_series(sim, policy, START) for policy in (Stay(), PriceFollow())}
    return {**recorded, "bound": bound_series(sim, START)}


@pytest.fixture(scope="module")
def trace(weeks: dict[str, Series], sim: Simulator, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The table as it comes back from its file."""
    path = tmp_path_factory.mktemp("trace") / "day.csv"
    as_frame(weeks, sim.params).to_csv(path, index=False)
    return pd.read_csv(path).set_index(["policy", "t", "hub"])


@pytest.fixture(scope="module")
def page(weeks: dict[str, Series], sim: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("replay") / "day.html"
    path.write_text(replay_page(sim.scenario, weeks), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def seen(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    needs_chromium()
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


def test_series_cost_what_evaluation_says_and_those_of_the_bound_what_the_bound_is(
    sim: Simulator, weeks: dict[str, Series]
) -> None:
    assert sum(weeks["stay"]["cost_cny"]) == pytest.approx(evaluate(sim, Stay(), [START])[0].cost_cny, rel=1e-5)
    (bound,) = episode_bounds(sim, [START])
    assert sum(weeks["bound"]["cost_cny"]) == pytest.approx(bound.bound_cny, rel=1e-6)


@pytest.mark.slow
def test_the_plan_of_ten_hubs_costs_its_bound_when_it_is_played() -> None:
    hubs = build_simulator("hub10", "test", overrides=["episode.length_h=48"], year_ids=[0])
    (bound,) = episode_bounds(hubs, [0])
    assert sum(bound_series(hubs, 0)["cost_cny"]) == pytest.approx(bound.bound_cny, rel=1e-6)


def test_the_table_has_a_row_for_every_policy_step_and_hub_and_flows_that_add_up(
    trace: pd.DataFrame, weeks: dict[str, Series], sim: Simulator
) -> None:
    assert len(trace) == len(weeks) * 24 * 2
    for name, series in weeks.items():
        moved = np.array(series["moved_mw"]).sum(1)
        ours = trace.loc[name].groupby("t")[["sent_mw", "received_mw"]].sum()
        np.testing.assert_allclose(ours.to_numpy(), np.stack((moved, moved), 1), rtol=1e-6, atol=1e-9)
    assert trace.loc[("stay", 5, "horinger"), "price_cny_per_mwh"] == weeks["stay"]["price_cny_per_mwh"][4][0]


def test_the_page_needs_nothing_but_itself(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=|https?:(?!//www\.w3\.org/2000/svg)|@import|url\(", text)
    assert "{{" not in text


def test_every_label_is_there_in_both_languages_and_asks_for_the_same_values() -> None:
    text = (Path(replay_page.__code__.co_filename).parent / "web" / "labels.json").read_text(encoding="utf-8")
    labels = json.loads(text)
    assert labels["en"].keys() == labels["zh"].keys()
    for key, value in labels["en"].items():
        assert sorted(re.findall(r"{\w+}", value)) == sorted(re.findall(r"{\w+}", labels["zh"][key])), key


@pytest.mark.parametrize("name", ["hub12", "city57"])
def test_every_site_has_a_chinese_name(name: str) -> None:
    text = (Path(replay_page.__code__.co_filename).parent / "web" / "labels.json").read_text(encoding="utf-8")
    assert set(load_scenario(name).sites) <= json.loads(text)["hubs_zh"].keys()


def test_a_policy_called_like_markup_is_shown_as_it_is_called(
    sim: Simulator, weeks: dict[str, Series], seen: Browser, tmp_path: Path
) -> None:
    name = "</script><b>bold</b>"
    (tmp_path / "odd.html").write_text(replay_page(sim.scenario, {name: weeks["stay"]}), encoding="utf-8")
    seen.open(tmp_path / "odd.html", 1280)
    assert seen.run("document.querySelector('#now th').textContent") == name
    assert seen.complaints == []


CELLS = """
[...at('now').rows[{policy}].querySelectorAll('[data-field]'), document.querySelector('[data-field=price]')]
  .map(cell => [cell.dataset.field, cell.textContent])
"""


def shown(page: Browser, policy: int) -> dict[str, float]:
    """The numbers of a line of the table, and the price."""
    return {name: number(text) for name, text in page.run(CELLS.replace("{policy}", str(policy)))}


def number(text: str) -> float:
    return float(text.replace(",", "").replace("\u2212", "-"))


def expected(trace: pd.DataFrame, weeks: dict[str, Series], policy: str, t: int, hub: str) -> dict[str, float]:
    """The same from the table, before rounding."""
    values: Any = trace.loc[(policy, t, hub), :]
    row: dict[str, float] = values.to_dict()
    return {
        "power": row["facility_mw"],
        "green": 100 * min((row["used_green_mw"] + row["ppa_mw"]) / row["facility_mw"], 1.0),
        "backlog": row["backlog_mwh"],
        "soc": 100 * row["soc_share"],
        "price": row["price_cny_per_mwh"],
        "paid": sum(weeks[policy]["cost_cny"][:t]) / 1e6,
    }


STEP = {"power": 0.5, "green": 0.5, "backlog": 0.5, "soc": 0.5, "price": 0.5, "paid": 0.005}  # half of the last digit


def agree(page: Browser, trace: pd.DataFrame, weeks: dict[str, Series], t: int, hub: str) -> None:
    for i, policy in enumerate(weeks):
        found, wanted = shown(page, i), expected(trace, weeks, policy, t, hub)
        for field, value in wanted.items():
            assert found[field] == pytest.approx(value, abs=STEP[field] * 1.001), (policy, t, hub, field)


def test_numbers_agree_with_the_table_wherever_the_slider_and_the_hub_are_moved(
    seen: Browser, page: Path, trace: pd.DataFrame, weeks: dict[str, Series], sim: Simulator
) -> None:
    seen.open(page, 1280)
    for hub, name in enumerate(sim.params.regions):
        seen.run(f"at('hub').value = {hub}; at('hub').dispatchEvent(new Event('change'))")
        for t in (1, 8, 24):
            seen.run(f"at('time').value = {t - 1}; at('time').dispatchEvent(new Event('input'))")
            agree(seen, trace, weeks, t, name)
    assert seen.complaints == []
    assert set(seen.asked) <= {page.as_uri()} | {url for url in seen.asked if url.endswith("odd.html")}


def test_arrows_of_the_map_are_the_flows_of_the_hour(seen: Browser, page: Path, weeks: dict[str, Series]) -> None:
    seen.open(page, 1280)
    widest = max(max(map(max, series["moved_mw"])) for series in weeks.values())
    for t in range(24):
        seen.run(f"seek({t})")
        for side, policy in enumerate(("stay", "bound")):
            drawn = seen.run(f"document.querySelectorAll('.view')[{side}].querySelectorAll('.flow').length")
            assert drawn == sum(mw > 0.005 * widest for mw in weeks[policy]["moved_mw"][t])


def test_the_slider_moves_by_keys_and_the_clock_with_it(seen: Browser, page: Path) -> None:
    seen.open(page, 1280)
    before = seen.run("at('clock').textContent")
    seen.run("at('time').focus()")
    for _ in range(3):
        seen.press("ArrowRight")
    assert seen.run("Number(at('time').value)") == 3
    assert seen.run("at('clock').textContent") != before
    seen.press("End")
    assert "step 24 of 24" in seen.run("at('clock').textContent")
    seen.run("document.activeElement.blur()")
    seen.press("ArrowLeft")  # the keys of the page itself
    assert seen.run("chosen.t") == 22


UNTIL_LATER = """
new Promise(done => { const wait = setInterval(() => { if (chosen.t > 3) { clearInterval(wait); done(); } }, 20); })
"""


def test_space_plays_to_the_end_and_again_pauses(seen: Browser, page: Path) -> None:
    seen.open(page, 1280)
    seen.run("at('speed').value = 4")
    seen.press(" ")
    assert "Pause" in seen.run("at('play').textContent")
    seen.run(UNTIL_LATER)
    seen.press(" ")
    stopped = seen.run("chosen.t")
    seen.run("new Promise(done => setTimeout(done, 150))")
    assert seen.run("chosen.t") == stopped
    assert "Play" in seen.run("at('play').textContent")


def test_a_hub_is_chosen_on_the_map_by_key(seen: Browser, page: Path, sim: Simulator) -> None:
    seen.open(page, 1280)
    seen.run("document.querySelectorAll('.map')[1].querySelectorAll('.hub')[1].focus()")
    seen.press("Enter", "\r")
    assert seen.run("at('hub').selectedOptions[0].text") == english(sim.params.regions[1])
    assert seen.run("document.querySelectorAll('.hub.chosen').length") == 2  # on both maps


def test_the_page_speaks_chinese_when_asked(seen: Browser, page: Path) -> None:
    seen.open(page, 1280)
    seen.run("document.querySelector('[data-language=zh]').click()")
    text = seen.run("document.body.innerText")
    assert seen.run("document.documentElement.lang") == "zh-CN"
    assert all(word in text for word in ("回放", "播放", "和林格尔", "长三角示范区", "电网电价", "待办任务"))
    assert not re.search(r"Waiting|Supply|Play|Horinger", text)
    seen.run("document.querySelector('[data-language=en]').click()")
    assert "Waiting work" in seen.run("document.body.innerText")


TINY_TEXT = """
[...document.querySelectorAll('.map text, .chart text, td, th, li')]
  .map(element => element.getBoundingClientRect().height).filter(height => height && height < 9).length
"""
CUT = """
[...document.querySelectorAll('.map')].flatMap(map => {
  const whole = map.querySelector('svg').getBoundingClientRect();
  return [...map.querySelectorAll('.name')].map(name => name.getBoundingClientRect()).filter(name =>
    name.left < whole.left || name.right > whole.right || name.top < whole.top || name.bottom > whole.bottom);
}).length
"""
TABLE = "document.querySelector('table').getBoundingClientRect().right"
CARD = "document.querySelector('table').parentNode.getBoundingClientRect().right"
OVERLAPS = """
[...document.querySelectorAll('.map')].flatMap(map => {
  const names = [...map.querySelectorAll('.name')].map(n => n.getBoundingClientRect());
  return names.flatMap((a, i) => names.slice(i + 1).filter(b =>
    Math.min(a.right, b.right) > Math.max(a.left, b.left) && Math.min(a.bottom, b.bottom) > Math.max(a.top, b.top)));
}).length
"""


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scenario", ["pair2", "hub10", "city57"])
def test_nothing_sticks_out_or_overlaps_on_wide_and_narrow_screens(
    seen: Browser, tmp_path: Path, scenario: str, width: int
) -> None:
    config = load_scenario(scenario)
    path = tmp_path / "still.html"
    path.write_text(
        replay_page(config, {"pretrained/pair2-shac": still(len(locations_deg(config)), 2 * len(config.links))}),
        "utf-8",
    )
    seen.open(path, width)
    for language in ("en", "zh"):
        seen.run(f"document.querySelector('[data-language={language}]').click()")
        assert seen.run("document.documentElement.scrollWidth") == width
        assert seen.run(CUT) == 0
        assert seen.run(OVERLAPS) == 0
        assert seen.run(TINY_TEXT) == 0
        assert seen.run(TABLE) <= seen.run(CARD)


def still(hubs: int, links: int, steps: int = 24) -> Series:
    """An episode in which nothing changes."""
    width = {"moved_mw": links}
    flat = {name: [[1.0] * width.get(name, hubs) for _ in range(steps)] for name in SHOWN}
    return {**flat, "hour": [float(t) for t in range(steps)], "cost_cny": [1.0] * steps}
