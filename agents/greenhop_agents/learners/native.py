"""Algorithms of our own: one update at a time, and a state that can be kept and taken up again."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from time import perf_counter
from typing import Any, ClassVar

import torch
from pydantic import ValidationError
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from greenhop.episode.simulator import Simulator
from greenhop.errors import ConfigError, one_line
from greenhop.physics.rewards import REPORTED
from greenhop.physics.state import COST_TERMS
from greenhop.scenario.config import describe
from greenhop.scenario.limits import Limited
from greenhop_agents.learners.algorithm import Agent, Algorithm, Run
from greenhop_agents.learners.checkpoint import load_checkpoint, save_checkpoint
from greenhop_agents.learners.interrupt import stop_on_interrupt
from greenhop_agents.learners.networks import NetworkConfig, build_actor
from greenhop_agents.policies.policy import ActionPolicy, Policy

CHECKPOINTS = 50  # of a training run


class NativeOptions(Limited):
    """What the options of every native algorithm hold."""

    network: NetworkConfig
    """Shape of the networks."""


class Native(Algorithm):
    """An algorithm whose training is a loop of updates, and whose policy is an actor of networks.py."""

    resumable = True
    Options: ClassVar[type[Limited]]
    sim: Simulator

    @property
    @abstractmethod
    def frames(self) -> int:
        """Environment steps of one update, all processes together."""

    @abstractmethod
    def learn_once(self, done: float) -> dict[str, Tensor]:
        """One update; `done` is the share of training behind us. Metrics are scalars and stay on the device."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """All that training changes, for a checkpoint."""

    @abstractmethod
    def take_up(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` described: the next update is bitwise what it would have been."""

    @classmethod
    def options_of(cls, agent: Agent) -> Any:
        """The checked `options` of an agent, an instance of `Options`.

        Raises:
            ConfigError: unknown key or impossible value.
        """
        try:
            return cls.Options.model_validate(dict(agent.get("options", {})))
        except ValidationError as error:
            raise ConfigError(describe(error, f"agent.options of {agent['kind']}")) from None

    @classmethod
    def check(cls, agent: Agent) -> None:
        """Its options."""
        cls.options_of(agent)

    @classmethod
    def load(cls, agent: Agent, weights: Mapping[str, Tensor], sim: Simulator) -> Policy:
        """The actor with these weights."""
        actor = build_actor(sim, cls.options_of(agent).network)
        try:
            actor.load_state_dict(dict(weights))
        except RuntimeError as error:
            raise ConfigError(
                f"{agent['name']}: the weights do not fit {sim.scenario.name}: {one_line(error)[:200]}"
            ) from None
        return ActionPolicy(agent["name"], actor.eval().requires_grad_(False).act, actor)

    @classmethod
    def fits_any_graph(cls, agent: Agent) -> bool:
        """Networks that share one encoder between all regions do."""
        return bool(cls.options_of(agent).network.kind == "region")

    def restore(self, state: Mapping[str, Any]) -> None:
        """`take_up`, with a mistake told.

        Raises:
            ConfigError: the state belongs to another agent or scenario.
        """
        try:
            self.take_up(state)
        except (KeyError, RuntimeError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"the checkpoint does not fit this agent: {one_line(error)[:200]}") from None

    def resume(self, run: Run) -> None:
        """Take up the last checkpoint of the run folder."""
        run.steps, state = load_checkpoint(run.folder / "checkpoints", run.identity)
        self.restore(state["learner"])
        if run.validation is not None:
            run.validation.best_cny = state["best_cny"]

    def train(self, run: Run) -> bool:
        """Updates, validations and checkpoints until the steps are made."""
        curves = Curves(run)
        if run.steps == 0:
            curves.write(self._validate(run))
        with stop_on_interrupt() as stop:
            while run.steps < run.total_steps and not stop.asked:
                began, before = perf_counter(), run.steps
                metrics = self.learn_once(before / run.total_steps)
                run.steps += self.frames
                told = scalars(metrics)
                told["rollout/ep_rew_mean"] = -bill_of(told) / self.sim.params.cost_scale_cny
                curves.write(told | {"time/fps": self.frames / (perf_counter() - began)})
                if _due(run, before, run.validate_every):
                    curves.write(self._validate(run))
                if _due(run, before, max(1, run.total_steps // CHECKPOINTS)):
                    self._save(run)
                run.told(min(run.steps, run.total_steps), run.total_steps, run.note)
            self._save(run)
            run.stopped_by = stop.asked
        curves.close()
        return run.steps >= run.total_steps

    def _save(self, run: Run) -> None:
        if run.leads:
            best = run.validation.best_cny if run.validation else None
            state = {"learner": self.state(), "best_cny": best}
            save_checkpoint(run.folder / "checkpoints", run.steps, state, run.identity)

    def _validate(self, run: Run) -> dict[str, float]:
        return {} if run.validation is None else run.validation.measure(self.policy(), self.weights)


def _due(run: Run, before: int, every: int) -> bool:
    return run.steps // every > before // every or run.steps >= run.total_steps


class Curves:
    """TensorBoard, in the process that leads; what a killed process wrote after its last checkpoint is hidden."""

    def __init__(self, run: Run) -> None:
        self._run, self._writer = run, None
        if run.leads:
            purge = run.steps + 1 if run.steps else None
            self._writer = SummaryWriter(str(run.folder / "tensorboard"), purge_step=purge)

    def write(self, values: Mapping[str, float]) -> None:
        """Scalars at the present step."""
        for tag, value in values.items() if self._writer else ():
            self._writer.add_scalar(tag, value, self._run.steps)  # type: ignore[union-attr]

    def close(self) -> None:
        """Flush."""
        if self._writer:
            self._writer.close()


def bill_of(told: Mapping[str, float]) -> float:
    """CNY: the sum of the terms among the scalars of an update."""
    return sum(told[f"env/{term}_cny"] for term in COST_TERMS)


def scalars(metrics: Mapping[str, Tensor]) -> dict[str, float]:
    """Metrics of one update on the host, in one copy."""
    return dict(zip(metrics, torch.stack([x.float() for x in metrics.values()]).tolist(), strict=True))


def episode_metrics(steps: int, reported: Tensor) -> dict[str, Tensor]:
    """What an episode of `steps` steps does at the present pace: `env/*`, by the names of `REPORTED`.

    Args:
        steps: of an episode.
        reported: `[h, B, len(REPORTED)]` of the steps of an update.
    """
    means = (reported.mean((0, 1)) * steps).unbind()
    return {f"env/{name}": x for name, x in zip(REPORTED, means, strict=True)}
