"""Windows for the tests of the linear programme: random ones, and tiny ones whose numbers are typed in."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from greenhop.physics.params import Params
from greenhop.physics.state import ACCOUNTS, Row, State
from greenhop.physics.step import initial_state
from greenhop.scenario.config import parse_scenario
from greenhop.scenario.find import load_scenario
from greenhop.scenario.join import build_params
from greenhop.world.bank import WorldBank, build_bank
from tests.strategies import make_case, random_row, random_state


class Case(NamedTuple):
    """What `bound` is asked: parameters, a state (batch of one) and rows with the snapshot axis first."""

    params: Params
    state: State
    rows: Row


def random_case(seed: int, steps: int = 12) -> Case:
    """A random scenario with storage, PPA, export, demand fee, green share and links, at a random clock phase."""
    rng = np.random.default_rng(seed)
    sizes = {
        "regions": int(rng.integers(2, 4)),
        "deferrable": int(rng.integers(1, 4)),
        "online": int(rng.integers(0, 3)),
        "units": int(rng.integers(0, 4)),
        "pools": int(rng.integers(1, 4)),
    }
    params = make_case(sizes, [1.0, 0.5, 0.25][seed % 3], seed).params
    return _cut(replace(params, steps=steps), seed)


@cache
def _bank(name: str) -> tuple[Params, WorldBank]:
    scenario = load_scenario(name)
    params = build_params(scenario, dtype=torch.float64)
    return params, build_bank(scenario, params, "test", year_ids=(0,))


def world_case(name: str, episode: int, steps: int = 24) -> Case:
    """The first `steps` steps of an episode of the first test year, as an episode of their own."""
    params, bank = _bank(name)
    start = bank.starts[episode : episode + 1]
    rows, _ = bank.layout.unpack(bank.table[int(start) : int(start) + steps])
    state = initial_state(params, bank.warm_mwh[episode : episode + 1], start)
    return Case(replace(params, steps=steps), state, rows)


def scenario_case(name: str, seed: int, steps: int = 12) -> Case:
    """A shipped scenario under random rows."""
    params = build_params(load_scenario(name), dtype=torch.float64)
    return _cut(replace(params, steps=steps), seed)


def _cut(params: Params, seed: int) -> Case:
    g = Generator().manual_seed(seed)
    state = random_state(params, g, 1)._replace(t=torch.zeros(1, dtype=torch.int64))
    phase = int(state.world_row[0]) % params.period
    used = torch.arange(params.n_slots) <= params.joins[phase].argmax(-1)[:, None]
    return Case(params, state._replace(backlog_mwh=state.backlog_mwh * used), random_row(params, g, params.steps))


def tiny_params(regions: int = 1, steps: int = 2, battery: bool = False, **changes: Any) -> Params:
    """Sites of 10 MW, PUE 1, no idle power; work due at once or within two steps; nothing costs but the grid."""
    names = ["horinger", "yangtze_demo"][:regions]
    site = {"it_capacity_mw": 10.0, "connection_ratio": 4.0, "export_fraction": 0.0}
    deferrable = {
        "pool": "ai", "energy_share": 0.5, "window_h": 2.0, "quantum_h": 1.0, "max_rate_per_h": 1.0,
        "latency_budget_ms": 1000.0, "restart_overhead": 0.1, "gb_per_mwh": 10.0, "missed_penalty_cny_per_mwh": 5000.0,
    }  # fmt: skip
    live = {
        "pool": "ai", "energy_share": 0.5, "latency_budget_ms": 1000.0, "gb_per_mwh": 20.0,
        "missed_penalty_cny_per_mwh": 8000.0,
    }  # fmt: skip
    scenario = {
        "name": "tiny",
        "episode": {"length_h": float(steps)},
        "sites": dict.fromkeys(names, site),
        "links": [{"between": names, "price_cny_per_gb": 1.0, "bandwidth_gbps": 1.0}] if regions == 2 else [],
        "storage": {"b": {"site": names[0], "power_mw": 5.0, "wear_cny_per_mwh": 0.0}} if battery else {},
        "pools": {"ai": {"idle_share": 0.0, "capacity_share": 1.0}},
        "online": {"chat": live},
        "deferrable": {"batch": deferrable},
        "market": {"carbon_price_cny_per_t": 0.0, "green_cost_cny_per_mwh": 0.0},
    }
    params = build_params(parse_scenario(scenario), dtype=torch.float64)
    zero = torch.zeros(regions, dtype=torch.float64)
    free = {"owed_price_cny_per_mwh": torch.zeros(regions, len(ACCOUNTS), dtype=torch.float64)}
    return replace(params, **{"grid_adder_cny_per_mwh": zero, "demand_fee_cny_per_mw": zero, **free, **changes})


def owed_price(**price: float) -> Tensor:
    """[1, A] prices of the accounts named, 0 of the others."""
    return torch.tensor([[price.get(name, 0.0) for name in ACCOUNTS]], dtype=torch.float64)


def tiny_case(params: Params, price: list[list[float]], backlog: list[list[float]], **fields: Any) -> Case:
    """`price` [T][R] CNY/MWh and `backlog` [R][S] MWh of the class; further fields of `Row` as nested lists."""
    steps, regions = len(price), params.n_regions
    zero, one = torch.zeros(steps, regions, dtype=torch.float64), torch.ones(steps, regions, dtype=torch.float64)
    rows: dict[str, Tensor] = {
        **dict.fromkeys(("green_mwh", "ppa_mwh", "export_price_cny_per_mwh", "carbon_kg_per_mwh"), zero),
        **dict.fromkeys(("pue_full", "site_availability", "grid_availability"), one),
        "grid_price_cny_per_mwh": torch.tensor(price, dtype=torch.float64),
        "online_mwh": torch.zeros(steps, regions, len(params.online), dtype=torch.float64),
        "next_arrivals_mwh": torch.zeros(steps, regions, 1, dtype=torch.float64),
        "link_availability": torch.ones(steps, len(params.links), dtype=torch.float64),
        "inflow_mwh": torch.zeros(steps, len(params.units), dtype=torch.float64),
    }
    rows |= {name: torch.tensor(value, dtype=torch.float64) for name, value in fields.items()}
    waiting = torch.zeros(1, regions, 1, params.n_slots, dtype=torch.float64)
    given = torch.tensor(backlog, dtype=torch.float64)
    waiting[0, :, 0, : given.shape[1]] = given
    zero_time = torch.zeros(1, dtype=torch.int64)
    owed = torch.zeros(1, regions, len(ACCOUNTS), dtype=torch.float64)
    soc, peak = params.soc_start_mwh[None], params.peak_start_mw[None]
    return Case(params, State(waiting, soc, peak, owed, zero_time, zero_time), Row(**rows))
