"""Rules that need no learning: the references every agent is compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from greenhop.episode.carry import Carry
from greenhop.episode.simulator import Simulator
from greenhop.errors import ConfigError
from greenhop.physics.state import Plan
from greenhop.physics.step import phase_of
from greenhop_agents.policies.policy import Policy


@dataclass
class Stay:
    """Work stays where it arrives and runs at an even pace (`1/(slack+1)` of each cohort a step); storage is idle."""

    name: str = "stay"

    def reset(self, sim: Simulator) -> None:
        """Nothing to forget."""

    def decide(self, sim: Simulator, carry: Carry) -> Plan:
        """No routing, no migration, even pace."""
        p, state = sim.params, carry.state
        row, _ = sim.unpack(carry)
        batch, k, s = len(state.t), *p.slots_used.shape
        slack = p.slack.index_select(0, phase_of(p, state)).unsqueeze(1)
        none = torch.zeros_like(state.soc_mwh)
        return Plan(
            route_mwh=none.new_zeros(batch, len(p.links), len(p.online)),
            serve_online_mwh=row.online_mwh,
            migrate_mwh=none.new_zeros(batch, len(p.links), k, s),
            serve_mwh=state.backlog_mwh / (slack + 1.0),
            charge_mwh=none,
            discharge_mwh=none,
            spill_mwh=none,
            alternative_mwh=torch.zeros_like(state.backlog_mwh[..., 0]),
        )


@dataclass
class PriceFollow:
    """The zero action: the decoder's own price following, without any correction."""

    name: str = "price_follow"

    def reset(self, sim: Simulator) -> None:
        """Learn how long an action is."""
        self._action_size = sim.action_size

    def act(self, obs: Tensor) -> Tensor:
        """Zeros `[B, A]`."""
        return obs.new_zeros(len(obs), self._action_size)

    def decide(self, sim: Simulator, carry: Carry) -> Plan:
        """Decode zeros."""
        return sim.decode(carry, carry.packed.new_zeros(carry.packed.shape[0], sim.action_size))


@dataclass
class Greenest:
    """Bids for the sites with the most own green power: work goes there, and waits for it, before it follows prices.

    Strengths are tuned on training weeks of `hub10`, see docs/baselines.md.
    """

    name: str = "greenest"
    place_strength: float = 0.5
    time_strength: float = 1.5

    def reset(self, sim: Simulator) -> None:
        """Nothing to forget."""

    def decide(self, sim: Simulator, carry: Carry) -> Plan:
        """Place bids from green power per unit of capacity, time bids from its excess over the coming day's mean."""
        p = sim.params
        if "place" not in sim.decoder.parts:
            raise ConfigError(f"policy greenest needs decoder shadow_price, not {sim.scenario.decoder.name}")
        _, row, seen = sim.reported(carry)
        capacity = p.capacity_mwh.sum(-1)
        ahead = (seen.forecast_green_mwh / capacity).mean(1)
        now = row.green_mwh / capacity
        place = (self.place_strength * (ahead - ahead.mean(-1, keepdim=True))).clamp(-1, 1)
        time = (self.time_strength * (now - ahead)).clamp(-1, 1)
        parts = {
            "place": place.unsqueeze(-1).expand(-1, -1, len(p.deferrable)),
            "time": time.unsqueeze(-1).expand(-1, -1, len(p.deferrable)),
        }
        blocks = [
            parts[name].flatten(1) if name in parts else now.new_zeros(now.shape[0], torch.Size(shape).numel())
            for name, shape in sim.decoder.parts.items()
        ]
        return sim.decode(carry, torch.cat(blocks, dim=-1))


RULES: dict[str, Callable[[], Policy]] = {"stay": Stay, "price_follow": PriceFollow, "greenest": Greenest}
