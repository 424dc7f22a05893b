"""A policy's whole decision as compiled code."""

from __future__ import annotations

import torch
from torch import Tensor

from greenhop.compiler.program import Program
from greenhop.engines.compiled import examples, outside_of, with_table
from greenhop.engines.engine import present
from greenhop.episode.carry import Carry
from greenhop.episode.simulator import Simulator
from greenhop.errors import ConfigError
from greenhop.physics.state import Plan, State
from greenhop_agents.policies.policy import ActionPolicy, Policy


class CompiledPolicy:
    """A policy whose whole decision, from what it observes to the plan, is compiled for `num_envs` environments.

    Observing and decoding are straight-line machine code; the network between them is left to torch's compiler.

    Raises:
        ConfigError: a policy that is not a network from observations to actions: it plans, remembers or follows a rule.
    """

    def __init__(self, policy: Policy, sim: Simulator, num_envs: int) -> None:
        if not isinstance(policy, ActionPolicy):
            raise ConfigError(f"compile=true needs a network from observations to actions, which {policy.name} is not")
        if sim.telemetry is not None:
            raise ConfigError("compile=true knows full telemetry only: leave it out, or observation.telemetry")
        self.name, self._act = policy.name, torch.compile(policy.act, fullgraph=True, dynamic=False)
        (carry, action), table, layout = examples(sim, 1), sim.bank.table, outside_of(sim)

        def observe(table: Tensor, state: State) -> Tensor:
            return with_table(sim, table).observe(present(table, state))

        def decode(table: Tensor, state: State, action: Tensor) -> tuple[Tensor, ...]:
            plan = with_table(sim, table).decode(present(table, state), action)
            return tuple(plan[:-1])  # the decoder leaves the dispatch to the merit order

        self._observe = Program(observe, table, (carry.state,), layout, layout)
        self._decode = Program(decode, table, (carry.state, action), layout, layout)
        with torch.no_grad():
            self.decide(sim, examples(sim, num_envs)[0])  # compiles

    def reset(self, sim: Simulator) -> None:
        """Nothing to forget."""

    def decide(self, sim: Simulator, carry: Carry) -> Plan:
        """The same plan as the policy's own."""
        table = sim.bank.table
        (obs,) = self._observe.batch_first(table, carry.state)
        return Plan._make([*self._decode.batch_first(table, [*carry.state, self._act(obs)]), None])
