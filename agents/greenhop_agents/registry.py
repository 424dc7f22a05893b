"""Policies by name: the rules, and the run folders of trained agents."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from greenhop.errors import ConfigError
from greenhop.simulator import Simulator
from greenhop_agents.policy import Policy
from greenhop_agents.rules import RULES
from greenhop_agents.runs import load_policy


def find_policy(name: str, sim: Simulator) -> Policy:
    """The policy called `name`: a rule, or a run folder written by `scripts/train.py`.

    Raises:
        ConfigError: nothing of that name, or a run trained on another scenario's shapes.
    """
    if name in RULES:
        return RULES[name]()
    if Path(name).is_dir():
        return load_policy(Path(name), sim)
    close = get_close_matches(name, RULES, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise ConfigError(f"policy = {name!r} is unknown; allowed: {', '.join(RULES)}, or a run folder{hint}")
