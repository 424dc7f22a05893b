"""What PPO and SHAC have in common: actor, critic, a fleet of running episodes, an update that may be captured."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Generator, Tensor, nn

from greenhop.engines.cuda_graph import Captured, aside
from greenhop.engines.differentiable import Step
from greenhop.episode.simulator import Simulator
from greenhop.errors import ConfigError
from greenhop_agents.learners.native import Native
from greenhop_agents.learners.networks import Actor
from greenhop_agents.learners.rollout import Fleet, fleet_state, restore_fleet, tensors_of
from greenhop_agents.policies.policy import ActionPolicy

Tuned = tuple[torch.optim.Optimizer, Tensor]  # an optimiser, and the learning rate that it follows


@dataclass(kw_only=True)
class ActorCritic(Native):
    """Everything that training changes."""

    sim: Simulator
    name: str
    config: Any  # of the algorithm: its Options
    actor: Actor
    critic: nn.Module
    fleet: Fleet
    step: Step
    generator: Generator
    reference: Tensor  # [E, T] what price following earns, see baseline.py
    update: int = 0
    captured: CapturedUpdate | None = None  # on a GPU, once the first updates have been made

    @abstractmethod
    def once(self) -> dict[str, Tensor]:
        """One rollout and its update; nothing asks the device for a value."""

    @abstractmethod
    def modules(self) -> dict[str, nn.Module]:
        """Networks that training changes."""

    @abstractmethod
    def optimisers(self) -> dict[str, Tuned]:
        """What changes them."""

    def extras(self) -> dict[str, Tensor]:
        """Further tensors that training changes in place."""
        return {}

    def schedule(self, done: float) -> None:
        """Set rates and noise for the next update; `done` is the share of training behind us."""

    @property
    def horizon(self) -> int:
        """Steps of a window."""
        return int(self.config.horizon or self.sim.params.steps)

    @property
    def warmup(self) -> int:
        """Updates before the actor follows the critic."""
        return int(self.config.critic_warmup)

    @property
    def kept(self) -> Actor:
        """The actor that is validated and kept."""
        return self.actor

    @property
    def frames(self) -> int:
        """Environment steps of one update."""
        return int(self.config.num_envs * self.horizon)

    def policy(self) -> ActionPolicy:
        """The mean of the actor, squashed."""
        return ActionPolicy(self.name, self.kept.act, self.kept)

    def weights(self) -> dict[str, Tensor]:
        """Of the actor that is kept."""
        return self.kept.state_dict()

    def parameters(self) -> Iterable[nn.Parameter]:
        """Of the actor that learns."""
        return self.actor.parameters()

    def learn_once(self, done: float) -> dict[str, Tensor]:
        """One update, on a GPU and with `graph` as one CUDA graph."""
        self.schedule(done)
        if not self.config.graph:
            return self.once()
        if self.captured is None and self.update > self.warmup:
            self.captured = CapturedUpdate(self)
        if self.captured is not None:
            return self.captured()
        with aside():
            return self.once()

    def state(self) -> dict[str, Any]:
        """Weights, optimisers, random generator, running episodes and counters."""
        return {
            "modules": {name: dict(m.state_dict()) for name, m in self.modules().items()},
            "optimisers": {name: optimiser.state_dict() for name, (optimiser, _) in self.optimisers().items()},
            "extras": self.extras(),
            "generator": self.generator.get_state(),
            "fleet": fleet_state(self.fleet),
            "update": self.update,
        }

    def take_up(self, state: Mapping[str, Any]) -> None:
        """Optimisers follow their rates again, from the ones that they were restored with."""
        for name, module in self.modules().items():
            module.load_state_dict(state["modules"][name])
        for name, (optimiser, rate) in self.optimisers().items():
            optimiser.load_state_dict(state["optimisers"][name])
            (group,) = optimiser.param_groups
            rate.copy_(torch.as_tensor(group["lr"]))
            group["lr"] = rate
        for name, x in self.extras().items():
            x.copy_(state["extras"][name])
        self.generator.set_state(state["generator"].cpu())
        self.fleet = restore_fleet(self.sim, state["fleet"])
        self.update, self.captured = int(state["update"]), None


class CapturedUpdate:
    """An update of an agent as one CUDA graph: nothing is launched from Python but its replay.

    Its fleet stays where it is. Episodes end with a window, so that all windows are alike.
    """

    def __init__(self, agent: ActorCritic) -> None:
        self.agent, self.fleet = agent, agent.fleet
        before = agent.update
        self._replay = Captured(self._once, [agent.generator])
        agent.update, agent.fleet = before, self.fleet

    def _once(self) -> dict[str, Tensor]:
        metrics = self.agent.once()
        for ours, new in zip(tensors_of(self.fleet), tensors_of(self.agent.fleet), strict=True):
            ours.copy_(new)
        return metrics

    def __call__(self) -> dict[str, Tensor]:
        """One update; its metrics are overwritten by the next."""
        metrics, steps = self._replay(), self.agent.sim.params.steps
        self.fleet = self.agent.fleet = replace(self.fleet, t=(self.fleet.t + self.agent.horizon) % steps)
        self.agent.update += 1
        return metrics


def check_graph(sim: Simulator, config: Any) -> None:
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
