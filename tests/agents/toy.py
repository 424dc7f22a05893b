"""Two states with a known optimum: a mass that a force pulls to the origin, at a quadratic price.

`x' = x + Δ·v`, `v' = v + Δ·a`, cost `x² + 0.1·v² + 0.1·a²`. It answers to the names of `Simulator` that learners use.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from greenhop.episode.carry import Carry
from greenhop.episode.simulator import Simulator
from greenhop.physics.state import COST_TERMS, Flows, State
from greenhop_agents.learners.algorithms import find_algorithm
from greenhop_agents.scoring.evaluate import score

DT, STEPS, STARTS = 0.5, 12, 64
A = torch.tensor([[1.0, DT], [0.0, 1.0]])
B = torch.tensor([[0.0], [DT]])
Q, R = torch.diag(torch.tensor([1.0, 0.1])), torch.tensor([[0.1]])


@dataclass
class Toy:
    """Looks like a `Simulator` to a learner."""

    params: Any = field(
        default_factory=lambda: SimpleNamespace(
            steps=STEPS,
            device=torch.device("cpu"),
            dtype=torch.float32,
            cost_scale_cny=1.0,
            is_csp=torch.zeros(1),
            work_terminal_cny_per_mwh=torch.zeros(1),
            soc_terminal_cny_per_mwh=torch.zeros(2),
            prices_end=True,
        )
    )
    decoder: Any = field(default_factory=lambda: SimpleNamespace(parts={"force": (1, 1)}))
    scenario: Any = field(default_factory=lambda: SimpleNamespace(decoder=SimpleNamespace(name="toy")))
    obs_size: int = 3
    action_size: int = 1
    telemetry: None = None

    def __post_init__(self) -> None:
        angle = torch.arange(STARTS) * 2.399963  # golden angle: starts spread over the disc
        radius = 0.5 * torch.sqrt((torch.arange(STARTS) + 0.5) / STARTS)
        self.first = torch.stack((radius * angle.cos(), radius * angle.sin()), -1)
        self.bank = SimpleNamespace(
            n_starts=STARTS, starts=torch.arange(STARTS) * STEPS, table=torch.zeros(STARTS * STEPS + 1, 1)
        )

    def begin(self, start: Tensor) -> Carry:
        none = torch.zeros(len(start), 1)
        t = torch.zeros_like(start)
        waiting = none.reshape(-1, 1, 1, 1)
        return Carry(State(waiting, self.first[start], none, none, t, start * STEPS), none)

    def observe(self, carry: Carry) -> Tensor:
        progress = (carry.state.t / STEPS).unsqueeze(-1)
        return torch.cat((2.0 * carry.state.soc_mwh, progress), -1)

    def act(self, carry: Carry, action: Tensor) -> tuple[Carry, Any]:
        x = carry.state.soc_mwh
        cost = ((x @ Q) * x).sum(-1, keepdim=True) + ((action @ R) * action).sum(-1, keepdim=True)
        state = carry.state._replace(soc_mwh=x @ A.T + action @ B.T, t=carry.state.t + 1)
        nothing = {"serve_mwh": (1, 1, 1), "migrate_mwh": (1, 1, 1), "serve_online_mwh": (1, 1), "route_mwh": (1, 1)}
        nothing |= {"missed_mwh": (1, 1), "missed_online_mwh": (1, 1)}
        flows = {name: x.new_zeros(len(x), *nothing.get(name, (1,))) for name in Flows._fields}
        bill = torch.cat((cost, cost.new_zeros(len(cost), len(COST_TERMS) - 1)), -1)
        return Carry(state, carry.packed), Flows(**flows | {"cost_cny": bill})

    def as_simulator(self) -> Simulator:
        """For the type checker."""
        return self  # type: ignore[return-value]


def optimal_cost(toy: Toy) -> float:
    """Mean over starts of `x₀ᵀ P₀ x₀`, by the Riccati recursion `P ← Q + Aᵀ P A − Aᵀ P B (R + Bᵀ P B)⁻¹ Bᵀ P A`."""
    p = torch.zeros(2, 2)
    for _ in range(STEPS):
        gain = torch.linalg.solve(R + B.T @ p @ B, B.T @ p @ A)
        p = Q + A.T @ p @ (A - B @ gain)
    return float(((toy.first @ p) * toy.first).sum(-1).mean())


def cost_of(toy: Toy, act: Any) -> float:
    """Mean cost over starts of a policy."""
    with torch.no_grad():
        carry, total = toy.begin(torch.arange(STARTS)), torch.zeros(STARTS)
        for _ in range(STEPS):
            carry, flows = toy.act(carry, act(toy.observe(carry)))
            total += flows.cost_cny.sum(-1)
    return float(total.mean())


def toy_score(toy: Toy, act: Any) -> float:
    """Share of the achievable saving over doing nothing, %."""
    return score(cost_of(toy, lambda obs: torch.zeros(len(obs), 1)), cost_of(toy, act), optimal_cost(toy))


def learner_on(sim: Simulator, kind: str, options: dict[str, Any], seed: int = 0, **more: Any) -> Any:
    """A new learner."""
    return find_algorithm(kind).build(sim, {"name": kind, "kind": kind, "options": options}, seed, **more)


def toy_learner(kind: str, options: dict[str, Any], seed: int = 0, toy: Toy | None = None) -> Any:
    """A new learner on the toy, whose step has no machine code."""
    more = {"reference": torch.zeros(STARTS, STEPS)} if kind != "es" else {}
    return learner_on((toy or Toy()).as_simulator(), kind, {"compile": False, **options}, seed, **more)
