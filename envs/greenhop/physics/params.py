"""`Params`: everything a step needs that does not change during an episode, as tensors."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from greenhop.physics.ops import Ends

FIXED_OVERHEAD_SHARE = 0.4  # share of cooling power that does not follow the load: cooling table, assumption


@dataclass(frozen=True)
class Params:
    """Static description of a scenario. Shapes use the axes of docs/design.md; tensors share one dtype and device."""

    name: str
    regions: tuple[str, ...]
    deferrable: tuple[str, ...]
    online: tuple[str, ...]
    pools: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    units: tuple[str, ...]
    dt_h: float
    steps: int
    period: int  # steps after which the deadline clock repeats
    rows_per_year: int
    cost_scale_cny: float
    prices_end: bool  # whether the last step bills what it leaves

    capacity_mwh: Tensor  # [R, P] work a pool can do in one step
    idle_share: Tensor  # [P]
    online_pool: Tensor  # [Z, P] one-hot
    deferrable_pool: Tensor  # [K, P] one-hot
    diverse: bool  # whether any class has an alternative pool
    alternative_pool: Tensor  # [K, P] one-hot, or 0 where a class has no other pool than its own
    alternative_room: Tensor  # [K] room that a MWh of work takes there
    alternative_energy: Tensor  # [K] server energy that a MWh of work takes there

    slack: Tensor  # [period, K, S] steps until the slot is due
    rate_limit: Tensor  # [period, K, S] share of a cohort that may run in one step
    movable: Tensor  # [period, K, S] 1 where a cohort may migrate (slot in use, slack > 0)
    joins: Tensor  # [period, K, S] one-hot slot that work arriving at this phase joins
    closes: Tensor  # [period, K] 1 where slot 0 closes at the end of the step
    slots_used: Tensor  # [K, S] 1 where the class uses the slot

    link_source: Tensor  # [L] int64
    link_target: Tensor  # [L] int64
    links_out: Ends  # links leaving a region
    links_in: Ends  # links entering a region
    link_gb: Tensor  # [L] GB a link carries in one step
    link_price_cny_per_gb: Tensor  # [L]
    route_allowed: Tensor  # [L, Z] 0…1 share of the source's users who are near enough to the target
    migrate_allowed: Tensor  # [L, K]
    route_gb_per_mwh: Tensor  # [Z]
    latency_cny_per_mwh: Tensor  # [L, Z] quality lost by serving work at the other end
    migrate_gb_per_mwh: Tensor  # [L, K] less what replicas hold
    sync_gb_per_mwh: Tensor  # [L, K] sent to the replica per MWh that arrives
    restart_overhead: Tensor  # [K]

    unit_region: Tensor  # [U] int64
    unit_of_region: Tensor  # [U, R] one-hot
    charge_limit_mwh: Tensor  # [U] per step
    discharge_limit_mwh: Tensor  # [U] per step
    soc_min_mwh: Tensor  # [U]
    soc_max_mwh: Tensor  # [U]
    soc_start_mwh: Tensor  # [U]
    efficiency_charge: Tensor  # [U]
    efficiency_discharge: Tensor  # [U]
    standing_loss: Tensor  # [U] share of the energy above the floor lost per step
    wear_cny_per_mwh: Tensor  # [U] per MWh discharged
    is_csp: Tensor  # [U] 1 for solar thermal units, whose discharge is green
    firm: Tensor  # [U] MWh a grid-forming unit delivers per MWh above its floor; 0 for others

    connection_mwh: Tensor  # [R] per step
    peak_start_mw: Tensor  # [R]
    export_fraction: Tensor  # [R]
    export_limit_mwh: Tensor  # [R] per step
    diesel_limit_mwh: Tensor  # [R] per step
    grid_adder_cny_per_mwh: Tensor  # [R] T&D, fees, funds, line loss
    ppa_price_cny_per_mwh: Tensor  # [R] strike price and adder
    demand_fee_cny_per_mw: Tensor  # [R] prorated to the episode
    green_cost_cny_per_mwh: Tensor  # [R]
    own_wires_cny_per_mwh: Tensor  # [R] what own green power pays that comes from too far away; 0 elsewhere
    capacity_fee_cny: Tensor  # [R] per step, at sites of direct supply
    carbon_price_cny_per_kg: Tensor  # [R]
    owed_price_cny_per_mwh: Tensor  # [R, A] what a MWh owed costs; 0 where a rule does not apply
    pue_cap: Tensor  # [R]
    reserve_mwh: Tensor  # [R] what grid-forming stores must be able to deliver
    missed_online_cny_per_mwh: Tensor  # [Z]
    missed_cny_per_mwh: Tensor  # [K]
    work_terminal_cny_per_mwh: Tensor  # [K]
    soc_terminal_cny_per_mwh: Tensor  # [U]
    green_target: float
    physical_target: float  # the part of it that certificates cannot stand in for
    take_or_pay_share: float  # of contracted energy, to be taken or paid
    direct_generation_share: float  # of own generation, to be used on site under direct supply
    direct_consumption_share: float  # of consumption, to be met by it
    reserve_price_cny_per_mwh: float  # per MWh that lacks in a step
    lost_load_cny_per_mwh: float
    diesel_cost_cny_per_mwh: float
    diesel_carbon_kg_per_mwh: float

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Params:
        """A copy on another device or with another floating dtype; integer tensors keep theirs."""

        def move(x: Tensor) -> Tensor:
            return x.to(device=device, dtype=dtype if x.is_floating_point() else None)

        return replace(self, **{f.name: tree_map_only(Tensor, move, getattr(self, f.name)) for f in fields(self)})

    @property
    def dtype(self) -> torch.dtype:
        """Floating dtype of every tensor."""
        return self.capacity_mwh.dtype

    @property
    def device(self) -> torch.device:
        """Device of every tensor."""
        return self.capacity_mwh.device

    @property
    def n_regions(self) -> int:
        """R."""
        return len(self.regions)

    @property
    def n_slots(self) -> int:
        """S."""
        return self.slack.shape[2]

    @property
    def size(self) -> int:
        """What a step's cost grows with: links + regions × deferrable classes × slots."""
        return len(self.links) + self.n_regions * len(self.deferrable) * self.n_slots
