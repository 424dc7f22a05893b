"""Small simulators shared by the tests of learners: a day of `pair2`, one train year."""

from __future__ import annotations

import pytest
import torch

from greenhop.episode.simulator import Simulator, build_simulator


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """More threads only wait for each other on a small machine."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def day() -> Simulator:
    """`pair2`, episodes of a day."""
    return build_simulator("pair2", "train", overrides=["episode.length_h=24"], year_ids=[0])


@pytest.fixture(scope="session")
def moment() -> Simulator:
    """`pair2`, episodes of six hours: for tests that only need something to run."""
    return build_simulator("pair2", "train", overrides=["episode.length_h=6"], year_ids=[0])
