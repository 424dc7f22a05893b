"""Stable-Baselines3 and sb3-contrib: their algorithms train, on the batched simulator."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor, nn

from greenhop.episode.simulator import Simulator
from greenhop.errors import ConfigError, one_line
from greenhop_agents.learners.algorithm import Agent, Algorithm, Run
from greenhop_agents.learners.interrupt import stop_on_interrupt
from greenhop_agents.learners.parallel import Team
from greenhop_agents.learners.sb3 import (
    HubVecEnv,
    Keep,
    Quieten,
    Sb3Config,
    Validate,
    Watch,
    as_policy,
    build_env,
    build_model,
    check_keywords,
    learn,
    sb3_config,
    sync_targets,
)
from greenhop_agents.policies.policy import Policy

KEPT = 10  # weights that a training run leaves on the way


@dataclass
class Sb3(Algorithm):
    """A model of Stable-Baselines3, with SB3's own training loop."""

    name: str
    config: Sb3Config
    model: Any  # of a class of SB3

    @classmethod
    def build(cls, sim: Simulator, agent: Agent, seed: int, team: Team = Team()) -> Self:  # noqa: B008 (frozen)
        """The model and environments that the configuration describes."""
        config = sb3_config(agent)
        return cls(agent["name"], config, build_model(build_env(sim, config, seed), config, seed))

    @classmethod
    def check(cls, agent: Agent) -> None:
        """What SB3 does not check, or only by assertions."""
        check_keywords(sb3_config(agent))

    @classmethod
    def load(cls, agent: Agent, weights: Mapping[str, Tensor], sim: Simulator) -> Policy:
        """The network is built anew as configured, nothing is unpickled."""
        config = sb3_config(agent)
        model = build_model(HubVecEnv(sim, config.num_envs), config, seed=0)
        try:
            model.policy.load_state_dict(dict(weights))
        except RuntimeError as error:
            raise ConfigError(
                f"the weights do not fit the network of agent {agent['name']}: {one_line(error)}"
            ) from None
        return as_policy(model, agent["name"])

    def policy(self) -> Policy:
        """The deterministic policy of the model."""
        return as_policy(self.model, self.name)

    def weights(self) -> dict[str, Tensor]:
        """Of actor and critics."""
        return dict(self.model.policy.state_dict())

    def parameters(self) -> Iterable[nn.Parameter]:
        """Of actor and critics."""
        return list(self.model.policy.parameters())

    def begin(self) -> None:
        """Target actors begin where the actor stands."""
        sync_targets(self.model)

    def train(self, run: Run) -> bool:
        """SB3's loop, watched: curves, progress, validation, weights on the way."""
        with stop_on_interrupt() as stop:

            def tick(steps: int) -> bool:
                run.steps = steps
                run.told(min(steps, run.total_steps), run.total_steps, run.note)
                return not stop.asked

            kept = Keep(run.folder / "checkpoints", max(1, run.total_steps // KEPT))
            watchers: list[Watch | Validate | Keep | Quieten] = [Watch(tick), kept]
            if self.config.final_noise < 1.0:
                watchers.append(Quieten(self.config.final_noise, run.total_steps))
            if run.validation is not None:
                watchers.append(Validate(run.validation, self.name, every=run.validate_every))
            learn(self.model, run.total_steps, run.folder / "tensorboard", watchers)
            run.stopped_by = stop.asked
        return run.steps >= run.total_steps
