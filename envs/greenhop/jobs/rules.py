"""Which of the jobs that could run goes first."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from greenhop.arrays import Array, Bools, Ints
from greenhop.errors import ConfigError


class Waiting(NamedTuple):
    """What a rule sees of the jobs that wait or run, `[n]` each."""

    submit_h: Array
    deadline_h: Array
    remaining_mwh: Array
    rate_mw: Array
    moves: Ints
    running: Bools  # ran in the step before


Rule = Callable[[Waiting], Array]  # `[n]` keys; the smallest goes first


def earliest_deadline(jobs: Waiting) -> Array:
    """The job that is due first."""
    return jobs.deadline_h


def shortest_first(jobs: Waiting) -> Array:
    """The job with the least hours left to run."""
    return jobs.remaining_mwh / jobs.rate_mw


def longest_waiting(jobs: Waiting) -> Array:
    """The job that was submitted first."""
    return jobs.submit_h


def least_migration(jobs: Waiting) -> Array:
    """The job that moved most often, so that what has moved is done before it moves again; then the one due first."""
    return jobs.deadline_h / 1e6 - jobs.moves


RULES: dict[str, Rule] = {
    "earliest_deadline": earliest_deadline,
    "shortest_first": shortest_first,
    "longest_waiting": longest_waiting,
    "least_migration": least_migration,
}


def rule_named(name: str) -> Rule:
    """A rule by its name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in RULES:
        raise ConfigError(f"rule = {name!r} is unknown; allowed: {', '.join(RULES)}")
    return RULES[name]
