"""What the native learners have in common: one update at a time, and a state that can be kept and taken up again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from greenhop.config import describe
from greenhop.errors import ConfigError
from greenhop.simulator import Simulator
from greenhop_agents import ppo, shac
from greenhop_agents.networks import Actor, NetworkConfig, build_actor
from greenhop_agents.parallel import Team
from greenhop_agents.policy import ActionPolicy
from greenhop_agents.rollout import fleet_state, restore_fleet

Kind = Literal["shac", "ppo"]
CONFIGS: dict[str, type[shac.ShacConfig] | type[ppo.PpoConfig]] = {"shac": shac.ShacConfig, "ppo": ppo.PpoConfig}


@dataclass
class Learner:
    """A native agent on its simulator."""

    sim: Simulator
    agent: shac.Shac | ppo.Ppo

    @property
    def frames(self) -> int:
        """Environment steps of one update, all processes together."""
        c = self.agent.config
        return c.num_envs * (c.horizon or self.sim.params.steps)

    def learn_once(self, done: float) -> dict[str, Tensor]:
        """One update; `done` is the share of training behind us. Metrics stay on the device."""
        if isinstance(self.agent, ppo.Ppo):
            return ppo.learn_once(self.sim, self.agent)
        return shac.learn_once(self.sim, self.agent, done)

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
            self.agent.update = int(state["update"])
        except (KeyError, RuntimeError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"the checkpoint does not fit this agent: {' '.join(str(error).split())[:200]}") from None
        if isinstance(self.agent, ppo.Ppo):
            group = self.agent.optimiser.param_groups[0]
            self.agent.learning_rate.copy_(group["lr"])
            group["lr"] = self.agent.learning_rate
            self.agent.scale = state["scale"].to(self.agent.scale.device)

    def _modules(self) -> dict[str, nn.Module]:
        modules: dict[str, nn.Module] = {"actor": self.agent.actor, "critic": self.agent.critic}
        if isinstance(self.agent, ppo.Ppo):
            return modules
        return modules | {"averaged": self.agent.averaged, "target": self.agent.target}

    def _optimisers(self) -> dict[str, torch.optim.Optimizer]:
        if isinstance(self.agent, ppo.Ppo):
            return {"both": self.agent.optimiser}
        return {"actor": self.agent.actor_optimiser, "critic": self.agent.critic_optimiser}


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
    return ActionPolicy(name, actor.eval().requires_grad_(False).act)
