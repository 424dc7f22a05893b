"""Run folders: what a training run writes, and how its policy comes back without executing anything.

config.yaml         resolved configuration
run.json            schema version, git commit, package versions, shapes, digest of the policy
training.json       environment steps so far, wall time, hardware
tensorboard/        curves
policy.safetensors  weights of the best policy on the validation episodes, or of the last one
checkpoints/        native agents: what resume=RUN_DIR takes up; SB3: weights on the way
evaluation.json     final evaluation, one record per policy and episode
"""

from __future__ import annotations

import json
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from greenhop import __version__
from greenhop.episode.simulator import Simulator
from greenhop.errors import ConfigError
from greenhop.files import write_json
from greenhop.scenario.config import describe
from greenhop.scenario.limits import Name
from greenhop_agents.base.hardware import hardware
from greenhop_agents.learners.algorithms import find_algorithm
from greenhop_agents.learners.weights import DIGESTS, FACTS, POLICY, load_weights
from greenhop_agents.policies.policy import Policy

SCHEMA = 2
TRAINING, CONFIG = "training.json", "config.yaml"
PACKAGES = ("torch", "gymnasium", "numpy", "stable-baselines3", "highspy")  # whose versions count


class AgentFacts(BaseModel):
    """The agent that `run.json` tells of; its algorithm judges the rest of its configuration."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    name: Name
    """How tables call it."""
    kind: str
    """Its algorithm."""
    options: dict[str, Any]
    """What the algorithm was told."""


class RunFacts(BaseModel):
    """`run.json`."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    schema_: Literal[2] = Field(alias="schema")
    """Version of the layout of run folders."""
    scenario: str
    """Name of the scenario that was trained on."""
    obs_size: Annotated[int, Field(ge=1)]
    """Numbers of an observation."""
    action_size: Annotated[int, Field(ge=1)]
    """Numbers of an action."""
    agent: AgentFacts
    """Configuration of the agent."""
    seed: int
    """Seed of the training."""
    git_commit: str | None
    """Commit of the checkout; null outside of one."""
    python: str
    """Version of Python."""
    packages: dict[str, str]
    """Package → version."""
    policy_sha256: list[str] = Field(default_factory=list)
    """Digests that the policy's weights may have."""


def versions() -> dict[str, str]:
    """Versions of Greenhop and of the packages that numbers rest on."""
    return {"greenhop": __version__} | {name: version(name) for name in PACKAGES}


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
    write_json(folder / TRAINING, facts)


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
    whole = path.is_dir()
    folder, stored = (path, path / POLICY) if whole else (path.parent.parent, path)
    facts = facts_of(folder)
    agent = facts["agent"]
    algorithm = find_algorithm(agent["kind"])
    for key, here in (("obs_size", sim.obs_size), ("action_size", sim.action_size)):
        if facts[key] != here and not algorithm.fits_any_graph(agent):
            raise ConfigError(
                f"policy = {str(folder)!r} was trained with {key} = {facts[key]} on {facts['scenario']}, "
                f"but {sim.scenario.name} has {here}"
            )
    algorithm.check(agent)
    known = facts[DIGESTS] if whole else None
    return algorithm.load(agent, load_weights(stored, sim.params.device, f"policy = {str(path)!r}", known), sim)


def facts_of(folder: Path) -> dict[str, Any]:
    """What `run.json` says of a run folder.

    Raises:
        ConfigError: there is none, or it is damaged or of another schema.
    """
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise ConfigError(f"policy = {str(folder)!r} is no run folder: {FACTS} is missing or unreadable") from None
    if not isinstance(facts, dict) or facts.get("schema") != SCHEMA:
        raise ConfigError(f"policy = {str(folder)!r}: {FACTS} has another schema than {SCHEMA}")
    try:
        return RunFacts.model_validate(facts).model_dump(by_alias=True)
    except ValidationError as error:
        raise ConfigError(f"policy = {str(folder)!r}: {describe(error, str(folder / FACTS))}") from None
