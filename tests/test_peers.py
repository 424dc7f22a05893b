"""Environments of other projects beside ours: those that are there are stepped in turn, the others are named."""

from __future__ import annotations

import pytest

from greenhop_agents.studies import peers
from greenhop_agents.studies.turns import Stepping, in_turn


def test_all_are_stepped_in_turn_and_medians_count() -> None:
    clock, order = [0.0], list[str]()

    def step(name: str, seconds: float) -> None:
        order.append(name)
        clock[0] += seconds

    running = [
        Stepping(lambda: step("slow", 0.5), 1, lambda: clock[0]),
        Stepping(lambda: step("fast", 0.25), 8, lambda: clock[0]),
    ]
    assert in_turn(running, 1.0, 2) == [2.0, 32.0]
    assert order == ["slow"] * 2 + ["fast"] * 4 + ["slow"] * 2 + ["fast"] * 4


def test_peers_that_are_absent_are_named_and_those_without_batches_step_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    made = peers.Made(3, 2, 1, lambda: None)
    there = peers.Peer("one by one", "json", "pip install json", lambda batch: made, batches=False)
    gone = peers.Peer("gone", "no_such_package", "pip install no_such_package", lambda batch: made)
    monkeypatch.setattr(peers, "PEERS", (there, gone))
    found, absent = peers.compare(["Pair2-v1"], [1, 2], 0.01, 1)
    assert [(row.environment, row.num_envs) for row in found] == [("Pair2-v1", 1), ("one by one", 1), ("Pair2-v1", 2)]
    assert found[0].observed > 50
    assert found[0].decided > 10
    assert all(row.steps_per_s > 0 for row in found)
    assert absent == [gone]


@pytest.mark.filterwarnings("ignore")  # theirs
@pytest.mark.parametrize(("package", "name"), [("chargax", "Chargax"), ("gymnax", "gymnax CartPole")])
def test_a_peer_steps(package: str, name: str) -> None:
    pytest.importorskip(package)
    (peer,) = (peer for peer in peers.PEERS if peer.name == name)
    made = peer.make(2)
    made.step()
    assert made.per_call == 2 * peers.SCAN
    assert made.observed >= 4
