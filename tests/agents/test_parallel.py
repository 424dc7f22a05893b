"""Two processes that share a fleet learn what one process with the whole fleet learns."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

WORKER = """
import sys, torch
from safetensors.torch import save_file
from greenhop_agents.learners.parallel import join_team
from tests.agents.toy import STARTS, STEPS, Toy, learner_on
torch.set_num_threads(1)
net = {"kind": "mlp", "width": 8, "layers": 1}
own = {"ppo": {"horizon": 6, "batches": 2, "reward": "bill"}, "shac": {"horizon": 0}}
kind = sys.argv[2]
options = own[kind] | {"num_envs": 16, "network": net, "compile": False}
team = join_team()
learner = learner_on(Toy().as_simulator(), kind, options, team=team, reference=torch.zeros(STARTS, STEPS))
with torch.no_grad():  # processes that come apart are brought together again
    for p in learner.actor.parameters():
        p.add_(float(team.rank))
learner.begin()
for _ in range(3):
    learner.learn_once(0.0)
state = {name: x.clone() for name, x in learner.actor.state_dict().items()}
rate = learner.learning_rate if kind == "ppo" else learner.actor_rate
save_file(state | {"rate": rate.clone()}, f"{sys.argv[1]}/{team.size}-{team.rank}.safetensors")
"""


def start(kind: str, folder: Path, rank: int, size: int, port: int) -> subprocess.Popen[bytes]:
    """One worker, told of its peers as torchrun would."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    env = {**os.environ, **{key: str(value) for key, value in place.items()}, "CUDA_VISIBLE_DEVICES": ""}
    root = Path(__file__).parents[2]
    return subprocess.Popen([sys.executable, "-c", WORKER, str(folder), kind], env=env, cwd=root)


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ppo", "shac"])
def test_two_processes_learn_what_one_does(kind: str, tmp_path: Path) -> None:
    port = free_port()
    workers = [start(kind, tmp_path, 0, 1, port), *(start(kind, tmp_path, rank, 2, port) for rank in (0, 1))]
    assert [w.wait(300) for w in workers] == [0, 0, 0]
    alone, first, second = (load_file(tmp_path / f"{name}.safetensors") for name in ("1-0", "2-0", "2-1"))
    for name, x in alone.items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], x, rtol=1e-4, atol=1e-5)
