"""A new algorithm is one file and one YAML file; every algorithm logs what its environments did, by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from greenhop.episode.simulator import build_simulator
from greenhop.errors import ConfigError
from greenhop.physics.rewards import REPORTED
from greenhop.scenario.find import config_dir
from greenhop_agents.base.cli import scenario_of
from greenhop_agents.learners import algorithms
from greenhop_agents.learners.algorithms import algorithm_names, find_algorithm
from greenhop_agents.policies.rules import PriceFollow
from greenhop_agents.scoring.evaluate import evaluate
from greenhop_agents.shelf.find import find_policy
from greenhop_agents.training.train import train
from tests.agents.test_training import ON_POLICY, SMALL, config_of, ignore
from tests.agents.toy import Toy, toy_learner, toy_score

HILL_CLIMBING = '''
"""Random steps of a constant action; one that costs less is kept."""

from dataclasses import dataclass

import torch

from greenhop_agents.learners.algorithm import Algorithm
from greenhop_agents.learners.parallel import Team
from greenhop_agents.policies.policy import ActionPolicy
from greenhop_agents.scoring.evaluate import mean_cost


def constant(name, action):
    return ActionPolicy(name, lambda obs: action.expand(len(obs), -1))


@dataclass
class HillClimbing(Algorithm):
    name: str
    sim: object
    action: torch.nn.Parameter
    generator: torch.Generator

    @classmethod
    def build(cls, sim, agent, seed, team=Team()):
        action = torch.nn.Parameter(torch.zeros(sim.action_size))
        return cls(agent["name"], sim, action, torch.Generator().manual_seed(seed))

    @classmethod
    def load(cls, agent, weights, sim):
        return constant(agent["name"], weights["action"])

    def policy(self):
        return constant(self.name, self.action.detach())

    def weights(self):
        return {"action": self.action.detach()}

    def parameters(self):
        return [self.action]

    def train(self, run):
        starts, best = [3, 90, 200], None
        while run.steps < run.total_steps:
            step = 0.2 * torch.randn(self.action.shape, generator=self.generator) if best else 0.0
            cost = mean_cost(self.sim, constant("tried", (self.action + step).detach()), starts)
            if best is None or cost < best:
                self.action.data, best = (self.action + step).detach(), cost
            run.steps += len(starts) * self.sim.params.steps
        if run.validation:
            run.validation.measure(self.policy(), self.weights)
        return True
'''
PRESET = "name: climber\nkind: hill_climbing\ntotal_steps: 720\noptions: {}\n"


def test_a_third_learner_is_one_file_and_one_yaml_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hill_climbing.py").write_text(HILL_CLIMBING)
    (tmp_path / "climber.yaml").write_text(PRESET)
    monkeypatch.setattr(algorithms, "__path__", [*algorithms.__path__, str(tmp_path)])
    assert "hill_climbing" in algorithm_names()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        config = compose("train", [*SMALL, f"output={tmp_path / 'run'}"])
    config.agent = OmegaConf.load(tmp_path / "climber.yaml")
    config.total_steps = config.agent.total_steps
    trained = train(config, ignore)
    sim = build_simulator(scenario_of(config), "test")
    ours, again, rule = (
        evaluate(sim, p, [5, 100]) for p in (trained, find_policy(str(tmp_path / "run"), sim), PriceFollow())
    )
    assert [e.totals for e in ours] == [e.totals for e in again]
    assert [e.totals for e in ours] != [e.totals for e in rule]


def test_an_unknown_algorithm_is_told_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"'dqn' is unknown; allowed: es, planner, ppo, sb3, shac"):
        find_algorithm("dqn")


ONE_UPDATE = {
    "ppo": [
        "agent.options.num_envs=4",
        "agent.options.group_size=2",
        "agent.options.horizon=6",
        "agent.options.network.width=8",
    ],
    "shac": ["agent.options.num_envs=4", "agent.options.network.width=8"],
    "linear_es": ["agent.options.population=2", "agent.options.episodes=2"],
    "sb3_ppo": ["agent.num_envs=4", "agent.group_size=2", *ON_POLICY],
}
STILL = {  # settings under which the first update still follows prices, or nearly
    "ppo": ["agent.options.network.log_std=-20"],
    "shac": ["agent.options.network.log_std=-20"],
    "linear_es": ["agent.options.std=1e-6"],
    "sb3_ppo": ["agent.options.policy_kwargs.log_std_init=-20"],
}


def curves_of(config: DictConfig) -> dict[str, float]:
    """First values of all scalars of a run."""
    train(config, ignore)
    found = EventAccumulator(str(Path(config.output) / "tensorboard"))
    found.Reload()
    return {tag: found.Scalars(tag)[0].value for tag in found.Tags()["scalars"]}


@pytest.mark.parametrize("agent", ONE_UPDATE)
def test_curves_tell_each_cost_term_and_quantity_of_an_episode_under_its_own_name(agent: str, tmp_path: Path) -> None:
    config = config_of(
        tmp_path / "run", [*SMALL, f"agent={agent}", "total_steps=24", *ONE_UPDATE[agent], *STILL[agent]]
    )
    told = curves_of(config)
    assert {f"env/{name}" for name in REPORTED} == {tag for tag in told if tag.startswith("env/")}
    sim = build_simulator(scenario_of(config), "train")
    p, rule = sim.params, evaluate(sim, PriceFollow(), list(range(0, sim.bank.n_starts, 5)))
    for name in ("served_mwh", "facility_mwh"):  # of a few episodes, beside all of them
        assert told[f"env/{name}"] == pytest.approx(np.mean([e.totals[name] for e in rule]), rel=0.4)
    for term, quantity, price in (
        ("carbon_cny", "carbon_kg", p.carbon_price_cny_per_kg),
        ("network_cny", "data_gb", p.link_price_cny_per_gb),
        ("ppa_cny", "ppa_mwh", p.ppa_price_cny_per_mwh),
        ("unserved_cny", "unserved_mwh", torch.tensor([p.lost_load_cny_per_mwh])),
    ):
        low, high = (float(x) * told[f"env/{quantity}"] for x in (price.min(), price.max()))
        assert low * (1 - 1e-3) <= told[f"env/{term}"] <= high * (1 + 1e-3), term
    assert told["env/grid_energy_cny"] / told["env/grid_mwh"] == pytest.approx(
        np.mean([e.totals["grid_energy_cny"] / e.totals["grid_mwh"] for e in rule]), rel=0.4
    )


@pytest.mark.parametrize("network", [{"kind": "mlp", "layers": 0}, {"kind": "mlp", "layers": 1, "width": 8}])
def test_an_evolution_strategy_nearly_reaches_the_riccati_optimum(network: dict[str, object]) -> None:
    toy = Toy()
    options = {"population": 64, "episodes": 8, "std": 0.1, "learning_rate": 0.1, "network": network}
    learner = toy_learner("es", options, toy=toy)
    generations = 80
    for i in range(generations):
        learner.learn_once(i / generations)
    assert toy_score(toy, learner.actor.act) > 90.0


def test_a_constant_action_sees_nothing_and_a_pair_of_members_is_opposite() -> None:
    learner = toy_learner("es", {"population": 6, "network": {"kind": "constant"}})
    first = learner._draw(learner.actor.mean.bid.shape)
    assert (first[:3] == -first[3:]).all()
    obs = Toy().first.new_tensor([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
    learner.learn_once(0.0)
    action = learner.actor.act(obs)
    assert (action[0] == action[1]).all()
    assert action.abs().max() > 0.0


def test_an_odd_population_is_refused() -> None:
    with pytest.raises(ConfigError, match="must be even"):
        toy_learner("es", {"population": 5})
