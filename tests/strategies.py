"""Random scenarios, worlds and plans for the physics tests: hypothesis draws sizes and seed, generators the numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Generator, Tensor

from greenhop.physics.params import Params
from greenhop.physics.state import ACCOUNTS, Dispatch, Flows, Plan, Row, State
from greenhop.physics.step import step
from greenhop.scenario.config import ScenarioConfig
from greenhop.scenario.join import build_params
from greenhop.scenario.tables import load_table

PLAN_KINDS = ("zero", "negative", "small", "moderate", "wild", "huge")
_PLAN_RANGE = {
    "zero": (0.0, 0.0),
    "negative": (-100.0, 0.0),
    "small": (0.0, 0.02),
    "moderate": (0.0, 0.5),
    "wild": (-1.0, 2.0),
    "huge": (1e3, 1e9),
}
_EPISODE_H = 6.0


@dataclass(frozen=True)
class Case:
    """A random scenario with its parameters (float64) and the seed of its worlds and plans."""

    scenario: ScenarioConfig
    params: Params
    seed: int

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What hypothesis shows of a failing case: not its tensors."""
        p = self.params
        sizes = f"R={len(p.regions)}, L={len(p.links)}, K={len(p.deferrable)}, Z={len(p.online)}, U={len(p.units)}"
        printer.text(f"Case(seed={self.seed}, dt_h={p.dt_h}, P={len(p.pools)}, {sizes})")


class Record(NamedTuple):
    """One step as it was taken."""

    state: State
    plan: Plan
    row: Row
    after: State
    flows: Flows


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A scenario of 2-4 regions, 1-3 deferrable and 0-2 online classes, some links and 0-3 units, and its `Params`."""
    sizes = {
        "regions": draw(st.integers(2, 4)),
        "deferrable": draw(st.integers(1, 3)),
        "online": draw(st.integers(0, 2)),
        "units": draw(st.integers(0, 3)),
        "pools": draw(st.integers(1, 3)),
    }
    dt_h = draw(st.sampled_from([1.0, 0.5, 0.25]))
    return make_case(sizes, dt_h, draw(st.integers(0, 2**31 - 1)))


def make_case(sizes: dict[str, int], dt_h: float, seed: int) -> Case:
    """The case of these `sizes`, the same for the same arguments."""
    rng = np.random.default_rng(seed)
    scenario = ScenarioConfig.model_validate(_scenario(sizes, dt_h, rng))
    params = build_params(scenario, dtype=torch.float64)
    return Case(scenario, _stirred(params, Generator().manual_seed(seed)), seed)


def _scenario(sizes: dict[str, int], dt_h: float, rng: np.random.Generator) -> dict[str, Any]:
    names = list(load_table("sites"))[: sizes["regions"]]
    pools = ["general", "ai", "hpc"][: sizes["pools"]]
    share = 1.0 / (sizes["online"] + sizes["deferrable"])
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    linked = [pair for pair in pairs if rng.random() < 0.7]
    return {
        "name": "random",
        "dt_h": dt_h,
        "episode": {"length_h": _EPISODE_H, "start_every_h": 1.0},
        "sites": {name: _site(rng) for name in names},
        "links": [{"between": pair, "staged": float(rng.choice([0.0, 0.5, 1.0]))} for pair in linked],
        "storage": {f"unit{i}": _unit(names, rng) for i in range(sizes["units"])},
        "pools": {p: {"idle_share": float(rng.uniform(0, 0.6)), "capacity_share": 1.0 / len(pools)} for p in pools},
        "online": {f"online{i}": _online(pools, share, rng) for i in range(sizes["online"])},
        "deferrable": {f"batch{i}": _deferrable(pools, share, rng) for i in range(sizes["deferrable"])},
    }


def _site(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "it_capacity_mw": float(rng.uniform(5, 100)),
        "off_grid": bool(rng.random() < 0.15),
        "connection_ratio": float(rng.uniform(0.3, 1.6)),
        "export_fraction": float(rng.choice([0.0, 0.2, 1.0])),
        "diesel_ratio": float(rng.choice([0.0, 0.3])),
    }


def _unit(names: list[str], rng: np.random.Generator) -> dict[str, Any]:
    kind = str(rng.choice(["battery", "shared", "csp"]))
    field_mw = float(rng.uniform(1, 50)) if kind == "csp" else 0.0
    where, power = str(rng.choice(names)), float(rng.uniform(1, 60))
    return {"site": where, "kind": kind, "power_mw": power, "duration_h": 2.0, "csp_field_mw": field_mw}


def _online(pools: list[str], share: float, rng: np.random.Generator) -> dict[str, Any]:
    return {
        "pool": str(rng.choice(pools)),
        "energy_share": share,
        "latency_budget_ms": 60.0,
        "latency_cny_per_ms_mwh": float(rng.choice([0.0, 5.0])),
        "gb_per_mwh": float(rng.uniform(0, 5000)),
        "missed_penalty_cny_per_mwh": 8000.0,
    }


def _deferrable(pools: list[str], share: float, rng: np.random.Generator) -> dict[str, Any]:
    quantum = int(rng.choice([1, 2, 3]))
    pool, other = (str(p) for p in rng.choice(pools, 2))
    speed = float(rng.uniform(0.3, 2.0))
    elsewhere = {"pool": other, "speed": speed, "energy": float(rng.uniform(0.5, 1.0)) / speed}
    return {
        "pool": pool,
        "alternative": elsewhere if other != pool else None,
        "energy_share": share,
        "window_h": float(quantum + rng.integers(0, 7)),
        "quantum_h": float(quantum),
        "max_rate_per_h": float(rng.uniform(0.05, 1.5)),
        "latency_budget_ms": 100.0,
        "restart_overhead": float(rng.choice([0.0, 0.03, 0.2])),
        "replica_sync": [None, 0.0, 0.3][int(rng.integers(3))],
        "gb_per_mwh": float(rng.uniform(0, 5000)),
        "missed_penalty_cny_per_mwh": 5000.0,
    }


def _stirred(params: Params, g: Generator) -> Params:
    """Numbers that tables would leave tame: small links, forbidden pairs, losses, wear, CSP that may also charge."""

    def like(x: Tensor, low: float, high: float) -> Tensor:
        return _uniform(g, tuple(x.shape), low, high)

    return replace(
        params,
        link_gb=like(params.link_gb, 0, 4e4) * params.dt_h,
        link_price_cny_per_gb=like(params.link_price_cny_per_gb, 0, 0.1),
        route_allowed=(like(params.route_allowed, -0.3, 1.6)).clamp(0.0, 1.0),
        migrate_allowed=(like(params.migrate_allowed, 0, 1) < 0.8).double(),
        charge_limit_mwh=params.discharge_limit_mwh * like(params.discharge_limit_mwh, 0, 1),
        standing_loss=like(params.standing_loss, 0, 0.1),
        wear_cny_per_mwh=like(params.wear_cny_per_mwh, 0, 300),
        green_cost_cny_per_mwh=like(params.green_cost_cny_per_mwh, 0, 600),
        export_limit_mwh=params.connection_mwh * like(params.connection_mwh, 0, 1),
        owed_price_cny_per_mwh=like(params.owed_price_cny_per_mwh, -100, 100).clamp_min(0.0),
        own_wires_cny_per_mwh=like(params.own_wires_cny_per_mwh, -100, 100).clamp_min(0.0),
        carbon_price_cny_per_kg=like(params.carbon_price_cny_per_kg, -0.2, 0.2).clamp_min(0.0),
        capacity_fee_cny=like(params.capacity_fee_cny, 0, 1e3),
        firm=params.efficiency_discharge * (like(params.firm, 0, 1) < 0.5),
        reserve_mwh=like(params.reserve_mwh, -20, 20).clamp_min(0.0),
    )


def _uniform(g: Generator, shape: tuple[int, ...], low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=g, dtype=torch.float64)


def _rare(g: Generator, x: Tensor, value: float, chance: float = 0.15) -> Tensor:
    """`x` with some entries set to `value`."""
    return torch.where(torch.rand(x.shape, generator=g, dtype=torch.float64) < chance, value, x)


def random_state(p: Params, g: Generator, batch: int) -> State:
    """A state inside every limit, anywhere in the episode and in the year."""
    n_regions, n_slots = len(p.regions), p.n_slots
    room = p.capacity_mwh.sum(1)[None, :, None, None] / len(p.deferrable)
    backlog = _rare(g, _uniform(g, (batch, n_regions, len(p.deferrable), n_slots), 0, 1.5), 0.0) * room * p.slots_used
    fill = _uniform(g, (batch, len(p.units)), 0, 1)
    return State(
        backlog_mwh=backlog,
        soc_mwh=p.soc_min_mwh + fill * (p.soc_max_mwh - p.soc_min_mwh),
        peak_mw=p.peak_start_mw.expand(batch, -1).clone(),
        owed_mwh=_uniform(g, (batch, n_regions, len(ACCOUNTS)), -5, 5),
        t=torch.randint(0, p.steps, (batch,), generator=g),
        world_row=torch.randint(0, p.rows_per_year, (batch,), generator=g),
    )


def random_row(p: Params, g: Generator, batch: int) -> Row:
    """A world with calm, outages, negative prices and prices that tie."""
    by_region = (batch, len(p.regions))
    site_mwh = p.capacity_mwh.sum(1)
    price = _rare(g, _uniform(g, by_region, -100, 900), 0.0)
    cap = price + p.grid_adder_cny_per_mwh
    export = torch.minimum(_uniform(g, by_region, -50, 500), cap)
    tied = torch.minimum(p.green_cost_cny_per_mwh.expand(by_region), cap)
    return Row(
        green_mwh=_rare(g, _uniform(g, by_region, 0, 2), 0.0) * site_mwh,
        ppa_mwh=_rare(g, _uniform(g, by_region, 0, 0.7), 0.0) * site_mwh,
        pue_full=_uniform(g, by_region, 1.02, 1.7),
        grid_price_cny_per_mwh=price,
        export_price_cny_per_mwh=torch.where(_uniform(g, by_region, 0, 1) < 0.2, tied, export),
        carbon_kg_per_mwh=_uniform(g, by_region, 50, 900),
        site_availability=_rare(g, _rare(g, _uniform(g, by_region, 0, 1), 1.0, 0.7), 0.0, 0.1),
        grid_availability=_rare(g, _rare(g, _uniform(g, by_region, 0, 1), 1.0, 0.7), 0.0, 0.1),
        online_mwh=_rare(g, _uniform(g, (*by_region, len(p.online)), 0, 0.6), 0.0) * site_mwh[:, None],
        next_arrivals_mwh=_rare(g, _uniform(g, (*by_region, len(p.deferrable)), 0, 0.6), 0.0) * site_mwh[:, None],
        link_availability=_rare(g, _uniform(g, (batch, len(p.links)), 0, 1), 0.0),
        inflow_mwh=_rare(g, _uniform(g, (batch, len(p.units)), 0, 40), 0.0) * p.is_csp * p.dt_h,
    )


def random_plan(p: Params, g: Generator, batch: int, kind: str, dispatch: bool) -> Plan:
    """A plan of one of `PLAN_KINDS`; "mixed" draws a kind for every entry."""
    n_regions, n_links, n_classes = len(p.regions), len(p.links), len(p.deferrable)

    def wish(*shape: int) -> Tensor:
        size = (batch, *shape)
        choices = torch.stack([_uniform(g, size, *_PLAN_RANGE[k]) for k in (PLAN_KINDS if kind == "mixed" else [kind])])
        pick = torch.randint(0, len(choices), size, generator=g)
        return choices.gather(0, pick[None])[0] * float(p.capacity_mwh.mean()) * 2

    power = Dispatch(wish(n_regions), wish(n_regions), wish(n_regions), wish(n_regions)) if dispatch else None
    return Plan(
        route_mwh=wish(n_links, len(p.online)),
        serve_online_mwh=wish(n_regions, len(p.online)),
        migrate_mwh=wish(n_links, n_classes, p.n_slots),
        serve_mwh=wish(n_regions, n_classes, p.n_slots),
        charge_mwh=wish(len(p.units)),
        discharge_mwh=wish(len(p.units)),
        spill_mwh=wish(len(p.units)),
        alternative_mwh=wish(n_regions, n_classes),
        dispatch=power,
    )


def cast(named: Any, dtype: torch.dtype) -> Any:
    """A named tuple of tensors with its floating tensors in another dtype."""
    if named is None:
        return None
    if isinstance(named, Tensor):
        return named.to(dtype) if named.is_floating_point() else named
    return type(named)(*(cast(value, dtype) for value in named))


def rollout(
    case: Case, kind: str = "mixed", steps: int = 6, batch: int = 3, dtype: torch.dtype = torch.float64
) -> list[Record]:
    """`steps` steps under random plans, every other step with a given dispatch."""
    g = Generator().manual_seed(case.seed + 1)
    params = case.params.to(dtype=dtype)
    state: State = cast(random_state(case.params, g, batch), dtype)
    records = []
    for i in range(steps):
        row: Row = cast(random_row(case.params, g, batch), dtype)
        plan: Plan = cast(random_plan(case.params, g, batch, kind, dispatch=i % 2 == 1), dtype)
        after, flows = step(params, state, plan, row)
        records.append(Record(state, plan, row, after, flows))
        state = after
    return records
