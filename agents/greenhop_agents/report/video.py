"""Animated GIFs of episodes, written by Pillow."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from greenhop.episode.simulator import Simulator
from greenhop.episode.snapshot import snapshot
from greenhop.errors import ConfigError
from greenhop.files import new_file
from greenhop.gym.render import Renderer
from greenhop_agents.policies.policy import Policy
from greenhop_agents.scoring.episodes import walk
from greenhop_agents.scoring.evaluate import Progress

FRAMES_PER_S = 8


def film(sim: Simulator, policy: Policy, start: int, path: str | Path, progress: Progress | None = None) -> None:
    """Run one episode from `start` (an index into `sim.bank.starts`) and write its frames to a GIF.

    Raises:
        ConfigError: `path` does not end in .gif, or its folder does not exist.
    """
    check_video_path(str(path))
    write_gif(Path(path), episode_frames(sim, policy, start, progress))


def check_video_path(path: str | None) -> None:
    """Refuse a path that cannot be written before any work is done."""
    if path is None:
        return
    if Path(path).suffix.lower() != ".gif":
        raise ConfigError(f"video = {path!r}: must end in .gif")
    if not Path(path).resolve().parent.is_dir():
        raise ConfigError(f"video = {path!r}: the folder {Path(path).resolve().parent} does not exist")


def episode_frames(
    sim: Simulator, policy: Policy, start: int, progress: Progress | None = None
) -> Iterable[NDArray[np.uint8]]:
    """One frame per step of an episode."""
    renderer = Renderer(sim.scenario, sim.params)
    for t, s in enumerate(walk(sim, policy, torch.tensor([start], device=sim.params.device))):
        yield renderer.frame(snapshot(sim.params, sim.unpack(s.before)[0], s.after.state, s.flows))
        if progress:
            progress(t + 1, sim.params.steps)


def write_gif(path: Path, frames: Iterable[NDArray[np.uint8]], frames_per_s: float = FRAMES_PER_S) -> None:
    """Write frames `[H, W, 3]` as an endless GIF, whole or not at all; one palette, so that nothing flickers."""
    pictures = [Image.fromarray(frame) for frame in frames]
    palette = pictures[len(pictures) // 2].quantize(255)
    small = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    duration = round(1000 / frames_per_s)
    with new_file(path) as file:
        small[0].save(file, "GIF", save_all=True, append_images=small[1:], duration=duration, loop=0)
