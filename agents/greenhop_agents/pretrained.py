"""Published policies: small weights that ship with the package, each with a model card.

pretrained/hub10-shac.safetensors   weights of the actor
pretrained/hub10-shac.json          model card: schema, kind, network, scenario, how it was trained, what it scored
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from greenhop.errors import ConfigError
from greenhop.simulator import Simulator
from greenhop_agents.learner import load_native
from greenhop_agents.networks import parse_network
from greenhop_agents.policy import Policy
from greenhop_agents.runs import NATIVE, facts_of

PREFIX = "pretrained/"
SCHEMA = 1
MAX_BYTES = 1_000_000


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
    stem = (folder or shelf()) / name.removeprefix(PREFIX)
    try:
        card = json.loads(stem.with_suffix(".json").read_text(encoding="utf-8"))
        weights = load_file(stem.with_suffix(".safetensors"), device=str(sim.params.device))
    except (OSError, ValueError, SafetensorError) as error:
        raise ConfigError(f"policy = {name!r}: the published files cannot be read ({error})") from None
    if not isinstance(card, dict) or card.get("schema") != SCHEMA or card.get("kind") not in NATIVE:
        raise ConfigError(f"policy = {name!r}: its model card has another schema than {SCHEMA}")
    return load_native(name, parse_network(card.get("network")), weights, sim)


def publish(run: Path, name: str, results: Mapping[str, Any], folder: Path | None = None) -> Path:
    """Copy the best policy of a run folder onto the shelf under `name` and write its model card.

    Raises:
        ConfigError: not the run of a native agent, or weights that are too large.
    """
    facts = facts_of(run)
    agent, weights = facts["agent"], run / "policy.safetensors"
    if agent["kind"] not in NATIVE:
        raise ConfigError(f"{run}: only the native agents ({', '.join(NATIVE)}) are published, not {agent['kind']}")
    if weights.stat().st_size > MAX_BYTES:
        raise ConfigError(f"{weights} has {weights.stat().st_size} bytes, allowed are {MAX_BYTES}")
    card = {
        "schema": SCHEMA,
        "name": name,
        "kind": agent["kind"],
        "scenario": facts["scenario"],
        "network": agent["options"].get("network", {}),
        "agent": agent,
        "seed": facts["seed"],
        "git_commit": facts["git_commit"],
        "packages": facts["packages"],
        "results": dict(results),
    }
    target = (folder or shelf()) / f"{name}.safetensors"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(weights.read_bytes())
    target.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return target
