"""Which of the jobs that could run goes first."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from greenhop.errors import ConfigError
from greenhop.jobs.table import Bools, Floats, Ints


class Waiting(NamedTuple):
    """What a rule sees of the jobs that wait or run, `[n]` each."""

    submit_h: Floats
    deadline_h: Floats
    remaining_mwh: Floats
    rate_mw: Floats
    moves: Ints
    running: Bools  # ran in the step before


Rule = Callable[[Waiting], Floats]  # `[n]` keys; the smallest goes first


def earliest_deadline(jobs: Waiting) -> Floats:
    """The job that is due first."""
    return jobs.deadline_h


def shortest_first(jobs: Waiting) -> Floats:
    """The job with the least hours left to run."""
    return jobs.remaining_mwh / jobs.rate_mw


def longest_waiting(jobs: Waiting) -> Floats:
    """The job that was submitted first."""
    return jobs.submit_h


def least_migration(jobs: Waiting) -> Floats:
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
