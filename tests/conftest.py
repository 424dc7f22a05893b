"""How thorough the tests of damage are: quick by default, long on demand."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--kills 40 --mutations 1000` is what a release wants."""
    parser.addoption("--kills", type=int, default=8, help="how often each kind of writer is killed")
    parser.addoption("--mutations", type=int, default=40, help="how many damaged configurations of each kind are tried")


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """How often a writer is killed."""
    return int(request.config.getoption("--kills"))


@pytest.fixture
def mutations(request: pytest.FixtureRequest) -> int:
    """How many damaged configurations are tried."""
    return int(request.config.getoption("--mutations"))
