"""Golden trajectories: what each registered id does on a fixed day. `python -m tests.test_goldens` writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import greenhop

FOLDER = Path(__file__).parent / "goldens"
START, STEPS = 40, 24
TOLERANCE = 2e-4  # float32 on another processor


def trajectory(env_id: str) -> dict[str, Any]:
    """Shapes, rewards and observations of a day under actions that swing through their range, and its bill."""
    given: dict[str, Any] = {"split": "test", "year_ids": [0], "compile": False}  # the step as it is written
    env = gym.make(f"greenhop:{env_id}", **given, disable_env_checker=True)
    assert isinstance(env.action_space, gym.spaces.Box)
    size = env.action_space.shape[0]
    obs, _ = env.reset(options={"start": START})
    steps: list[dict[str, float]] = []
    totals: dict[str, float] = {}
    for t in range(STEPS):
        obs, reward, _, _, info = env.step(0.8 * np.sin(1.0 + 0.7 * t + 1.3 * np.arange(size)))
        weights = np.cos(np.arange(obs.size))
        steps.append({"reward": float(reward), "obs_mean": float(obs.mean()), "obs_mix": float(obs @ weights)})
        totals = {name: totals.get(name, 0.0) + float(value) for name, value in info.items()}
    return {
        "obs_size": obs.size,
        "action_size": size,
        "steps": [{name: significant(value) for name, value in step.items()} for step in steps],
        "totals": {name: significant(value) for name, value in totals.items()},
    }


def significant(value: float) -> float:
    """Seven significant digits."""
    return float(f"{value:.7g}")


def path_of(env_id: str) -> Path:
    return FOLDER / f"{env_id}.json"


@pytest.mark.parametrize("env_id", greenhop.ENV_IDS)
def test_the_trajectory_of_a_registered_id_is_golden(env_id: str) -> None:
    golden, now = json.loads(path_of(env_id).read_text()), trajectory(env_id)
    advice = (
        f"{env_id} no longer does what its golden trajectory says. If that is meant, raise its version "
        f"(-v{int(env_id[-1]) + 1}), so that results stay comparable, and run `python -m tests.test_goldens`"
    )
    assert [golden["obs_size"], golden["action_size"]] == [now["obs_size"], now["action_size"]], advice
    for name in golden["steps"][0]:
        ours, theirs = ([step[name] for step in each["steps"]] for each in (now, golden))
        scale = np.abs(theirs).max()
        assert np.allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE * scale), f"{name}: {advice}"
    largest = max(abs(value) for name, value in golden["totals"].items() if name.endswith("_cny"))
    for name, value in golden["totals"].items():
        slack = TOLERANCE * largest if name.endswith("_cny") else 1.0
        assert now["totals"][name] == pytest.approx(value, rel=TOLERANCE, abs=slack), f"{name}: {advice}"


def test_there_is_one_golden_file_per_registered_id() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(greenhop.ENV_IDS)


if __name__ == "__main__":
    for registered in greenhop.ENV_IDS:
        path_of(registered).write_text(json.dumps(trajectory(registered), indent=1) + "\n", encoding="utf-8")
