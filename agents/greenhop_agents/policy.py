"""One protocol for everything that decides: rules, learned policies, Stable-Baselines3 models and LP controllers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from greenhop.compiled import CompiledProgram, examples
from greenhop.errors import ConfigError
from greenhop.simulator import Carry, Simulator
from greenhop.state import Plan


class Policy(Protocol):
    """Decides a plan for every environment of a batch."""

    @property
    def name(self) -> str:
        """How tables and curves call it."""
        ...

    def reset(self, sim: Simulator) -> None:
        """Called before the first step of a batch of episodes."""
        ...

    def decide(self, sim: Simulator, carry: Carry) -> Plan:
        """The plan for the present step."""
        ...


@dataclass
class ActionPolicy:
    """A policy that maps observations `[B, O]` to actions `[B, A]`."""

    name: str
    act: Callable[[Tensor], Tensor]

    def reset(self, sim: Simulator) -> None:
        """Nothing to forget."""

    def decide(self, sim: Simulator, carry: Carry) -> Plan:
        """Observe, act, decode."""
        return sim.decode(carry, self.act(sim.observe(carry)))


class CompiledPolicy:
    """A policy whose whole decision, from what it observes to the plan, is compiled for `num_envs` environments.

    Raises:
        ConfigError: a policy that is not a network from observations to actions: it plans, remembers or follows a rule.
    """

    def __init__(self, policy: Policy, sim: Simulator, num_envs: int) -> None:
        if not isinstance(policy, ActionPolicy):
            raise ConfigError(f"compile=true needs a network from observations to actions, which {policy.name} is not")
        self.name = policy.name
        inputs, spec = tree_flatten(examples(sim, num_envs)[0])

        def body(*given: Tensor) -> list[Tensor]:
            plan = policy.decide(sim, tree_unflatten(list(given), spec))
            return list(plan[:-1])  # the decoder leaves the dispatch to the merit order

        self._decide = CompiledProgram(body, inputs)

    def reset(self, sim: Simulator) -> None:
        """Nothing to forget."""

    def decide(self, sim: Simulator, carry: Carry) -> Plan:
        """The same plan as the policy's own."""
        return Plan._make([*self._decide(*tree_leaves(carry)), None])
