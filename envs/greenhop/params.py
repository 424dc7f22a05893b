"""`Params`: everything a step needs that does not change during an episode, as tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from greenhop.config import POOLS, DeferrableClassConfig, ScenarioConfig, SiteConfig
from greenhop.errors import ConfigError
from greenhop.geo import great_circle_km, latency_ms
from greenhop.ops import Ends, gather_ends
from greenhop.storage import storage_arrays, unit_facts
from greenhop.tables import load_table, site_row
from greenhop.units import GB_PER_HOUR_PER_GBPS, HOURS_PER_MONTH, HOURS_PER_YEAR, KG_PER_T

if TYPE_CHECKING:
    from numpy.typing import NDArray

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

    capacity_mwh: Tensor  # [R, P] work a pool can do in one step
    idle_share: Tensor  # [P]
    online_pool: Tensor  # [Z, P] one-hot
    deferrable_pool: Tensor  # [K, P] one-hot

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
    route_allowed: Tensor  # [L, Z]
    migrate_allowed: Tensor  # [L, K]
    route_gb_per_mwh: Tensor  # [Z]
    migrate_gb_per_mwh: Tensor  # [L, K] after staged replicas
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

    connection_mwh: Tensor  # [R] per step
    peak_start_mw: Tensor  # [R]
    export_fraction: Tensor  # [R]
    export_limit_mwh: Tensor  # [R] per step
    diesel_limit_mwh: Tensor  # [R] per step
    grid_adder_cny_per_mwh: Tensor  # [R] T&D, fees, funds, line loss
    ppa_price_cny_per_mwh: Tensor  # [R] T&D and premium included
    demand_fee_cny_per_mw: Tensor  # [R] prorated to the episode
    green_cost_cny_per_mwh: Tensor  # [R]
    direct_rule_cny_per_mwh: Tensor  # [R] wires' fee that direct supply is spared; 0 elsewhere
    missed_online_cny_per_mwh: Tensor  # [Z]
    missed_cny_per_mwh: Tensor  # [K]
    work_terminal_cny_per_mwh: Tensor  # [K]
    soc_terminal_cny_per_mwh: Tensor  # [U]
    carbon_price_cny_per_kg: float
    certificate_price_cny_per_mwh: float
    green_target: float
    direct_generation_share: float  # of own generation, to be used on site under direct supply
    direct_consumption_share: float  # of consumption, to be met by it
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


def build_params(
    scenario: ScenarioConfig, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> Params:
    """Join a checked scenario with the tables; computed in float64, then cast."""
    arrays = {
        **_computing(scenario),
        **_clock(scenario),
        **_network(scenario),
        **storage_arrays(scenario),
        **_power(scenario),
        **_money(scenario),
    }
    joined: dict[str, Any] = {key: torch.from_numpy(x) if isinstance(x, np.ndarray) else x for key, x in arrays.items()}
    exact = Params(
        name=scenario.name,
        regions=tuple(scenario.sites),
        deferrable=tuple(scenario.deferrable),
        online=tuple(scenario.online),
        pools=tuple(p for p in POOLS if p in scenario.pools),
        units=tuple(scenario.storage),
        dt_h=scenario.dt_h,
        steps=scenario.steps,
        rows_per_year=round(HOURS_PER_YEAR / scenario.dt_h),
        cost_scale_cny=_cost_scale(scenario),
        **joined,
    )
    return exact.to(device, dtype)


def table_name(site: str, config: SiteConfig) -> str:
    """Name of the row in the site table that describes `site`."""
    return config.like or site


def it_capacity_mw(scenario: ScenarioConfig) -> NDArray[np.float64]:
    """[R] IT nameplate of each site: the scenario's own figure, else the table's for the scenario's capacity year."""
    key = f"it_capacity_{scenario.capacity_year}_mw"
    return np.array(
        [c.it_capacity_mw or site_row(table_name(s, c), f"sites.{s}")[key] for s, c in scenario.sites.items()],
        dtype=np.float64,
    )


def tariff_rows(scenario: ScenarioConfig) -> list[dict[str, Any]]:
    """The tariff of each site, in site order."""
    tariffs = load_table("tariffs")["provinces"]
    return [tariffs[site_row(table_name(s, c), f"sites.{s}")["tariff"]] for s, c in scenario.sites.items()]


def spared_wires(scenario: ScenarioConfig) -> NDArray[np.float64]:
    """[R] CNY/MWh of wires' fee that a site does not pay per energy: the province's under direct green supply, else 0.

    Such sites pay the wires by connected capacity instead (Document 1192 of 2025).
    """
    fee = [t["td_cny_per_mwh"] for t in tariff_rows(scenario)]
    direct = [site.tariff_mode == "direct_green" for site in scenario.sites.values()]
    return np.where(direct, fee, 0.0)


def locations_deg(scenario: ScenarioConfig) -> NDArray[np.float64]:
    """[R, 2] latitude and longitude of each site."""
    out = []
    for s, c in scenario.sites.items():
        row = site_row(table_name(s, c), f"sites.{s}")
        lat = row["lat_deg"] if c.lat_deg is None else c.lat_deg
        lon = row["lon_deg"] if c.lon_deg is None else c.lon_deg
        out.append((lat, lon))
    return np.array(out, dtype=np.float64)


def _computing(scenario: ScenarioConfig) -> dict[str, NDArray[Any]]:
    pools = [p for p in POOLS if p in scenario.pools]
    shares = np.array([scenario.pools[p].capacity_share for p in pools])
    return {
        "capacity_mwh": it_capacity_mw(scenario)[:, None] * shares * scenario.dt_h,
        "idle_share": np.array([scenario.pools[p].idle_share for p in pools]),
        "online_pool": np.array([[float(c.pool == p) for p in pools] for c in scenario.online.values()]).reshape(
            len(scenario.online), len(pools)
        ),
        "deferrable_pool": np.array([[float(c.pool == p) for p in pools] for c in scenario.deferrable.values()]),
    }


def _clock(scenario: ScenarioConfig) -> dict[str, Any]:
    """Deadline tables by phase: see "Clock" in docs/design.md."""
    classes = list(scenario.deferrable.values())
    quanta = [round(c.quantum_h / scenario.dt_h) for c in classes]
    period = math.lcm(*quanta)
    per_class = [_slots_of(c, q, period, scenario.dt_h) for c, q in zip(classes, quanta, strict=True)]
    used = [int(joins.max()) + 1 for _, joins in per_class]
    n_slots = max(used)
    shape = (period, len(classes), n_slots)
    slack, rate_limit, joins = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    closes = np.zeros(shape[:2])
    slots_used = np.zeros(shape[1:])
    phases = np.arange(period)
    for k, (cls, q, (first_slack, join)) in enumerate(zip(classes, quanta, per_class, strict=True)):
        slack[:, k] = first_slack[:, None] + q * np.arange(n_slots)
        rate_limit[:, k] = np.minimum(1.0, np.maximum(cls.max_rate_per_h * scenario.dt_h, 1.0 / (slack[:, k] + 1.0)))
        joins[phases, k, join] = 1.0
        closes[:, k] = (phases + 1) % q == 0
        slots_used[k, : used[k]] = 1.0
    return {
        "period": period,
        "slack": slack,
        "rate_limit": rate_limit,
        "joins": joins,
        "closes": closes,
        "slots_used": slots_used,
        "movable": (slack > 0) * slots_used,
    }


def _slots_of(
    cls: DeferrableClassConfig, quantum: int, period: int, dt_h: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Per phase: slack of slot 0, and the slot that work arriving now joins (the latest due within the window)."""
    phases = np.arange(period)
    first_slack = quantum - 1 - phases % quantum
    window = round(cls.window_h / dt_h)
    return first_slack, (window - first_slack) // quantum


def _network(scenario: ScenarioConfig) -> dict[str, Any]:
    table = load_table("network")
    names = list(scenario.sites)
    places = locations_deg(scenario)
    both_ways = [(link, *ends) for link in scenario.links for ends in (link.between, link.between[::-1])]
    source = np.array([names.index(a) for _, a, _ in both_ways], dtype=np.int64)
    target = np.array([names.index(b) for _, _, b in both_ways], dtype=np.int64)
    latency = latency_ms(great_circle_km(places[source], places[target]))
    gbps = [
        table["tenant_slice_gbps"] * table["migration_share_of_slice"]
        if link.bandwidth_gbps is None
        else link.bandwidth_gbps
        for link, _, _ in both_ways
    ]
    price = [
        table["price_cny_per_gb"] if link.price_cny_per_gb is None else link.price_cny_per_gb
        for link, _, _ in both_ways
    ]
    staged = np.array([link.staged for link, _, _ in both_ways])
    online, deferrable = list(scenario.online.values()), scenario.deferrable
    whitelist = scenario.demand.migration_whitelist
    allowed = [
        [float(ms <= c.latency_budget_ms and (k not in whitelist or b in whitelist[k])) for k, c in deferrable.items()]
        for ms, (_, _, b) in zip(latency, both_ways, strict=True)
    ]
    gb = np.array([c.gb_per_mwh for c in deferrable.values()])
    n_links = len(both_ways)
    return {
        "links": tuple((a, b) for _, a, b in both_ways),
        "link_source": source,
        "link_target": target,
        "links_out": gather_ends(source.tolist(), len(names)),
        "links_in": gather_ends(target.tolist(), len(names)),
        "link_gb": np.array(gbps, dtype=np.float64) * GB_PER_HOUR_PER_GBPS * scenario.dt_h,
        "link_price_cny_per_gb": np.array(price, dtype=np.float64),
        "route_allowed": np.array(
            [[float(ms <= c.latency_budget_ms) for c in online] for ms in latency], dtype=np.float64
        ).reshape(n_links, len(online)),
        "migrate_allowed": np.array(allowed, dtype=np.float64).reshape(n_links, len(deferrable)),
        "route_gb_per_mwh": np.array([c.gb_per_mwh for c in online], dtype=np.float64),
        "migrate_gb_per_mwh": (1.0 - staged)[:, None] * gb,
        "restart_overhead": np.array([c.restart_overhead for c in deferrable.values()]),
    }


def _power(scenario: ScenarioConfig) -> dict[str, NDArray[Any]]:
    sites = list(scenario.sites.values())
    capacity = it_capacity_mw(scenario)
    connection = capacity * [0.0 if s.off_grid else s.connection_ratio for s in sites]
    return {
        "connection_mwh": connection * scenario.dt_h,
        "peak_start_mw": connection * scenario.market.demand_floor_fraction,
        "export_fraction": np.array([s.export_fraction for s in sites], dtype=np.float64),
        "export_limit_mwh": connection * scenario.dt_h,
        "diesel_limit_mwh": capacity * [s.diesel_ratio for s in sites] * scenario.dt_h,
    }


def _money(scenario: ScenarioConfig) -> dict[str, Any]:
    market, dt_h = scenario.market, scenario.dt_h
    tariffs, common = tariff_rows(scenario), load_table("tariffs")["common"]
    green_power, carbon = load_table("tariffs")["green_power"], load_table("carbon")
    rules = load_table("tariffs")["direct_green"]
    energy = np.array([t["energy_cny_per_mwh"] for t in tariffs], dtype=np.float64)
    wires = np.array([t["td_cny_per_mwh"] for t in tariffs], dtype=np.float64)
    fees = common["system_operation_cny_per_mwh"] + common["government_funds_cny_per_mwh"]
    adder = wires + fees + common["line_loss_cny_per_mwh"]
    month_share = scenario.steps * dt_h / HOURS_PER_MONTH
    all_in = energy + adder
    region = [list(scenario.sites).index(u.site) for u in scenario.storage.values()]
    discharge = [unit_facts(u)["efficiency_discharge"] for u in scenario.storage.values()]
    price = market.carbon_price_cny_per_t
    certificate = market.certificate_price_cny_per_mwh
    return {
        "grid_adder_cny_per_mwh": adder,
        "ppa_price_cny_per_mwh": all_in + green_power["premium_cny_per_mwh"],
        "demand_fee_cny_per_mw": np.array([t["demand_fee_cny_per_mw_month"] for t in tariffs]) * month_share,
        "green_cost_cny_per_mwh": np.full(len(tariffs), market.green_cost_cny_per_mwh),
        "missed_online_cny_per_mwh": np.array(
            [c.missed_penalty_cny_per_mwh for c in scenario.online.values()], dtype=np.float64
        ),
        "missed_cny_per_mwh": np.array([c.missed_penalty_cny_per_mwh for c in scenario.deferrable.values()]),
        "work_terminal_cny_per_mwh": _work_price(scenario, all_in),
        "soc_terminal_cny_per_mwh": all_in[region] * np.array(discharge) if region else np.zeros(0),
        "carbon_price_cny_per_kg": (carbon["ets_price_cny_per_t"] if price is None else price) / KG_PER_T,
        "certificate_price_cny_per_mwh": float(
            green_power["certificate_cny_per_mwh"] if certificate is None else certificate
        ),
        "green_target": market.green_target,
        "direct_rule_cny_per_mwh": spared_wires(scenario),
        "direct_generation_share": float(rules["self_used_of_generation_min"]),
        "direct_consumption_share": float(rules["self_used_of_consumption_min"]),
        "lost_load_cny_per_mwh": market.lost_load_cny_per_mwh,
        "diesel_cost_cny_per_mwh": float(load_table("storage")["diesel"]["cost_cny_per_mwh"]),
        "diesel_carbon_kg_per_mwh": float(carbon["diesel_kg_per_mwh"]),
    }


def _work_price(scenario: ScenarioConfig, all_in: NDArray[np.float64]) -> NDArray[np.float64]:
    """[K] price of a MWh of work left undone: the capacity-weighted all-in price × the power one MWh of work draws."""
    capacity = it_capacity_mw(scenario)
    mean_price = float((all_in * capacity).sum() / capacity.sum())
    pue = load_table("cooling")["typical_marginal_pue"]
    busy = np.array([1.0 - scenario.pools[c.pool].idle_share for c in scenario.deferrable.values()])
    price: NDArray[np.float64] = mean_price * pue * busy
    return price


def _cost_scale(scenario: ScenarioConfig) -> float:
    """CNY per step that make a reward of about −1: mean load of all sites at their flat all-in price."""
    capacity = it_capacity_mw(scenario)
    tariffs, common = tariff_rows(scenario), load_table("tariffs")["common"]
    price = np.array([t["energy_cny_per_mwh"] + t["td_cny_per_mwh"] for t in tariffs])
    price = price + common["system_operation_cny_per_mwh"] + common["government_funds_cny_per_mwh"]
    return float((capacity * price).sum() * scenario.demand.mean_loading * scenario.dt_h)


def check_clock(params: Params) -> None:
    """The clock must repeat within a year, else the bank's rows and the deadlines drift apart."""
    if params.rows_per_year % params.period:
        raise ConfigError(
            f"deferrable quanta: their common period of {params.period} steps does not divide a year of "
            f"{params.rows_per_year} steps; in scenario {params.name}"
        )
