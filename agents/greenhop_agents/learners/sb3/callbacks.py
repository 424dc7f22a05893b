"""What happens while Stable-Baselines3 trains: curves, progress, validation, weights kept on the way."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from greenhop.physics.rewards import REPORTED
from greenhop_agents.learners.networks import cosine
from greenhop_agents.learners.sb3.policies import as_policy
from greenhop_agents.learners.validation import Validation
from greenhop_agents.learners.weights import save_weights


class EnvTerms(BaseCallback):
    """Logs the mean cost terms and quantities of finished episodes under `env/*`, once per rollout."""

    def __init__(self) -> None:
        super().__init__()
        self._finished: list[dict[str, float]] = []

    def _on_step(self) -> bool:
        self._finished += [info["totals"] for info in self.locals["infos"] if "totals" in info]
        if self._finished and not isinstance(self.model, OnPolicyAlgorithm):
            self._write()
        return True

    def _on_rollout_end(self) -> None:
        self._write()

    def _write(self) -> None:
        for name in REPORTED if self._finished else ():
            self.logger.record(f"env/{name}", float(np.mean([totals[name] for totals in self._finished])))
        self._finished.clear()


class Quieten(BaseCallback):
    """Lets the noise of a policy gradient fall to `final` of what it was, along half a cosine of the training."""

    def __init__(self, final: float, total_steps: int) -> None:
        super().__init__()
        self._final, self._total = final, total_steps

    def _on_training_start(self) -> None:
        self._first = self.model.policy.log_std.detach().clone()  # type: ignore[operator]

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        most = self._first + math.log(cosine(1.0, self._final, self.num_timesteps / self._total))
        with torch.no_grad():
            self.model.policy.log_std.clamp_(max=most)  # type: ignore[operator]


class Watch(BaseCallback):
    """Calls `tick(timesteps)` after every step; stops learning when it returns False."""

    def __init__(self, tick: Callable[[int], bool]) -> None:
        super().__init__()
        self._tick = tick

    def _on_step(self) -> bool:
        return self._tick(self.num_timesteps)


class Validate(BaseCallback):
    """Measures the policy on held-out episodes at the start, now and then and at the end; keeps the best weights."""

    def __init__(self, validation: Validation, name: str, every: int) -> None:
        super().__init__()
        self._validation, self._name, self._every, self._done = validation, name, every, 0

    def _on_training_start(self) -> None:
        self._measure()

    def _on_step(self) -> bool:
        if self.num_timesteps // self._every > self._done:
            self._done = self.num_timesteps // self._every
            self._measure()
        return True

    def _on_training_end(self) -> None:
        if self.num_timesteps != self._last:
            self._measure()

    def _measure(self) -> None:
        self._last = self.num_timesteps
        found = self._validation.measure(as_policy(self.model, self._name), self.model.policy.state_dict)
        for tag, value in found.items():
            self.logger.record(tag, value)
        self.logger.dump(self.num_timesteps)


class Keep(BaseCallback):
    """Writes the policy's weights to `folder/STEPS.safetensors` now and then: what training had come to by then."""

    def __init__(self, folder: Path, every: int) -> None:
        super().__init__()
        self._folder, self._every, self._done = folder, every, 0

    def _on_training_start(self) -> None:
        self._folder.mkdir(exist_ok=True)

    def _on_step(self) -> bool:
        if self.num_timesteps // self._every > self._done:
            self._done = self.num_timesteps // self._every
            save_weights(self._folder / f"{self.num_timesteps:09d}.safetensors", self.model.policy.state_dict())
        return True
