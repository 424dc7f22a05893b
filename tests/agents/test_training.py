"""Run folders: what training leaves behind, Ctrl-C, resuming, and loading policies again."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from greenhop.episode.budgets import Budgets
from greenhop.episode.simulator import build_simulator
from greenhop.errors import ConfigError
from greenhop.scenario.find import config_dir
from greenhop_agents.base.cli import scenario_of
from greenhop_agents.learners.algorithms.ppo import Ppo
from greenhop_agents.scoring.evaluate import evaluate
from greenhop_agents.shelf.find import find_policy
from greenhop_agents.shelf.runs import load_policy
from greenhop_agents.training.train import resumed, train

SMALL = [
    "scenario=pair2",
    "++scenario.episode.length_h=6",
    *(f"++scenario.years.{split}=1" for split in ("train", "val", "test")),
    "validation.episodes=2",
    "validation.every=0.5",
    "device=cpu",
]
NATIVE = ["agent.options.num_envs=4", "agent.options.network.width=8", "agent.options.network.layers=1"]
PPO = [*SMALL, "agent=ppo", *NATIVE, "agent.options.group_size=2", "agent.options.horizon=3", "total_steps=48"]
SHAC = [*SMALL, "agent=shac", *NATIVE, "agent.options.horizon=3", "++agent.options.critic_warmup=1", "total_steps=48"]


def config_of(output: Path, overrides: list[str]) -> DictConfig:
    """The training configuration as the script would compose it."""
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose("train", [*overrides, f"output={output}"])


def ignore(done: int, total: int, note: str = "") -> None:
    """No progress bar."""


def test_budgets_of_ppo_are_set_on_the_command_line(tmp_path: Path) -> None:
    set_here = ["agent=ppo", "agent.options.constraints.carbon_kg=2.2e6", "agent.options.multiplier_rate=0.2"]
    agent: Any = OmegaConf.to_container(config_of(tmp_path / "run", set_here).agent, resolve=True)
    options = Ppo.options_of(agent)
    assert options.constraints == Budgets(carbon_kg=2.2e6)
    assert options.multiplier_rate == 0.2


@pytest.mark.parametrize("overrides", [PPO, SHAC], ids=["ppo", "shac"])
def test_a_run_stopped_by_ctrl_c_goes_on_to_the_same_end(overrides: list[str], tmp_path: Path) -> None:
    train(config_of(tmp_path / "whole", overrides), ignore)

    def interrupt(done: int, total: int, note: str = "") -> None:
        if done == total // 2:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="resume="):
        train(config_of(tmp_path / "cut", overrides), interrupt)
    assert signal.getsignal(signal.SIGINT) is before
    nothing = config_of(tmp_path / "other", [*overrides, f"resume={tmp_path / 'cut'}"])
    train(resumed(nothing), ignore)
    last = [tmp_path / name / "checkpoints" / "000000048" / "tensors.safetensors" for name in ("whole", "cut")]
    a, b = (load_file(path) for path in last)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_folder_holds_what_is_needed_to_repeat_it(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    policy = train(config_of(folder, PPO), ignore)
    names = {p.name for p in folder.iterdir()}
    written = {"config.yaml", "run.json", "training.json", "tensorboard", "policy.safetensors", "checkpoints"}
    assert names == written
    assert json.loads((folder / "training.json").read_text())["steps"] == 48
    facts = json.loads((folder / "run.json").read_text())
    assert facts["agent"]["kind"] == "ppo"
    assert {"git_commit", "packages", "seed"} <= facts.keys()
    sim = build_simulator(scenario_of(config_of(folder, PPO)), "test")
    carry = sim.begin(torch.arange(3))
    again = load_policy(folder, sim).decide(sim, carry)
    assert torch.equal(again.serve_mwh, policy.decide(sim, carry).serve_mwh)


def test_a_region_policy_runs_on_another_graph_and_a_flat_one_is_refused(tmp_path: Path) -> None:
    on_tri3 = ["scenario=tri3", *PPO[1:]]
    train(config_of(tmp_path / "region", [*on_tri3, "agent.options.network.kind=region"]), ignore)
    train(config_of(tmp_path / "flat", [*on_tri3, "agent.options.network.kind=mlp"]), ignore)
    other = build_simulator("hub10", "train", overrides=["episode.length_h=6"], year_ids=[0])
    assert load_policy(tmp_path / "region", other).decide(other, other.begin(torch.arange(2))).serve_mwh.shape[1] == 10
    with pytest.raises(ConfigError, match="obs_size"):
        load_policy(tmp_path / "flat", other)


ON_POLICY = ["agent.options.n_steps=6", "agent.options.batch_size=24"]
OFF_POLICY = ["agent.options.learning_starts=8", "agent.options.gradient_steps=1", "agent.options.batch_size=8"]
SB3 = {"ppo": ON_POLICY, "recurrent_ppo": ON_POLICY, "sac": OFF_POLICY, "td3": OFF_POLICY, "tqc": OFF_POLICY}


@pytest.mark.parametrize("algorithm", SB3)
def test_an_sb3_agent_keeps_its_best_policy_weights_on_the_way_and_curves(algorithm: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    own = [
        f"agent=sb3_{algorithm}",
        "agent.num_envs=4",
        "agent.group_size=2",
        "total_steps=48",
        "validation.bound=true",
        *SB3[algorithm],
    ]
    notes: list[str] = []
    config = config_of(folder, [*SMALL, *own])
    policy = train(config, lambda _, __, note="": notes.append(note))
    assert policy.name == f"sb3_{algorithm}"
    assert notes[-1].startswith("score ")
    assert (folder / "policy.safetensors").is_file()
    curves = EventAccumulator(str(folder / "tensorboard"))
    curves.Reload()
    tags = set(curves.Tags()["scalars"])
    assert {"env/grid_energy_cny", "env/carbon_kg", "rollout/ep_rew_mean"} <= tags
    assert [e.step for e in curves.Scalars("eval/score")] == [0, 24, 48]
    sim = build_simulator(scenario_of(config), "test")
    kept = sorted((folder / "checkpoints").iterdir())
    assert kept[-1].name == "000000048.safetensors"
    assert np.isfinite(evaluate(sim, find_policy(str(kept[0]), sim), [0])[0].cost_cny)
    config = config_of(folder, [*SMALL, *own, f"resume={folder}"])
    with pytest.raises(ConfigError, match="cannot be continued"):
        resumed(config)


def test_a_policy_with_memory_is_not_cloned(tmp_path: Path) -> None:
    own = ["agent=sb3_recurrent_ppo", "agent.num_envs=4", "agent.group_size=2", "total_steps=48", *ON_POLICY]
    with pytest.raises(ConfigError, match="remembers earlier steps"):
        train(config_of(tmp_path / "run", [*SMALL, *own, "agent.warm_start.teacher=stay"]), ignore)
    assert not (tmp_path / "run").exists()


def test_weights_outside_a_run_folder_are_refused(tmp_path: Path) -> None:
    sim = build_simulator(scenario_of(config_of(tmp_path, PPO)), "test")
    with pytest.raises(ConfigError, match="no run folder"):
        find_policy(str(tmp_path / "other" / "x.safetensors"), sim)


@pytest.mark.parametrize(("overrides", "message"), [(["agent.options.horizon=0"], "horizon"), (["seed=1"], "another")])
def test_impossible_settings_are_refused(overrides: list[str], message: str, tmp_path: Path) -> None:
    if message == "another":
        train(config_of(tmp_path / "run", PPO), ignore)
        config: Any = config_of(tmp_path / "run", [*PPO, *overrides])
        OmegaConf.update(config, "resume", str(tmp_path / "run"))
    else:
        config = config_of(tmp_path / "run", [*PPO, *overrides])
    with pytest.raises(ConfigError, match=message):
        train(config, ignore)


def test_resuming_what_is_no_run_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no run folder"):
        resumed(config_of(tmp_path / "run", [*PPO, f"resume={tmp_path}"]))
