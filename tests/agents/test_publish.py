"""Published policies: small weights with a model card, found by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from greenhop.episode.simulator import build_simulator
from greenhop.errors import ConfigError
from greenhop_agents.base.cli import scenario_of
from greenhop_agents.policies.rules import PriceFollow
from greenhop_agents.scoring.evaluate import evaluate
from greenhop_agents.shelf import pretrained
from greenhop_agents.shelf.pretrained import load_pretrained, publish
from greenhop_agents.shelf.runs import load_policy
from greenhop_agents.training.train import train
from tests.agents.test_training import PPO, SMALL, config_of, ignore

COSTS = {"price_follow": [100.0, 200.0], "bound": [50.0, 100.0]}


def run_of(folder: Path, seed: int, costs: list[float] | None, overrides: list[str] = PPO) -> Path:
    """A trained run, with a final evaluation that says `costs`."""
    train(config_of(folder, [*overrides, f"seed={seed}", "evaluation.episodes=2"]), ignore)
    if costs is not None:
        rows = [{"policy": name, "cost_cny": c} for name, group in (COSTS | {"ppo": costs}).items() for c in group]
        (folder / "evaluation.json").write_text(json.dumps(rows))
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two seeds of one agent; scores 50 and 50, then 80 and 20."""
    root = tmp_path_factory.mktemp("runs")
    return [run_of(root / "a", 0, [75.0, 150.0]), run_of(root / "b", 1, [60.0, 180.0])]


def test_a_published_policy_is_loaded_by_name_and_acts_as_its_run(runs: list[Path], tmp_path: Path) -> None:
    path = publish(runs[0], "small.v1", runs[1:], tmp_path / "shelf")
    assert path == tmp_path / "shelf" / "small.v1.safetensors"
    sim = build_simulator(scenario_of(config_of(tmp_path / "run", PPO)), "test")
    carry = sim.begin(torch.arange(2))
    published = load_pretrained("pretrained/small.v1", sim, tmp_path / "shelf").decide(sim, carry)
    assert torch.equal(published.serve_mwh, load_policy(runs[0], sim).decide(sim, carry).serve_mwh)
    with pytest.raises(ConfigError, match=r"not published; allowed: pretrained/small\.v1"):
        load_pretrained("pretrained/../small.v1", sim, tmp_path / "shelf")


def test_an_sb3_agent_is_published_as_any_other(tmp_path: Path) -> None:
    sb3 = [
        "agent=sb3_ppo",
        "agent.num_envs=4",
        "agent.group_size=2",
        "agent.options.n_steps=6",
        "agent.options.batch_size=24",
    ]
    run = tmp_path / "run"
    policy = train(config_of(run, [*SMALL, *sb3, "total_steps=24", "evaluation.episodes=1"]), ignore)
    rows = [{"policy": name, "cost_cny": 1.0} for name in ("price_follow", "sb3_ppo")]
    (run / "evaluation.json").write_text(json.dumps(rows))
    publish(run, "small", folder=tmp_path / "shelf")
    sim = build_simulator(scenario_of(config_of(run, SMALL)), "test")
    carry = sim.begin(torch.arange(2))
    published = load_pretrained("pretrained/small", sim, tmp_path / "shelf").decide(sim, carry)
    assert torch.equal(published.serve_mwh, policy.decide(sim, carry).serve_mwh)


def test_a_model_card_says_what_all_seeds_reached_and_what_it_took(runs: list[Path], tmp_path: Path) -> None:
    card = json.loads(publish(runs[0], "small", runs[1:], tmp_path).with_suffix(".json").read_text())
    assert (card["scenario"], card["kind"], card["seed"]) == ("pair2", "ppo", 0)
    assert card["training"]["steps"] == 48
    assert card["training"]["wall_s"] > 0
    assert card["training"]["hardware"]
    assert {"agent", "git_commit", "packages"} <= card.keys()
    found = card["results"]
    assert (found["split"], found["episodes"]) == ("test", 2)
    assert [(r["seed"], r["score"]) for r in found["runs"]] == [(0, [50.0, 50.0]), (1, [80.0, 20.0])]
    assert found["iqm_score"]["value"] == 50.0
    assert found["iqm_score"]["low"] <= 50.0 <= found["iqm_score"]["high"]


def test_what_cannot_be_published_is_refused(runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="letters, digits"):
        publish(runs[0], "../small", folder=tmp_path / "shelf")
    with pytest.raises(ConfigError, match="no run folder"):
        publish(tmp_path, "small", folder=tmp_path / "shelf")
    with pytest.raises(ConfigError, match="no final evaluation"):
        publish(run_of(tmp_path / "bare", 0, None), "small", folder=tmp_path / "shelf")
    narrow = run_of(tmp_path / "narrow", 2, [1.0, 1.0], [*PPO, "agent.options.network.width=4"])
    with pytest.raises(ConfigError, match="another agent"):
        publish(runs[0], "small", [narrow], tmp_path / "shelf")
    monkeypatch.setattr(pretrained, "MAX_BYTES", 100)
    with pytest.raises(ConfigError, match="allowed are 100"):
        publish(runs[0], "small", folder=tmp_path / "shelf")
    assert not (tmp_path / "shelf").exists()


@pytest.mark.parametrize("name", pretrained.pretrained_names())
def test_a_shipped_policy_is_far_cheaper_than_price_following(name: str) -> None:
    sim = build_simulator(name.removeprefix(pretrained.PREFIX).split("-")[0], "val", year_ids=[0])
    starts = sim.bank.spread(2)
    policy = load_pretrained(name, sim)
    mine, rule = (sum(e.cost_cny for e in evaluate(sim, p, starts)) for p in (policy, PriceFollow()))
    assert mine < 0.97 * rule
