"""A checked scenario and the tables become `Params`: the numbers a step needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from greenhop.errors import ConfigError
from greenhop.physics.params import Params
from greenhop.physics.state import ACCOUNTS
from greenhop.scenario.config import POOLS, DeferrableClassConfig, Pool, ScenarioConfig
from greenhop.scenario.network import network_arrays
from greenhop.scenario.sites import it_capacity_mw, pue_caps, spared_wires, table_name, tariff_rows, volume_fees
from greenhop.scenario.storage import reserve_mwh, storage_arrays, unit_facts
from greenhop.scenario.tables import load_table, site_row
from greenhop.units import HOURS_PER_MONTH, HOURS_PER_YEAR, KG_PER_T

if TYPE_CHECKING:
    from numpy.typing import NDArray


def build_params(
    scenario: ScenarioConfig, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> Params:
    """Join a checked scenario with the tables; computed in float64, then cast.

    Args:
        scenario: checked.
        dtype: of all tensors but clocks and indices.
        device: where they live.
    """
    arrays = {
        **_computing(scenario),
        **_clock(scenario),
        **network_arrays(scenario),
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
        prices_end=scenario.episode.terminal,
        **joined,
    )
    return exact.to(device, dtype)


def _computing(scenario: ScenarioConfig) -> dict[str, Any]:
    pools = [p for p in POOLS if p in scenario.pools]
    shares = np.array([scenario.pools[p].capacity_share for p in pools])
    others = [c.alternative for c in scenario.deferrable.values()]
    return {
        "capacity_mwh": it_capacity_mw(scenario)[:, None] * shares * scenario.dt_h,
        "idle_share": np.array([scenario.pools[p].idle_share for p in pools]),
        "online_pool": _one_hot([c.pool for c in scenario.online.values()], pools),
        "deferrable_pool": _one_hot([c.pool for c in scenario.deferrable.values()], pools),
        "diverse": any(others),
        "alternative_pool": _one_hot([a.pool if a else None for a in others], pools),
        "alternative_room": np.array([1.0 / a.speed if a else 0.0 for a in others]),
        "alternative_energy": np.array([a.energy if a else 0.0 for a in others]),
    }


def _one_hot(chosen: Sequence[Pool | None], pools: Sequence[Pool]) -> NDArray[np.float64]:
    """[classes, P] 1 at the pool of each class; a row of zeros for None."""
    return np.array([[float(c == p) for p in pools] for c in chosen]).reshape(len(chosen), len(pools))


def _clock(scenario: ScenarioConfig) -> dict[str, Any]:
    """Deadline tables by phase: see "Clock" in docs/design.md."""
    classes = list(scenario.deferrable.values())
    quanta = [round(c.quantum_h / scenario.dt_h) for c in classes]
    period = math.lcm(*quanta)
    per_class = [_slots_of(c, q, period, scenario.dt_h) for c, q in zip(classes, quanta, strict=True)]
    used = [int(joins.max()) + 1 for _, joins in per_class]
    n_slots = max(used, default=1)
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
        "pue_cap": pue_caps(scenario),
        "reserve_mwh": reserve_mwh(scenario),
    }


def _money(scenario: ScenarioConfig) -> dict[str, Any]:
    market, dt_h = scenario.market, scenario.dt_h
    tariffs, rules = tariff_rows(scenario), load_table("tariffs")["direct_green"]
    energy = np.array([t["energy_cny_per_mwh"] for t in tariffs], dtype=np.float64)
    spared = spared_wires(scenario)
    adder = np.array([volume_fees(t) for t in tariffs]) - spared
    all_in = energy + adder
    green = _green_rules(scenario, energy)
    connected_mwh = _power(scenario)["connection_mwh"]
    near_km = _given(market.direct_distance_max_km, rules["distance_max_km"])
    far = np.array([site.plants_km > near_km for site in scenario.sites.values()])
    region = [list(scenario.sites).index(u.site) for u in scenario.storage.values()]
    discharge = [unit_facts(u)["efficiency_discharge"] for u in scenario.storage.values()]
    return {
        "grid_adder_cny_per_mwh": adder,
        "ppa_price_cny_per_mwh": green.pop("strike") + adder,
        "demand_fee_cny_per_mw": np.array([t["demand_fee_cny_per_mw_month"] for t in tariffs])
        * (scenario.steps * dt_h / HOURS_PER_MONTH),
        "green_cost_cny_per_mwh": np.full(len(tariffs), market.green_cost_cny_per_mwh),
        "own_wires_cny_per_mwh": np.where(far, adder, 0.0),
        "capacity_fee_cny": spared * rules["mean_load_factor"] * connected_mwh,
        "missed_online_cny_per_mwh": np.array(
            [c.missed_penalty_cny_per_mwh for c in scenario.online.values()], dtype=np.float64
        ),
        "missed_cny_per_mwh": np.array([c.missed_penalty_cny_per_mwh for c in scenario.deferrable.values()]),
        "work_terminal_cny_per_mwh": _work_price(scenario, all_in),
        "soc_terminal_cny_per_mwh": all_in[region] * np.array(discharge) if region else np.zeros(0),
        "carbon_price_cny_per_kg": _carbon_price(scenario) / KG_PER_T,
        **green,
        "direct_generation_share": float(rules["self_used_of_generation_min"]),
        "direct_consumption_share": float(rules["self_used_of_consumption_min"]),
        "reserve_price_cny_per_mwh": dt_h
        * _given(market.reserve_penalty_cny_per_mwh_h, load_table("storage")["reserve"]["penalty_cny_per_mwh_h"]),
        "lost_load_cny_per_mwh": market.lost_load_cny_per_mwh,
        "diesel_cost_cny_per_mwh": float(load_table("storage")["diesel"]["cost_cny_per_mwh"]),
        "diesel_carbon_kg_per_mwh": float(load_table("carbon")["diesel_kg_per_mwh"]),
    }


def _green_rules(scenario: ScenarioConfig, energy: NDArray[np.float64]) -> dict[str, Any]:
    """The accounts' shares and prices, and the strike price `[R]` of contracted power."""
    market, table = scenario.market, load_table("tariffs")["green_power"]
    certificate = _given(market.certificate_price_cny_per_mwh, table["certificate_cny_per_mwh"])
    penalty = _given(market.green_penalty_cny_per_mwh, table["penalty_cny_per_mwh"])
    bought = min(_given(market.certificate_share_max, table["certificate_share_max"]), market.green_target)
    surcharge = _given(market.pue_surcharge_cny_per_mwh, load_table("cooling")["caps"]["surcharge_cny_per_mwh"])
    strike = np.array(
        [
            _given(site.ppa_strike_cny_per_mwh, price + table["premium_cny_per_mwh"])
            for site, price in zip(scenario.sites.values(), energy, strict=True)
        ]
    )
    spared = spared_wires(scenario)
    everywhere = np.ones_like(energy)
    price = {
        "green": certificate * everywhere,
        "green_physical": max(penalty - certificate, 0.0) * everywhere,
        "take_or_pay": strike,
        "pue": surcharge * everywhere,
        "direct_generation": spared,
        "direct_consumption": spared,
    }
    return {
        "strike": strike,
        "owed_price_cny_per_mwh": np.stack([price[account] for account in ACCOUNTS], axis=-1),
        "green_target": market.green_target,
        "physical_target": market.green_target - bought,
        "take_or_pay_share": _given(market.take_or_pay_share, table["take_or_pay_share"]),
    }


def _carbon_price(scenario: ScenarioConfig) -> NDArray[np.float64]:
    """[R] CNY/t: the scenario's price everywhere, else what the province's market bills."""
    given, billed = scenario.market.carbon_price_cny_per_t, load_table("carbon")["billed_cny_per_t"]
    names = [site_row(table_name(s, c), f"sites.{s}")["tariff"] for s, c in scenario.sites.items()]
    return np.array([billed.get(name, 0.0) if given is None else given for name in names], dtype=np.float64)


def _given(value: float | None, table: float) -> float:
    """What the scenario says, else what the table says."""
    return float(table if value is None else value)


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
