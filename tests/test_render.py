"""Frames, text and films of episodes."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from time import process_time
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from imageio_ffmpeg import get_ffmpeg_exe
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from greenhop.episode.simulator import Simulator
from greenhop.episode.snapshot import Snapshot, snapshot
from greenhop.errors import ConfigError
from greenhop.gym.env import HubEnv
from greenhop.gym.render import MAP, SIZE, Renderer, label_sides, place, segment
from greenhop.scenario.sites import locations_deg
from greenhop_agents.policies.rules import PriceFollow
from greenhop_agents.report.video import FRAMES_PER_S, episode_frames, film, write_mp4
from greenhop_agents.scoring.evaluate import evaluate
from tests.sims import day_sim


@pytest.fixture(scope="module")
def pair() -> Simulator:
    return day_sim("pair2")


@pytest.fixture(scope="module")
def hub() -> Simulator:
    return day_sim("hub10")


def first_steps(sim: Simulator, steps: int = 5) -> list[Snapshot]:
    policy, out = PriceFollow(), []
    carry = sim.begin(torch.tensor([3]))
    for _ in range(steps):
        row, _ = sim.unpack(carry)
        carry, flows = sim.advance(carry, policy.decide(sim, carry))
        out.append(snapshot(sim.params, row, carry.state, flows))
    return out


def make(sim: Simulator, mode: str | None) -> HubEnv:
    return HubEnv(sim=sim, render_mode=mode)


def test_a_snapshot_balances_power_in_every_hub(hub: Simulator) -> None:
    for s in first_steps(hub):
        supply = s.used_green_mw + s.ppa_mw + s.grid_mw + s.discharge_mw + s.diesel_mw + s.unserved_mw
        np.testing.assert_allclose(supply, s.facility_mw + s.charge_mw, rtol=1e-4, atol=1e-2)
        np.testing.assert_allclose(s.used_green_mw + s.export_mw + s.curtailed_mw, s.green_mw, rtol=1e-4, atol=1e-3)


def test_the_costs_of_snapshots_add_up_to_the_bill(pair: Simulator) -> None:
    policy = PriceFollow()
    shown = first_steps(pair, pair.params.steps)
    assert sum(s.cost_cny for s in shown) == pytest.approx(evaluate(pair, policy, [3])[0].cost_cny, rel=1e-5)


def test_a_frame_is_a_picture_of_the_stated_size_and_shows_what_happens(pair: Simulator) -> None:
    env = make(pair, "rgb_array")
    env.reset(seed=0)
    first = env.render()
    env.step(np.zeros(env.action_space.shape or (), dtype=np.float32))
    second = env.render()
    assert isinstance(first, np.ndarray)
    assert isinstance(second, np.ndarray)
    assert first.shape == (SIZE[1], SIZE[0], 3)
    assert first.dtype == np.uint8
    assert (first != second).any()


def test_the_same_step_gives_the_same_frame_again(pair: Simulator) -> None:
    env = make(pair, "rgb_array")
    env.reset(seed=0)
    env.step(np.zeros(env.action_space.shape or (), dtype=np.float32))
    np.testing.assert_array_equal(env.render(), env.render())


def test_a_new_episode_starts_with_an_empty_strip(pair: Simulator) -> None:
    steps = first_steps(pair)
    renderer = Renderer(pair.scenario, pair.params)
    fresh = renderer.frame(steps[0])
    for step in steps[1:]:
        renderer.frame(step)
    np.testing.assert_array_equal(renderer.frame(steps[0]), fresh)


def test_text_names_every_hub_and_the_hour(hub: Simulator) -> None:
    env = make(hub, "ansi")
    env.reset(seed=0)
    text = env.render()
    assert isinstance(text, str)
    assert all(name in text for name in hub.params.regions)
    assert f"step 0/{hub.params.steps}" in text


def test_without_a_render_mode_nothing_is_drawn(pair: Simulator) -> None:
    env = make(pair, None)
    env.reset(seed=0)
    assert env.render() is None


def test_rendering_before_the_first_reset_says_what_to_do(pair: Simulator) -> None:
    with pytest.raises(ConfigError, match=r"call reset\(\) first"):
        make(pair, "ansi").render()


def test_an_unknown_render_mode_is_refused(pair: Simulator) -> None:
    with pytest.raises(ConfigError, match="human"):
        make(pair, "human")


def test_a_frame_of_ten_hubs_takes_less_than_15_ms(hub: Simulator) -> None:
    renderer = Renderer(hub.scenario, hub.params)
    steps = first_steps(hub, 20)
    renderer.frame(steps[0])  # fills the cache of characters
    spent = []
    for step in steps:
        began = process_time()
        renderer.frame(step)
        spent.append(process_time() - began)
    assert min(spent) < 0.015


def test_places_on_the_map_keep_the_order_of_the_compass_and_stay_inside(hub: Simulator) -> None:
    points = locations_deg(hub.scenario)
    spots = place(points, MAP)
    assert (np.argsort(spots[:, 0]) == np.argsort(points[:, 1])).all()
    assert (np.argsort(-spots[:, 1]) == np.argsort(points[:, 0])).all()
    assert (spots > MAP[:2]).all()
    assert (spots < MAP[2:]).all()


def test_labels_of_near_hubs_do_not_overlap() -> None:
    spots = np.array([[100.0, 100.0], [125.0, 104.0], [112.0, 130.0]])
    corners = label_sides(spots, [10.0] * 3, [60.0] * 3)
    for i, (ax, ay) in enumerate(corners):
        for bx, by in corners[i + 1 :]:
            assert abs(ax - bx) >= 60 or abs(ay - by) >= 13


def test_a_single_hub_can_be_drawn() -> None:
    assert np.isfinite(place(np.array([[40.0, 110.0]]), MAP)).all()


def test_a_film_is_a_gif_with_one_frame_per_step(pair: Simulator, tmp_path: Path) -> None:
    film(pair, PriceFollow(), 0, tmp_path / "out.gif")
    with Image.open(tmp_path / "out.gif") as gif:
        assert gif.size == SIZE
        assert getattr(gif, "n_frames", 0) == pair.params.steps
    assert [p.name for p in tmp_path.iterdir()] == ["out.gif"]


def test_a_film_is_an_mp4_with_one_frame_per_step(pair: Simulator, tmp_path: Path) -> None:
    film(pair, PriceFollow(), 0, tmp_path / "out.mp4")
    command = [get_ffmpeg_exe(), "-i", str(tmp_path / "out.mp4"), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    read = subprocess.run(command, capture_output=True, check=True)
    assert re.search(rf"h264.*, {SIZE[0]}x{SIZE[1]}.*, {FRAMES_PER_S} fps", read.stderr.decode())
    seen = np.frombuffer(read.stdout, np.uint8).reshape(-1, SIZE[1], SIZE[0], 3)
    drawn = np.stack(list(episode_frames(pair, PriceFollow(), 0)))
    assert seen.shape == drawn.shape
    assert np.abs(seen.astype(float) - drawn).mean() < 5.0  # of 255: H.264 loses a little
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]


def test_an_mp4_that_fails_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    def frames() -> Iterator[NDArray[np.uint8]]:
        yield np.zeros((64, 64, 3), np.uint8)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_mp4(tmp_path / "out.mp4", frames())
    assert not list(tmp_path.iterdir())


def test_frames_of_an_episode_come_one_per_step(pair: Simulator) -> None:
    assert len(list(episode_frames(pair, PriceFollow(), 0))) == pair.params.steps


@pytest.mark.parametrize("path", ["out.avi", "missing/out.gif"])
def test_a_film_that_cannot_be_written_is_refused_at_once(pair: Simulator, path: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^video = "):
        film(pair, PriceFollow(), 0, tmp_path / path)


def test_gymnasium_records_videos_of_the_env(pair: Simulator, tmp_path: Path) -> None:
    if find_spec("moviepy") is None:
        pytest.skip("RecordVideo needs moviepy, which is not installed")
    env: gym.Env[Any, Any] = gym.wrappers.RecordVideo(make(pair, "rgb_array"), str(tmp_path / "videos"))
    env.reset(seed=0)
    truncated = False
    while not truncated:
        truncated = env.step(np.zeros(env.action_space.shape or (), dtype=np.float32))[3]
    env.close()
    assert list((tmp_path / "videos").glob("*.mp4"))


def test_gymnasium_collects_frames_of_the_env(pair: Simulator) -> None:
    env = gym.wrappers.RenderCollection(make(pair, "rgb_array"))
    env.reset(seed=0)
    for _ in range(3):
        env.step(np.zeros(env.action_space.shape or (), dtype=np.float32))
    frames: Any = env.render()
    assert len(frames) == 4


def test_the_load_of_a_hub_fills_its_share_of_the_circle_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    for share in [*rng.uniform(0.01, 0.99, 300), 0.4975, 0.5, 1.0]:
        radius, (x, y) = rng.uniform(6, 12), rng.uniform(28, 32, 2)
        picture = Image.new("L", (60, 60), 0)
        ImageDraw.Draw(picture).polygon(segment(x, y, radius, share), fill=1)
        ys, xs = np.nonzero(np.asarray(picture))
        assert np.hypot(xs - x, ys - y).max() <= radius + 1.5
        assert ys.max() - ys.min() == pytest.approx(2 * radius * share, abs=2)
