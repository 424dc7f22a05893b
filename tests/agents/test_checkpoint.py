"""Checkpoints: bitwise resume, death during a save, and files that must be refused."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from greenhop.errors import ConfigError
from greenhop_agents.learners.checkpoint import (
    LATEST,
    STATE,
    TENSORS,
    join_state,
    load_checkpoint,
    save_checkpoint,
    split_state,
)
from greenhop_agents.learners.native import Native
from tests.agents.toy import toy_learner

CONFIG = {"agent": "toy", "seed": 0}
NET = {"kind": "mlp", "width": 8, "layers": 1}
OPTIONS: dict[str, dict[str, Any]] = {
    "shac": {"horizon": 5, "num_envs": 6, "critic_warmup": 1, "network": NET},
    "shac by Muon": {"horizon": 0, "num_envs": 6, "optimiser": "muon", "network": NET | {"layers": 2}},
    "ppo": {"horizon": 5, "num_envs": 8, "reward": "bill", "network": NET},
    "es": {"population": 4, "episodes": 2, "network": NET},
}
UPDATES = 4


def fresh(kind: str, seed: int = 0) -> Native:
    """A new learner on the toy."""
    learner: Native = toy_learner(kind.split()[0], OPTIONS[kind], seed)
    return learner


def run(learner: Native, first: int, last: int) -> list[dict[str, Tensor]]:
    """Metrics of some updates."""
    return [learner.learn_once(i / UPDATES) for i in range(first, last)]


def same(a: Any, b: Any) -> bool:
    """Bitwise equality of two nests."""
    tensors, rest = split_state(a)
    others, other_rest = split_state(b)
    return rest == other_rest and all(torch.equal(x, others[name]) for name, x in tensors.items())


@pytest.mark.parametrize("cut", [1, 2, 3])
@pytest.mark.parametrize("kind", OPTIONS)
def test_a_resumed_run_is_bitwise_the_uninterrupted_one(kind: str, cut: int, tmp_path: Path) -> None:
    whole = fresh(kind)
    expected = run(whole, 0, UPDATES)
    first = fresh(kind)
    run(first, 0, cut)
    save_checkpoint(tmp_path, cut, first.state(), CONFIG)
    second = fresh(kind, seed=99)
    step, state = load_checkpoint(tmp_path, CONFIG)
    second.restore(state)
    assert step == cut
    metrics = run(second, cut, UPDATES)
    assert same(metrics, expected[cut:])
    assert same(second.state(), whole.state())


def test_a_nest_of_dicts_lists_and_tensors_survives() -> None:
    nest = {"a": [1, 2.5, None, torch.arange(3)], 7: {"b": True, "tensor": "a word"}, "c": ()}
    back = join_state(*split_state(nest))
    assert back[7] == nest[7]
    assert back["a"][:3] == [1, 2.5, None]
    assert torch.equal(back["a"][3], torch.arange(3))


def test_what_is_neither_plain_nor_a_tensor_is_refused() -> None:
    with pytest.raises(TypeError, match=r"a\.f"):
        split_state({"a": {"f": print}})


WRITER = """
import sys, torch
from pathlib import Path
from greenhop_agents.learners.checkpoint import save_checkpoint
step = 0
while True:
    step += 1
    state = {"x": torch.full((300_000,), float(step)), "step": step}
    save_checkpoint(Path(sys.argv[1]), step, state, {})
    print(step, flush=True)
"""


def test_a_process_killed_while_saving_leaves_a_complete_checkpoint(tmp_path: Path) -> None:
    for attempt in range(2):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        for _ in range(3):
            writer.stdout.readline()
        time.sleep(0.0013 * attempt)
        writer.send_signal(signal.SIGKILL)
        said = writer.communicate()[0].split()
        step, state = load_checkpoint(tmp_path, {})
        assert state["step"] == step
        assert bool((state["x"] == step).all())
        assert step >= int(said[-1]) if said else step >= 3
        (tmp_path / LATEST).unlink()


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """The folder of one checkpoint."""
    return save_checkpoint(tmp_path, 3, {"x": torch.ones(4)}, CONFIG)


def test_another_configuration_is_refused(written: Path) -> None:
    with pytest.raises(ConfigError, match="another configuration"):
        load_checkpoint(written.parent, CONFIG | {"seed": 1})


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no complete checkpoint"):
        load_checkpoint(tmp_path, CONFIG)


def test_a_pickle_in_place_of_the_tensors_is_refused_and_not_run(written: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    (written / TENSORS).write_bytes(pickle.dumps(Trap()))
    facts = json.loads((written / STATE).read_text())
    with pytest.raises(ConfigError, match="does not belong"):
        load_checkpoint(written.parent, CONFIG)
    import hashlib

    facts["tensors_sha256"] = hashlib.sha256((written / TENSORS).read_bytes()).hexdigest()
    (written / STATE).write_text(json.dumps(facts))
    with pytest.raises(ConfigError, match="damaged"):
        load_checkpoint(written.parent, CONFIG)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("text", ["not json", "[]", "{}", '{"schema": 99}'])
def test_a_foreign_state_file_is_refused(written: Path, text: str) -> None:
    (written / STATE).write_text(text)
    with pytest.raises(ConfigError):
        load_checkpoint(written.parent, CONFIG)


def test_latest_may_not_lead_out_of_the_folder(written: Path) -> None:
    (written.parent / LATEST).write_text("../../etc")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_checkpoint(written.parent, CONFIG)


def test_weights_of_another_agent_are_refused() -> None:
    with pytest.raises(ConfigError, match="does not fit"):
        fresh("ppo").restore(fresh("shac").state())


def test_only_the_last_checkpoints_are_kept(tmp_path: Path) -> None:
    for step in range(5):
        save_checkpoint(tmp_path, step, {"x": torch.ones(1)}, CONFIG)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["000000003", "000000004", LATEST]
