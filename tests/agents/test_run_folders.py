"""Run folders that were damaged, killed or asked for twice: one line, nothing lost, nothing left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import load_file

from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.errors import ConfigError
from greenhop.files import ENDING
from greenhop.scenario.find import config_dir
from greenhop.scenario.plain_yaml import load_yaml
from greenhop_agents.learners.checkpoint import LATEST, load_checkpoint, save_checkpoint
from greenhop_agents.learners.weights import DIGESTS, FACTS, POLICY, as_bytes, digest, load_weights, save_policy
from greenhop_agents.shelf.beginning import alone_in, is_learnt
from greenhop_agents.shelf.runs import CONFIG, facts_of, load_policy
from greenhop_agents.training.train import resumed, train
from tests.killing import kill_often

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
TINY = [
    "scenario=pair2",
    "++scenario.episode.length_h=6",
    *(f"++scenario.years.{split}=1" for split in ("train", "val", "test")),
    "agent=ppo",
    "agent.options.num_envs=4",
    "agent.options.group_size=2",
    "agent.options.horizon=3",
    "agent.options.network.width=8",
    "agent.options.network.layers=1",
    "agent.options.compile=false",
    "total_steps=24",
    "validation.episodes=1",
    "evaluation.episodes=1",
    "device=cpu",
]


def config_of(output: Path, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose("train", [*TINY, f"output={output}", *overrides])


def ignore(done: int, total: int, note: str = "") -> None:
    """No progress bar."""


@pytest.fixture(scope="module")
def sim() -> Simulator:
    return build_simulator("pair2", "test", overrides=["episode.length_h=6"], year_ids=[0])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder, to be copied."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    train(config_of(folder), ignore)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in (POLICY, FACTS, "config.yaml", "training.json"):
        (folder / name).write_bytes((trained / name).read_bytes())
    return folder


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


def with_value(value: float) -> Callable[[Path], None]:
    """Writes weights of which one is `value`, as somebody would who also knows of digests."""

    def change(folder: Path) -> None:
        weights = load_file(folder / POLICY)
        next(x for x in weights.values() if x.is_floating_point() and x.numel()).view(-1)[0] = value
        save_policy(folder, weights)

    return change


def facts(**changes: Any) -> Callable[[Path], None]:
    """Changes entries of run.json."""

    def change(folder: Path) -> None:
        known = json.loads((folder / FACTS).read_text())
        (folder / FACTS).write_text(json.dumps({**known, **changes}))

    return change


def agent(**changes: Any) -> Callable[[Path], None]:
    """Changes the agent in run.json."""

    def change(folder: Path) -> None:
        known = json.loads((folder / FACTS).read_text())
        (folder / FACTS).write_text(json.dumps({**known, "agent": {**known["agent"], **changes}}))

    return change


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "one byte of the policy": (lambda folder: flip(folder / POLICY), "damaged, or replaced"),
    "half a policy": (lambda folder: os.truncate(folder / POLICY, 300), "cannot be read"),
    "no policy": (lambda folder: (folder / POLICY).unlink(), "cannot be read"),
    "NaN": (with_value(float("nan")), "holds NaN or infinity"),
    "infinity": (with_value(float("inf")), "holds NaN or infinity"),
    "another policy": (lambda folder: (folder / POLICY).write_bytes(as_bytes({"x": torch.ones(1)})), "damaged"),
    "only a schema": (lambda folder: (folder / FACTS).write_text('{"schema": 2}'), "scenario: Field required"),
    "another schema": (facts(schema=1), "another schema"),
    "no agent": (facts(agent=None), "agent = None"),
    "a foreign kind": (agent(kind="alien"), "agent.kind = 'alien' is unknown"),
    "a kind that leads elsewhere": (agent(kind="../../x"), "is unknown"),
    "a name that leads elsewhere": (agent(name="../x"), "letters, digits"),
    "options that are none": (agent(options=3), "agent.options = 3"),
    "a width without end": (agent(options={"network": {"width": 10**9}}), "network.width = 1000000000: at most 4096"),
    "no size": (facts(obs_size="many"), "obs_size = 'many'"),
    "not JSON": (lambda folder: (folder / FACTS).write_text("{"), "missing or unreadable"),
    "JSON without end": (lambda folder: (folder / FACTS).write_text("[" * 100_000), "missing or unreadable"),
    "no text": (lambda folder: (folder / FACTS).write_bytes(b"\xff\xfe\x00"), "missing or unreadable"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_run_is_refused_in_one_line(run: Path, sim: Simulator, case: str) -> None:
    change, reason = DAMAGE[case]
    assert load_policy(run, sim).name == "ppo"
    change(run)
    with pytest.raises(ConfigError) as caught:
        load_policy(run, sim)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_policy_before_is_known_until_the_next_one_is_there(run: Path, sim: Simulator) -> None:
    before, weights = (run / POLICY).read_bytes(), load_file(run / POLICY)
    weights = {name: x + 1.0 if x.is_floating_point() else x for name, x in weights.items()}
    save_policy(run, weights)
    assert facts_of(run)[DIGESTS] == [digest(as_bytes(weights)), digest(before)]
    (run / POLICY).write_bytes(before)  # as if the process had been killed between the two files
    assert load_policy(run, sim).name == "ppo"


def test_weights_need_no_digest_where_none_was_noted(tmp_path: Path) -> None:
    save_policy(tmp_path, {"x": torch.ones(2)})
    assert torch.equal(load_weights(tmp_path / POLICY, "cpu", "test")["x"], torch.ones(2))


@pytest.fixture
def cut_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder as a process leaves it that is killed before its first checkpoint."""

    def killed(*_: Any) -> None:
        raise SystemExit(9)  # which nothing cleans up after, as after kill -9

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("greenhop_agents.learners.native.Native.train", killed)
        with pytest.raises(SystemExit):
            train(config_of(folder), ignore)
    assert (folder / FACTS).is_file()
    assert not is_learnt(folder)
    return folder


def test_the_same_command_begins_a_run_anew_that_was_cut_short(
    cut_short: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "greenhop_agents")
    train(config_of(cut_short), ignore)
    assert is_learnt(cut_short)
    assert any("begins anew" in message for message in caplog.messages)


def test_a_run_of_a_benchmark_is_evaluated_as_the_command_says(tmp_path: Path) -> None:
    """It has no evaluation of its own: a benchmark evaluates in jobs apart."""
    folder = tmp_path / "run"
    train(config_of(folder), ignore)
    kept = load_yaml(folder / CONFIG)
    del kept["evaluation"]
    (folder / CONFIG).write_text(OmegaConf.to_yaml(OmegaConf.create(kept)))
    asked = resumed(config_of(tmp_path / "other", f"resume={folder}", "evaluation.episodes=3"))
    assert asked.evaluation.episodes == 3
    assert asked.output == str(folder)


def test_resuming_begins_a_run_anew_that_was_cut_short(cut_short: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "greenhop_agents")
    train(resumed(config_of(cut_short.parent / "other", f"resume={cut_short}", "seed=5")), ignore)
    assert is_learnt(cut_short)
    assert facts_of(cut_short)["seed"] == 0
    assert any("begins anew" in message for message in caplog.messages)


def test_another_command_leaves_a_run_alone_that_was_cut_short(cut_short: Path) -> None:
    with pytest.raises(ConfigError, match="exists already"):
        train(config_of(cut_short, "seed=7"), ignore)
    assert facts_of(cut_short)["seed"] == 0


def test_a_run_that_learnt_something_is_left_alone(trained: Path) -> None:
    before = (trained / POLICY).read_bytes()
    with pytest.raises(ConfigError, match="exists already"):
        train(config_of(trained), ignore)
    assert (trained / POLICY).read_bytes() == before


@pytest.mark.skipif(os.name != "posix", reason="locks are those of POSIX")
def test_a_run_that_goes_on_elsewhere_is_not_begun_anew(cut_short: Path) -> None:
    with alone_in(cut_short), pytest.raises(ConfigError, match="another process is training there"):
        train(config_of(cut_short), ignore)
    assert (cut_short / FACTS).is_file()


def test_a_mistake_found_late_leaves_no_folder_and_no_parent(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown"):
        train(config_of(tmp_path / "a" / "b" / "run", "agent.warm_start.weights=nowhere"), ignore)
    assert not list(tmp_path.iterdir())


def test_drafts_of_killed_runs_are_swept(tmp_path: Path) -> None:
    left = tmp_path / f".run.0123{ENDING}"
    left.mkdir()
    (left / "config.yaml").write_text("half")
    os.utime(left, (1.0, 1.0))
    train(config_of(tmp_path / "run"), ignore)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


WRITER = """
import sys, torch
from pathlib import Path
from greenhop_agents.learners.checkpoint import save_checkpoint

def write(number):
    save_checkpoint(Path(sys.argv[1]), number, {"x": torch.full((50_000,), float(number))}, {})
"""


@pytest.mark.skipif(os.name != "posix", reason="forks")
def test_checkpoints_killed_at_any_moment_are_whole_and_the_last_finished_one_counts(
    tmp_path: Path, kills: int
) -> None:
    for done in kill_often(WRITER, kills, str(tmp_path)):
        if not (tmp_path / LATEST).is_file():
            assert not done
            continue
        step, state = load_checkpoint(tmp_path, {})
        assert bool((state["x"] == step).all())
        assert step >= max(done, default=0)
    step, _ = load_checkpoint(tmp_path, {})
    save_checkpoint(tmp_path, step + 1, {"x": torch.zeros(1)}, {})  # the next one that ends clears what was left
    assert len(list(tmp_path.glob("[0-9]*"))) <= 3


POLICY_WRITER = """
import sys, torch
from pathlib import Path
from greenhop_agents.learners.weights import save_policy

def write(number):
    save_policy(Path(sys.argv[1]), {"x": torch.full((50_000,), float(number))})
"""


@pytest.mark.skipif(os.name != "posix", reason="forks")
def test_policies_killed_at_any_moment_are_whole_and_known(tmp_path: Path, kills: int) -> None:
    (tmp_path / FACTS).write_text("{}")
    for _ in kill_often(POLICY_WRITER, kills, str(tmp_path)):
        known = json.loads((tmp_path / FACTS).read_text()).get(DIGESTS)
        if (tmp_path / POLICY).is_file():
            load_weights(tmp_path / POLICY, "cpu", "test", known)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_training_saves_and_says_how_it_ended(tmp_path: Path, number: int, code: int) -> None:
    long = [text for text in TINY if not text.startswith("total_steps")] + ["total_steps=100000000", "output=run"]
    command = [sys.executable, str(SCRIPTS / "train.py"), *(text.removeprefix("++") for text in long)]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        end = time.monotonic() + 120.0
        while not list((tmp_path / "run" / "tensorboard").glob("*")):
            assert time.monotonic() < end, "training does not begin"
            assert running.poll() is None, running.communicate()[1]
            time.sleep(0.1)
        time.sleep(1.0)
        running.send_signal(number)
        out, err = running.communicate(timeout=120)
    assert running.returncode == code, err
    assert "saved after" in out
    assert "Traceback" not in err
    assert is_learnt(tmp_path / "run")
