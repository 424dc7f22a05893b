"""Published policies: small weights that ship with the package, each with a model card.

pretrained/hub10-shac.safetensors   weights of the policy
pretrained/hub10-shac.json          model card: schema, kind, digest, scenario, all settings, steps, wall time, what it
                                    and other seeds scored
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from greenhop.episode.simulator import Simulator
from greenhop.errors import ConfigError, one_line
from greenhop.files import write_bytes, write_json
from greenhop.scenario.config import describe
from greenhop.scenario.plain_yaml import load_yaml
from greenhop_agents.learners.algorithms import find_algorithm
from greenhop_agents.learners.weights import DIGESTS, POLICY, digest, load_weights
from greenhop_agents.policies.policy import Policy
from greenhop_agents.shelf.runs import CONFIG, AgentFacts, facts_of, training_of
from greenhop_agents.shelf.seeds import stored_result, summary

PREFIX = "pretrained/"
SCHEMA = 2
MAX_BYTES = 1_000_000
NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


def shelf() -> Path:
    """The folder of published policies."""
    return Path(str(files("greenhop_agents"))) / "pretrained"


def pretrained_names(folder: Path | None = None) -> list[str]:
    """Names under which published policies can be loaded."""
    return sorted(f"{PREFIX}{p.stem}" for p in (folder or shelf()).glob("*.safetensors"))


def load_pretrained(name: str, sim: Simulator, folder: Path | None = None) -> Policy:
    """The published policy called `name` (with its prefix).

    Raises:
        ConfigError: nothing of that name, a damaged card, or weights that do not fit the scenario.
    """
    allowed = pretrained_names(folder)
    if name not in allowed:
        raise ConfigError(f"policy = {name!r} is not published; allowed: {', '.join(allowed) or 'none yet'}")
    home, stem = folder or shelf(), name.removeprefix(PREFIX)
    try:
        card = json.loads((home / f"{stem}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"policy = {name!r}: its model card cannot be read ({one_line(error)})") from None
    if not isinstance(card, dict) or card.get("schema") != SCHEMA:
        raise ConfigError(f"policy = {name!r}: its model card has another schema than {SCHEMA}")
    try:
        agent = AgentFacts.model_validate(card.get("agent")).model_dump()
    except ValidationError as error:
        raise ConfigError(f"policy = {name!r}: {describe(error, f'{stem}.json')}") from None
    algorithm, known = find_algorithm(agent["kind"]), [str(card.get("sha256"))]
    algorithm.check(agent)
    weights = load_weights(home / f"{stem}.safetensors", sim.params.device, f"policy = {name!r}", known)
    return algorithm.load({**agent, "name": name}, weights, sim)


def publish(run: Path, name: str, others: Sequence[Path] = (), folder: Path | None = None) -> Path:
    """Copy the best policy of a run folder onto the shelf under `name` and write its model card.

    Args:
        run: run folder of an agent, trained and evaluated.
        name: letters, digits, `-`, `_` and `.`; an older policy of that name is replaced.
        others: run folders of the same agent with other seeds, whose results the card reports as well.
        folder: the shelf; None is the one inside the package.

    Raises:
        ConfigError: not such a run, weights that are too large, or a name that is none.
    """
    if not NAME.fullmatch(name):
        raise ConfigError(f"name = {name!r}: letters, digits, '-', '_' and '.' only, a letter or digit first")
    facts, weights = facts_of(run), run / POLICY
    agent = facts["agent"]
    if not weights.is_file():
        raise ConfigError(f"{run}: {POLICY} is missing; train to the end first")
    data = weights.read_bytes()
    if digest(data) not in facts[DIGESTS]:
        raise ConfigError(f"{run}: {POLICY} is not the file that was written: damaged, or replaced")
    if weights.stat().st_size > MAX_BYTES:
        raise ConfigError(f"{weights} has {weights.stat().st_size} bytes, allowed are {MAX_BYTES}")
    for other in others:
        theirs = facts_of(other)
        if (theirs["agent"], theirs["scenario"]) != (agent, facts["scenario"]):
            raise ConfigError(f"others: {other} was trained with another agent or scenario than {run}")
    card = {
        "schema": SCHEMA,
        "name": name,
        "kind": agent["kind"],
        "sha256": digest(data),
        "scenario": facts["scenario"],
        "agent": agent,
        "seed": facts["seed"],
        "training": training_of(run),
        "git_commit": facts["git_commit"],
        "packages": facts["packages"],
        "results": results([run, *others]),
    }
    target = (folder or shelf()) / f"{name}.safetensors"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(target, data)
    write_json(target.with_name(f"{name}.json"), card)
    return target


def results(runs: Sequence[Path]) -> dict[str, Any]:
    """What the final evaluations of some seeds say: `split`, `episodes`, and those keys of `seeds.summary`."""
    try:
        asked = [load_yaml(run / CONFIG)["evaluation"] for run in runs]
    except (ConfigError, KeyError, TypeError) as error:
        raise ConfigError(f"a run folder without a readable config.yaml ({one_line(error)})") from None
    if any(other != asked[0] for other in asked):
        raise ConfigError(f"evaluation.* of {runs[0]} and the other runs differ: scores cannot stand side by side")
    facts = facts_of(runs[0])
    found = summary(facts["agent"]["name"], facts["scenario"], [stored_result(run) for run in runs])
    seeds = [{key: value for key, value in one.items() if key != "folder"} for one in found["runs"]]
    return {
        "split": asked[0]["split"],
        "episodes": asked[0]["episodes"],
        "runs": seeds,
        "iqm_score": found["iqm_score"],
    }
