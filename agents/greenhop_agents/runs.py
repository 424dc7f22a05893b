"""Run folders: what a training run writes, and how its policy comes back without executing anything.

config.yaml         resolved configuration
run.json            schema version, git commit, package versions, shapes
tensorboard/        curves
policy.safetensors  weights of the best policy on the validation episodes, or of the last one
checkpoints/        native agents: what resume=RUN_DIR takes up
evaluation.json     final evaluation, one record per policy and episode
"""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from greenhop.errors import ConfigError
from greenhop.simulator import Simulator
from greenhop_agents.policy import Policy

SCHEMA = 1
NATIVE = ("shac", "ppo")  # kinds of agents whose weights belong to networks.py
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


def save_policy(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    """Write the policy's weights, whole or not at all."""
    draft = folder / ".policy.safetensors"
    save_file({name: x.detach().cpu().contiguous() for name, x in weights.items()}, draft)
    draft.replace(folder / "policy.safetensors")


def load_policy(folder: Path, sim: Simulator) -> Policy:
    """The trained policy of a run folder, for a simulator with the same shapes.

    Raises:
        ConfigError: not a run folder, another schema, or shapes that do not fit.
    """
    facts = facts_of(folder)
    agent = facts["agent"]
    for key, here in (("obs_size", sim.obs_size), ("action_size", sim.action_size)):
        if facts[key] != here and not acts_on_any_graph(agent):
            raise ConfigError(
                f"policy = {str(folder)!r} was trained with {key} = {facts[key]} on {facts['scenario']}, "
                f"but {sim.scenario.name} has {here}"
            )
    try:
        weights = load_file(folder / "policy.safetensors", device=str(sim.params.device))
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"policy = {str(folder)!r}: policy.safetensors cannot be read ({error})") from None
    if agent["kind"] in NATIVE:
        from greenhop_agents.learner import load_native, parse_options

        return load_native(agent["name"], parse_options(agent["kind"], agent["options"]).network, weights, sim)
    from greenhop_agents.sb3 import load_sb3

    return load_sb3(agent, weights, sim)


def acts_on_any_graph(agent: Mapping[str, Any]) -> bool:
    """Whether an agent of this configuration, once trained, can run any number of hubs, links and units."""
    return agent["kind"] in NATIVE and agent["options"].get("network", {}).get("kind", "region") == "region"


def facts_of(folder: Path) -> dict[str, Any]:
    """What `run.json` says of a run folder."""
    try:
        facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ConfigError(f"policy = {str(folder)!r} is no run folder: run.json is missing or unreadable") from None
    if not isinstance(facts, dict) or facts.get("schema") != SCHEMA:
        raise ConfigError(f"policy = {str(folder)!r}: run.json has another schema than {SCHEMA}")
    return facts
