"""What every algorithm that learns can be asked, whoever wrote it: to begin, to train, to act, and to come back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from greenhop.episode.simulator import Simulator
from greenhop_agents.base.progress import Update
from greenhop_agents.learners.parallel import Team
from greenhop_agents.learners.validation import Validation
from greenhop_agents.policies.policy import Policy

Agent = Mapping[str, Any]  # a file of configs/agent: name, kind, options, …


@dataclass
class Run:
    """The training run of an agent, as its algorithm sees it; steps are environment steps."""

    folder: Path
    total_steps: int
    validate_every: int
    validation: Validation | None
    identity: Mapping[str, Any]  # what must be equal for a checkpoint to fit
    told: Update
    leads: bool = True  # this process writes; its peers only compute
    steps: int = 0  # done so far
    stopped_by: int = 0  # the signal that ended it early

    @property
    def note(self) -> str:
        """The last validation in two words."""
        return self.validation.note() if self.validation else ""


class Algorithm(ABC):
    """An agent at some point of its training on one simulator."""

    resumable: ClassVar[bool] = False  # whether a run can be continued from its folder
    parallel: ClassVar[bool] = False  # whether several processes can train one agent together

    @classmethod
    @abstractmethod
    def build(cls, sim: Simulator, agent: Agent, seed: int, team: Team = Team()) -> Self:  # noqa: B008 (frozen)
        """An agent at the start of its training.

        Raises:
            ConfigError: a key or value of `agent` that does not exist.
        """

    @classmethod  # noqa: B027 (one without settings has nothing to check)
    def check(cls, agent: Agent) -> None:
        """Refuse a configuration that this algorithm cannot take.

        Raises:
            ConfigError: a key or value of `agent` that does not exist.
        """

    @classmethod
    @abstractmethod
    def load(cls, agent: Agent, weights: Mapping[str, Tensor], sim: Simulator) -> Policy:
        """The policy that `weights` made of another agent configured alike; nothing is executed.

        Raises:
            ConfigError: the weights do not fit.
        """

    @classmethod
    def fits_any_graph(cls, agent: Agent) -> bool:
        """Whether agents configured so, once trained, can run any number of hubs, links and units."""
        return False

    @property
    def keeps_last(self) -> bool:
        """Whether the policy at the end is kept, and not the one that was cheapest in validation."""
        return False

    @abstractmethod
    def policy(self) -> Policy:
        """The deterministic policy as it is now."""

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """What `load` needs of it."""

    @abstractmethod
    def parameters(self) -> Iterable[nn.Parameter]:
        """What a warm start may train: all that `policy().act` depends on."""

    def begin(self) -> None:  # noqa: B027 (most have nothing to do)
        """Called before the first update, when a warm start may have changed the parameters."""

    @abstractmethod
    def train(self, run: Run) -> bool:
        """Train to the end; False where Ctrl-C ended it before. Either way what was learnt is kept."""
