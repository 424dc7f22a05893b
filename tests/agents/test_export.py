"""Exported policies decide as the policies do, whoever trained them, and say what goes in and out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

from greenhop.episode.simulator import Simulator
from greenhop.errors import ConfigError
from greenhop_agents.base.overrides import choices
from greenhop_agents.benchmark.plan import agent_config
from greenhop_agents.learners.algorithms import find_algorithm
from greenhop_agents.policies.mpc import Mpc
from greenhop_agents.policies.policy import Acting, Policy
from greenhop_agents.policies.rules import PriceFollow
from greenhop_agents.shelf import export as exporting
from greenhop_agents.shelf.export import TOLERANCE, export
from greenhop_agents.shelf.pretrained import load_pretrained

AGENTS = [name for name in choices("agent") if name not in ("common", "planner")]  # which plans: no network
STEPS, BATCH = 5, 7  # another batch than the one that was exported with


def policy_of(name: str, sim: Simulator) -> Acting:
    """An agent before its training, its weights shaken so that what it does depends on what it sees."""
    config = agent_config(name)
    assert config is not None
    agent = dict(config["agent"])
    for settings in (agent, agent["options"]):  # where an agent says how many environments it runs
        settings.update({key: 2 for key in ("num_envs", "group_size", "batch_size") if key in settings})
    algorithm = find_algorithm(agent["kind"]).build(sim, agent, seed=0)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in algorithm.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    policy = algorithm.policy()
    assert isinstance(policy, Acting)
    return policy


def actions_of(path: Path, observations: list[Tensor]) -> list[np.ndarray]:
    """What the file decides, by onnxruntime or TorchScript alone; its memory goes round."""
    card = json.loads(path.with_suffix(".json").read_text())
    run: Callable[[list[np.ndarray]], list[np.ndarray]]
    if path.suffix == ".onnx":
        session = onnxruntime.InferenceSession(path.read_bytes())
        shapes = [given.shape for given in session.get_inputs()]
        assert [given.name for given in session.get_inputs()] == card["inputs"]
        assert [given.name for given in session.get_outputs()] == card["outputs"]
        memory = [np.zeros((layers, BATCH, width), np.float32) for layers, _, width in shapes[1:]]

        def run(given: list[np.ndarray]) -> list[np.ndarray]:
            return list(session.run(None, dict(zip(card["inputs"], given, strict=True))))
    else:
        module = torch.jit.load(path)  # type: ignore[no-untyped-call]
        memory = [np.zeros((1, BATCH, 64), np.float32)] * (len(card["inputs"]) - 1)

        def run(given: list[np.ndarray]) -> list[np.ndarray]:
            found = module(*map(torch.from_numpy, given))
            return [x.detach().numpy() for x in (found if isinstance(found, tuple) else (found,))]

    decided = []
    for obs in observations:
        action, *memory = run([obs.numpy(), *memory])
        decided.append(action)
    return decided


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch deprecates TorchScript, whose files still load
@pytest.mark.parametrize("form", ["onnx", "torchscript"])
@pytest.mark.parametrize("name", AGENTS)
def test_the_file_of_every_agent_decides_as_its_policy(name: str, form: str, moment: Simulator, tmp_path: Path) -> None:
    policy, path = policy_of(name, moment), tmp_path / f"policy{exporting.SUFFIXES[form]}"
    told = export(policy, moment, path, form)
    assert told["largest_difference"] <= TOLERANCE
    generator = torch.Generator().manual_seed(0)
    observations = [torch.randn(BATCH, moment.obs_size, generator=generator) for _ in range(STEPS)]
    policy.reset(moment)
    with torch.no_grad():
        wanted = [policy.act(obs).numpy() for obs in observations]
    assert name == "constant_es" or np.ptp(wanted[0], axis=0).max() > 1e-3
    for ours, theirs in zip(actions_of(path, observations), wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)


def test_the_card_says_where_every_number_of_an_observation_and_action_stands(day: Simulator, tmp_path: Path) -> None:
    policy = load_pretrained("pretrained/pair2-shac", day)
    export(policy, day, tmp_path / "pair2.onnx", "onnx")
    card = json.loads((tmp_path / "pair2.json").read_text())
    assert (card["scenario"], card["observation"]["shape"][1]) == ("pair2", day.obs_size)
    obs = day.observe(day.begin(torch.tensor([0, 3])))
    for block in card["observation"]["blocks"]:
        width = int(np.prod(block["shape"]))
        cut = obs[:, block["first"] : block["first"] + width].reshape(-1, *block["shape"])
        assert torch.equal(cut, day.observer.split(obs)[block["name"]])
        assert block["what"]
        assert block["in_units_of"]
    last = card["action"]["blocks"][-1]
    assert last["first"] + int(np.prod(last["shape"])) == day.action_size
    features = card["observation"]["features_of_a_region"]
    assert [f["name"] for f in features] == list(day.observer.region_parts)


@pytest.mark.parametrize("policy", [PriceFollow(), Mpc("planner")], ids=lambda policy: policy.name)
def test_what_is_no_network_is_not_exported(policy: Policy, moment: Simulator, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"{policy.name}.*cannot be exported"):
        export(policy, moment, tmp_path / "x.onnx", "onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_would_decide_differently_is_not_written(
    moment: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shifted(data: bytes) -> Any:
        run = original(data)
        return lambda *given: [x + 1e-3 for x in run(*given)]

    original = exporting.RUNNERS["onnx"]
    monkeypatch.setitem(exporting.RUNNERS, "onnx", shifted)
    with pytest.raises(ConfigError, match="decides differently"):
        export(policy_of("constant_es", moment), moment, tmp_path / "x.onnx", "onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("form", "name", "words"),
    [("onnx", "x.pt", ".onnx"), ("torch", "x.pt", "onnx, torchscript"), ("onnx", "no/x.onnx", "does not exist")],
)
def test_a_format_or_a_place_that_cannot_be_is_refused(form: str, name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        exporting.check(tmp_path / name, form)
