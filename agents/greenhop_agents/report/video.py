"""Films of episodes: GIFs, written by Pillow, and MP4, written by FFmpeg where that is installed."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from greenhop.episode.simulator import Simulator
from greenhop.episode.snapshot import snapshot
from greenhop.errors import ConfigError
from greenhop.files import draft_of, new_file
from greenhop.gym.render import Renderer
from greenhop_agents.policies.policy import Policy
from greenhop_agents.scoring.episodes import walk
from greenhop_agents.scoring.evaluate import Progress

FRAMES_PER_S = 8


def film(sim: Simulator, policy: Policy, start: int, path: str | Path, progress: Progress | None = None) -> None:
    """Run one episode from `start` (an index into `sim.bank.starts`) and write its frames to a GIF or MP4.

    Raises:
        ConfigError: `path` ends in neither, its folder does not exist, or FFmpeg is missing.
    """
    check_video_path(str(path))
    WRITERS[Path(path).suffix.lower()](Path(path), episode_frames(sim, policy, start, progress))


def check_video_path(path: str | None) -> None:
    """Refuse a path that cannot be written before any work is done."""
    if path is None:
        return
    if Path(path).suffix.lower() not in WRITERS:
        raise ConfigError(f"video = {path!r}: must end in {' or '.join(WRITERS)}")
    if Path(path).suffix.lower() == ".mp4" and find_spec("imageio_ffmpeg") is None:
        raise ConfigError(f"video = {path!r} needs FFmpeg: pip install 'greenhop[render]', or name a .gif")
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


def write_mp4(path: Path, frames: Iterable[NDArray[np.uint8]], frames_per_s: float = FRAMES_PER_S) -> None:
    """Write frames `[H, W, 3]`, each side a multiple of two, as an H.264 film, whole or not at all."""
    from imageio_ffmpeg import write_frames

    draft, writer = draft_of(path), None
    told = {"fps": frames_per_s, "macro_block_size": 2, "output_params": ["-f", "mp4"]}  # whatever the name ends in
    try:
        for frame in frames:
            if writer is None:
                writer = write_frames(str(draft), frame.shape[1::-1], **told)
                writer.send(None)
            writer.send(np.ascontiguousarray(frame))
        if writer is not None:
            writer.close()
            draft.replace(path)
    finally:
        if writer is not None:
            writer.close()  # where frames failed, FFmpeg is still writing
        draft.unlink(missing_ok=True)


WRITERS = {".gif": write_gif, ".mp4": write_mp4}
