"""Policies by name: the rules, the controllers that solve linear programmes, and the run folders of trained agents."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import cast

from greenhop.episode.simulator import Simulator
from greenhop.errors import ConfigError, nearest
from greenhop_agents.policies.policy import Policy
from greenhop_agents.policies.rules import RULES
from greenhop_agents.shelf.pretrained import PREFIX, load_pretrained, pretrained_names
from greenhop_agents.shelf.runs import load_policy

WEIGHTS = ".safetensors"
PLANNERS = {  # loaded when asked for: they bring the solver along
    "static": "greenhop_agents.policies.static",
    "mpc": "greenhop_agents.policies.mpc",
    "mpc_perfect": "greenhop_agents.policies.mpc",
}


def policy_names() -> list[str]:
    """What `find_policy` knows by name: rules, planners, published policies."""
    return [*RULES, *PLANNERS, *pretrained_names()]


def find_policy(name: str, sim: Simulator) -> Policy:
    """The policy called `name`: a rule, a planner, a published one, or a run folder written by `scripts/train.py`
    (or weights in its `checkpoints/`).

    Raises:
        ConfigError: nothing of that name, or a run trained on another scenario's shapes.
    """
    if name in RULES:
        return RULES[name]()
    if name in PLANNERS:
        return cast(Policy, import_module(PLANNERS[name]).PLANNERS[name]())
    if name.startswith(PREFIX):
        return load_pretrained(name, sim)
    if Path(name).is_dir() or Path(name).suffix == WEIGHTS:
        return load_policy(Path(name), sim)
    known = policy_names()
    hint = nearest(name, known)
    raise ConfigError(f"policy = {name!r} is unknown; allowed: {', '.join(known)}, or a run folder{hint}")
