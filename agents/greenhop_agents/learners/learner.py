"""What the native learners have in common: one update at a time, and a state that can be kept and taken up again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from greenhop.engines.cuda_graph import Captured, aside
from greenhop.episode.simulator import Simulator
from greenhop.errors import ConfigError
from greenhop.scenario.config import describe
from greenhop_agents.learners import ppo, shac
from greenhop_agents.learners.networks import Actor, NetworkConfig, build_actor
from greenhop_agents.learners.parallel import Team
from greenhop_agents.learners.rollout import fleet_state, restore_fleet, tensors_of
from greenhop_agents.policies.policy import ActionPolicy

Kind = Literal["shac", "ppo"]
CONFIGS: dict[str, type[shac.ShacConfig] | type[ppo.PpoConfig]] = {"shac": shac.ShacConfig, "ppo": ppo.PpoConfig}


@dataclass
class Learner:
    """A native agent on its simulator."""

    sim: Simulator
    agent: shac.Shac | ppo.Ppo
    captured: CapturedUpdate | None = None  # on a GPU, once the first updates have been made

    @property
    def frames(self) -> int:
        """Environment steps of one update, all processes together."""
        c = self.agent.config
        return c.num_envs * (c.horizon or self.sim.params.steps)

    def learn_once(self, done: float) -> dict[str, Tensor]:
        """One update; `done` is the share of training behind us. Metrics stay on the device."""
        if isinstance(self.agent, shac.Shac):
            shac.schedule(self.agent, done)
        c = self.agent.config
        if not c.graph:
            return learn(self.sim, self.agent)
        if self.captured is None and self.agent.update > (c.critic_warmup if c.horizon else 0):
            self.captured = CapturedUpdate(self.sim, self.agent)
        if self.captured is not None:
            return self.captured()
        with aside():
            return learn(self.sim, self.agent)

    @property
    def actor(self) -> Actor:
        """The network that is the policy as it is now."""
        return self.agent.actor if isinstance(self.agent, ppo.Ppo) else self.agent.averaged

    def begin_average(self) -> None:
        """Let the averaged weights begin where the actor stands."""
        if isinstance(self.agent, shac.Shac):
            self.agent.averaged.load_state_dict(self.agent.actor.state_dict())

    def policy(self, name: str) -> ActionPolicy:
        """The deterministic policy as it is now."""
        return ActionPolicy(name, self.actor.act)

    def state(self) -> dict[str, Any]:
        """Weights, optimisers, random generator, running episodes and counters, for a checkpoint."""
        return {
            "modules": {name: dict(m.state_dict()) for name, m in self._modules().items()},
            "optimisers": {name: o.state_dict() for name, o in self._optimisers().items()},
            "generator": self.agent.generator.get_state(),
            "fleet": fleet_state(self.agent.fleet),
            "update": self.agent.update,
            "scale": self.agent.scale if isinstance(self.agent, ppo.Ppo) else None,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` described: the next update is bitwise what it would have been.

        Raises:
            ConfigError: the state belongs to another agent or scenario.
        """
        try:
            for name, module in self._modules().items():
                module.load_state_dict(state["modules"][name])
            for name, optimiser in self._optimisers().items():
                optimiser.load_state_dict(state["optimisers"][name])
            self.agent.generator.set_state(state["generator"].cpu())
            self.agent.fleet = restore_fleet(self.sim, state["fleet"])
            self.agent.update, self.captured = int(state["update"]), None
        except (KeyError, RuntimeError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"the checkpoint does not fit this agent: {' '.join(str(error).split())[:200]}") from None
        if isinstance(self.agent, ppo.Ppo):
            self.agent.scale.copy_(state["scale"])
            _tie(self.agent.optimiser, self.agent.learning_rate)
        else:
            _tie(self.agent.actor_optimiser, self.agent.actor_rate)
            _tie(self.agent.critic_optimiser, self.agent.critic_rate)

    def _modules(self) -> dict[str, nn.Module]:
        modules: dict[str, nn.Module] = {"actor": self.agent.actor, "critic": self.agent.critic}
        if isinstance(self.agent, ppo.Ppo):
            return modules
        return modules | {"averaged": self.agent.averaged, "target": self.agent.target}

    def _optimisers(self) -> dict[str, torch.optim.Optimizer]:
        if isinstance(self.agent, ppo.Ppo):
            return {"both": self.agent.optimiser}
        return {"actor": self.agent.actor_optimiser, "critic": self.agent.critic_optimiser}


def _tie(optimiser: torch.optim.Optimizer, rate: Tensor) -> None:
    """Let the optimiser follow `rate` again, from the learning rate that it was restored with."""
    (group,) = optimiser.param_groups
    rate.copy_(torch.as_tensor(group["lr"]))
    group["lr"] = rate


def learn(sim: Simulator, agent: shac.Shac | ppo.Ppo) -> dict[str, Tensor]:
    """One rollout and its update."""
    return ppo.learn_once(sim, agent) if isinstance(agent, ppo.Ppo) else shac.learn_once(sim, agent)


class CapturedUpdate:
    """An update of an agent as one CUDA graph: nothing is launched from Python but its replay.

    Its fleet stays where it is. Episodes end with a window, so that all windows are alike.
    """

    def __init__(self, sim: Simulator, agent: shac.Shac | ppo.Ppo) -> None:
        self.agent, self.fleet, self.steps = agent, agent.fleet, sim.params.steps
        self.horizon = agent.config.horizon or self.steps
        before = agent.update
        self._replay = Captured(lambda: self._once(sim), [agent.generator])
        agent.update, agent.fleet = before, self.fleet

    def _once(self, sim: Simulator) -> dict[str, Tensor]:
        metrics = learn(sim, self.agent)
        for ours, new in zip(tensors_of(self.fleet), tensors_of(self.agent.fleet), strict=True):
            ours.copy_(new)
        return metrics

    def __call__(self) -> dict[str, Tensor]:
        """One update; its metrics are overwritten by the next."""
        metrics = self._replay()
        self.fleet = self.agent.fleet = replace(self.fleet, t=(self.fleet.t + self.horizon) % self.steps)
        self.agent.update += 1
        return metrics


def check_graph(sim: Simulator, config: shac.ShacConfig | ppo.PpoConfig, team: Team) -> None:
    """Refuse `graph` where updates are not alike, or there is no GPU.

    Raises:
        ConfigError: what stands in the way.
    """
    steps, horizon = sim.params.steps, config.horizon or sim.params.steps
    if sim.params.device.type != "cuda":
        raise ConfigError(f"agent.options.graph = true needs device=cuda, not {sim.params.device.type}")
    if steps % horizon or config.num_envs * horizon < steps:
        raise ConfigError(
            f"agent.options.graph = true needs a horizon that divides the {steps} steps of an episode and at least "
            f"steps / horizon environments, not horizon = {horizon} and num_envs = {config.num_envs}"
        )
    if team.size > 1:
        raise ConfigError("agent.options.graph = true trains in one process; start it without torchrun")


def parse_options(kind: str, options: Mapping[str, Any]) -> shac.ShacConfig | ppo.PpoConfig:
    """Check the `options` block of a native agent's configuration.

    Raises:
        ConfigError: unknown key or impossible value.
    """
    try:
        return CONFIGS[kind].model_validate(dict(options))
    except ValidationError as error:
        raise ConfigError(describe(error, f"agent.options of {kind}")) from None


def build_learner(
    sim: Simulator,
    kind: str,
    options: Mapping[str, Any],
    seed: int,
    team: Team = Team(),  # noqa: B008 (frozen)
    reference: Tensor | None = None,
) -> Learner:
    """A native agent at the start of its training."""
    config = parse_options(kind, options)
    if config.graph:
        check_graph(sim, config, team)
    if isinstance(config, ppo.PpoConfig):
        return Learner(sim, ppo.build_ppo(sim, config, seed, team, reference))
    if team.size > 1:
        raise ConfigError("agent=shac trains in one process; start it without torchrun")
    return Learner(sim, shac.build_shac(sim, config, seed, reference))


def load_native(name: str, network: NetworkConfig, weights: Mapping[str, Tensor], sim: Simulator) -> ActionPolicy:
    """The policy of a native agent from its weights.

    Raises:
        ConfigError: the weights do not fit the scenario.
    """
    actor = build_actor(sim, network)
    try:
        actor.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise ConfigError(
            f"{name}: the weights do not fit {sim.scenario.name}: {' '.join(str(error).split())[:200]}"
        ) from None
    return ActionPolicy(name, actor.eval().requires_grad_(False).act, actor)
