"""Run folders: what a training run writes, and how its policy comes back without executing anything.

config.yaml         resolved configuration
run.json            schema version, git commit, package versions, shapes
training.json       environment steps so far, wall time, hardware
tensorboard/        curves
policy.safetensors  weights of the best policy on the validation episodes, or of the last one
checkpoints/        native agents: what resume=RUN_DIR takes up; SB3: weights on the way
evaluation.json     final evaluation, one record per policy and episode
"""

from __future__ import annotations

import json
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from safetensors import SafetensorError
from safetensors.torch import load_file

from greenhop.episode.simulator import Simulator
from greenhop.errors import ConfigError
from greenhop_agents.base.hardware import hardware
from greenhop_agents.learners.algorithms import find_algorithm
from greenhop_agents.learners.weights import POLICY
from greenhop_agents.policies.policy import Policy

SCHEMA = 1
TRAINING = "training.json"
PACKAGES = ("greenhop", "torch", "gymnasium", "numpy", "stable-baselines3", "highspy")


def start_run(folder: Path, config: DictConfig, sim: Simulator) -> None:
    """Create the folder and write what is known before training.

    Raises:
        ConfigError: the folder exists already.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise ConfigError(f"output = {str(folder)!r} exists already; name another folder") from None
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(config, resolve=True), encoding="utf-8")
    facts = {
        "schema": SCHEMA,
        "scenario": sim.scenario.name,
        "obs_size": sim.obs_size,
        "action_size": sim.action_size,
        "agent": OmegaConf.to_container(config.agent, resolve=True),
        "seed": config.seed,
        "git_commit": git_commit(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }
    (folder / "run.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def git_commit() -> str | None:
    """Commit of the checkout the package runs from; None outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def log_training(folder: Path, steps: int, seconds: float) -> None:
    """Keep how many steps the training has come to and how long it has taken, resumed parts included."""
    before = training_of(folder).get("wall_s", 0.0)
    facts = {"steps": steps, "wall_s": round(before + seconds, 3), "hardware": hardware()}
    (folder / TRAINING).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def training_of(folder: Path) -> dict[str, Any]:
    """What `training.json` says; nothing where there is none."""
    try:
        found = json.loads((folder / TRAINING).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def load_policy(path: Path, sim: Simulator) -> Policy:
    """The trained policy of a run folder, for a simulator with the same shapes.

    `path` is the folder, whose best policy is meant, or one of the weights that an SB3 agent left in `checkpoints/`.

    Raises:
        ConfigError: not a run folder, another schema, or shapes that do not fit.
    """
    folder, stored = (path, path / POLICY) if path.is_dir() else (path.parent.parent, path)
    facts = facts_of(folder)
    agent = facts["agent"]
    algorithm = find_algorithm(agent["kind"])
    for key, here in (("obs_size", sim.obs_size), ("action_size", sim.action_size)):
        if facts[key] != here and not algorithm.fits_any_graph(agent):
            raise ConfigError(
                f"policy = {str(folder)!r} was trained with {key} = {facts[key]} on {facts['scenario']}, "
                f"but {sim.scenario.name} has {here}"
            )
    try:
        weights = load_file(stored, device=str(sim.params.device))
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"policy = {str(path)!r}: {stored.name} cannot be read ({error})") from None
    return algorithm.load(agent, weights, sim)


def facts_of(folder: Path) -> dict[str, Any]:
    """What `run.json` says of a run folder."""
    try:
        facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ConfigError(f"policy = {str(folder)!r} is no run folder: run.json is missing or unreadable") from None
    if not isinstance(facts, dict) or facts.get("schema") != SCHEMA:
        raise ConfigError(f"policy = {str(folder)!r}: run.json has another schema than {SCHEMA}")
    return facts
