"""What must hold in every step, whatever the plan: balances, limits, bills, independence of order and of batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor

from greenhop.physics.ops import gather_ends
from greenhop.physics.params import Params
from greenhop.physics.state import ACCOUNTS, COST_TERMS, Dispatch, Flows, Plan, State
from greenhop.physics.step import initial_state, step
from tests.strategies import PLAN_KINDS, Case, Record, cases, random_plan, random_row, random_state, rollout

TIGHT = 1e-9
TOLERANCES = [(torch.float64, TIGHT), (torch.float32, 1e-5)]
KINDS = st.sampled_from(["mixed", *PLAN_KINDS])
few = settings(max_examples=15, derandomize=True, deadline=None)


def size_of(p: Params) -> float:
    """[MWh] What a step can move at most, the yardstick of rounding."""
    return float(p.capacity_mwh.sum() + p.connection_mwh.sum())


def close(a: Tensor, b: Tensor, allowed: float) -> bool:
    """Whether no entry differs by more than `allowed`."""
    return bool(((a - b).abs() <= allowed).all())


def at_ends(p: Params, per_link: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over the links leaving and entering each region: two `[B, R, …]` of one `[B, L, …]`."""
    empty = per_link.new_zeros(per_link.shape[0], len(p.regions), *per_link.shape[2:])
    return empty.index_add(1, p.link_source, per_link), empty.index_add(1, p.link_target, per_link)


def at_sites(p: Params, per_unit: Tensor) -> Tensor:
    """Sum over the units of each region: `[B, R]` of `[B, U]`."""
    return per_unit.new_zeros(per_unit.shape[0], len(p.regions)).index_add(1, p.unit_region, per_unit)


def phase(p: Params, state: State) -> Tensor:
    """[B] where the deadline clock stands."""
    return (state.world_row + state.t) % p.period


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
@given(case=cases(), kind=KINDS)
@few
def test_energy_is_conserved_in_every_region_and_step(
    dtype: torch.dtype, tolerance: float, case: Case, kind: str
) -> None:
    p = case.params
    for _, _, _, _, f in rollout(case, kind, dtype=dtype):
        came = f.green_mwh + at_sites(p, f.discharge_mwh) + f.ppa_mwh + f.grid_mwh + f.diesel_mwh + f.unserved_mwh
        went = f.facility_mwh + at_sites(p, f.charge_mwh) + f.export_mwh + f.curtail_mwh
        assert bool(((came - went).abs() <= tolerance * came.abs().clamp_min(1.0)).all())


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
@given(case=cases(), kind=KINDS)
@few
def test_deferrable_work_is_served_kept_moved_or_missed(
    dtype: torch.dtype, tolerance: float, case: Case, kind: str
) -> None:
    p = case.params.to(dtype=dtype)
    for before, _, row, after, f in rollout(case, kind, dtype=dtype):
        left, came = at_ends(p, f.migrate_mwh)
        arrived = before.backlog_mwh.sum(-1) + ((1 + p.restart_overhead) * came.sum(-1)) + row.next_arrivals_mwh
        accounted = f.serve_mwh.sum(-1) + left.sum(-1) + f.missed_mwh + after.backlog_mwh.sum(-1)
        assert close(arrived, accounted, tolerance * size_of(p))


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
@given(case=cases(), kind=KINDS)
@few
def test_online_work_is_served_or_missed_in_the_step_it_arrives(
    dtype: torch.dtype, tolerance: float, case: Case, kind: str
) -> None:
    p = case.params
    for _, _, row, _, f in rollout(case, kind, dtype=dtype):
        left, came = at_ends(p, f.route_mwh)
        presented = row.online_mwh - left + came
        assert close(presented, f.serve_online_mwh + f.missed_online_mwh, tolerance * size_of(p))


@given(case=cases(), kind=KINDS)
@few
def test_stored_energy_balances_and_stays_between_its_limits(case: Case, kind: str) -> None:
    p, allowed = case.params, TIGHT * size_of(case.params)
    for before, _, row, after, f in rollout(case, kind):
        idle = before.soc_mwh - p.standing_loss * (before.soc_mwh - p.soc_min_mwh)
        gained = p.efficiency_charge * f.charge_mwh + row.inflow_mwh - f.spill_mwh
        assert close(after.soc_mwh, idle + gained - f.discharge_mwh / p.efficiency_discharge, allowed)
        assert bool((after.soc_mwh >= p.soc_min_mwh - allowed).all())
        assert bool((after.soc_mwh <= p.soc_max_mwh + allowed).all())
        assert bool((f.charge_mwh <= p.charge_limit_mwh + allowed).all())
        assert bool((f.discharge_mwh <= p.discharge_limit_mwh + allowed).all())
        assert bool((f.spill_mwh <= row.inflow_mwh + allowed).all())


@given(case=cases(), kind=KINDS)
@few
def test_computing_and_network_limits_are_never_broken(case: Case, kind: str) -> None:
    p, allowed = case.params, TIGHT * size_of(case.params)
    for before, _, row, _, f in rollout(case, kind):
        home = f.serve_mwh.sum(-1) - f.alternative_mwh
        assert bool((home >= -allowed).all())
        work = f.serve_online_mwh @ p.online_pool + home @ p.deferrable_pool
        work = work + (f.alternative_mwh * p.alternative_room) @ p.alternative_pool
        assert bool((work <= p.capacity_mwh * row.site_availability[:, :, None] + allowed).all())
        assert bool((f.serve_mwh <= before.backlog_mwh * p.rate_limit[phase(p, before)][:, None] + allowed).all())
        assert bool((f.data_gb <= (p.link_gb * row.link_availability) * (1 + TIGHT) + TIGHT).all())
        left, _ = at_ends(p, f.migrate_mwh)
        assert bool((left <= before.backlog_mwh - f.serve_mwh + allowed).all())
        assert bool((at_ends(p, f.route_mwh)[0] <= row.online_mwh + allowed).all())
        users = row.online_mwh.index_select(1, p.link_source) * p.route_allowed
        assert bool((f.route_mwh <= users + allowed).all())
        assert bool((f.alternative_mwh * (1 - p.alternative_pool.sum(-1)) == 0).all())
        sent = (f.migrate_mwh * p.migrate_gb_per_mwh[..., None]).amax((2, 3))
        up = row.site_availability.index_select(1, p.link_source)
        assert bool((sent <= p.link_gb * row.link_availability * up * (1 + TIGHT) + TIGHT).all())
        assert bool((f.migrate_mwh * (1 - p.migrate_allowed)[..., None] == 0).all())


@given(case=cases(), kind=KINDS)
@few
def test_power_limits_are_never_broken(case: Case, kind: str) -> None:
    p, allowed = case.params, TIGHT * size_of(case.params)
    for _, _, row, _, f in rollout(case, kind):
        assert bool((f.grid_mwh + f.ppa_mwh <= p.connection_mwh * row.grid_availability + allowed).all())
        assert bool((f.ppa_mwh <= row.ppa_mwh + allowed).all())
        assert bool((f.export_mwh <= p.export_fraction * row.green_mwh + allowed).all())
        assert bool((f.export_mwh <= p.export_limit_mwh * row.grid_availability + allowed).all())
        assert bool((f.export_mwh + f.curtail_mwh <= row.green_mwh + allowed).all())
        assert bool((f.diesel_mwh <= p.diesel_limit_mwh + allowed).all())
        assert bool((at_sites(p, f.discharge_mwh) <= f.facility_mwh + allowed).all())


@given(case=cases(), kind=KINDS)
@few
def test_no_flow_and_no_backlog_is_negative(case: Case, kind: str) -> None:
    allowed = TIGHT * size_of(case.params)
    for record in rollout(case, kind):
        for name, value in record.flows._asdict().items():
            assert name == "cost_cny" or bool((value >= -allowed).all()), name
        assert bool((record.after.backlog_mwh >= -allowed).all())


@given(case=cases(), kind=KINDS)
@few
def test_work_is_missed_only_where_a_slot_closes_and_never_moves_in_its_last_step(case: Case, kind: str) -> None:
    p = case.params
    for before, _, _, after, f in rollout(case, kind):
        now = phase(p, before)
        assert bool((f.missed_mwh * (1 - p.closes[now])[:, None] == 0).all())
        assert bool((f.migrate_mwh * (p.slack[now] == 0)[:, None] == 0).all())
        assert bool((after.backlog_mwh * (1 - p.slots_used) == 0).all())


@given(case=cases())
@few
def test_all_due_work_is_missed_when_nothing_is_served(case: Case) -> None:
    p = case.params
    for before, _, _, _, f in rollout(case, "zero"):
        due = before.backlog_mwh[..., 0] * p.closes[phase(p, before)][:, None]
        assert close(f.missed_mwh, due, TIGHT * size_of(p))


def bill(p: Params, r: Record) -> dict[str, Tensor]:
    """The cost terms `[B]` from the flows, after section 4.8 of the design."""
    f, row = r.flows, r.row
    metered, relu = (f.grid_mwh + f.ppa_mwh) / p.dt_h, torch.relu
    on_site = f.green_mwh - f.curtail_mwh - f.export_mwh
    used_green = on_site + f.ppa_mwh + at_sites(p, f.discharge_mwh * p.is_csp)
    added = {
        "green": p.green_target * f.facility_mwh - used_green,
        "green_physical": p.physical_target * f.facility_mwh - used_green,
        "take_or_pay": p.take_or_pay_share * row.ppa_mwh - f.ppa_mwh,
        "pue": f.facility_mwh - p.pue_cap * f.it_mwh,
        "direct_generation": 0.6 * f.green_mwh - on_site,
        "direct_consumption": 0.3 * f.facility_mwh - on_site,
    }
    owed = r.state.owed_mwh + torch.stack([added[name] for name in ACCOUNTS], -1)
    billed = (relu(owed) - relu(r.state.owed_mwh)) * p.owed_price_cny_per_mwh
    rise = dict(zip(ACCOUNTS, billed.unbind(-1), strict=True))
    held = at_sites(p, (r.after.soc_mwh - p.soc_min_mwh) * p.firm)
    undone = (r.after.backlog_mwh.sum(-1) - row.next_arrivals_mwh) @ p.work_terminal_cny_per_mwh
    energy = (p.soc_start_mwh - r.after.soc_mwh) @ p.soc_terminal_cny_per_mwh
    last = (r.state.t + 1 == p.steps).double()
    regional = {
        "grid_energy": f.grid_mwh * (row.grid_price_cny_per_mwh + p.grid_adder_cny_per_mwh),
        "ppa": f.ppa_mwh * p.ppa_price_cny_per_mwh,
        "green_om": (f.green_mwh - f.curtail_mwh) * p.green_cost_cny_per_mwh,
        "export": -f.export_mwh * row.export_price_cny_per_mwh,
        "demand": relu(metered - r.state.peak_mw) * p.demand_fee_cny_per_mw,
        "carbon": f.carbon_kg * p.carbon_price_cny_per_kg,
        "diesel": f.diesel_mwh * p.diesel_cost_cny_per_mwh,
        "unserved": f.unserved_mwh * p.lost_load_cny_per_mwh,
        "missed": f.missed_online_mwh @ p.missed_online_cny_per_mwh + f.missed_mwh @ p.missed_cny_per_mwh,
        "green_gap": rise["green"] + rise["green_physical"],
        "take_or_pay": rise["take_or_pay"],
        "pue_excess": rise["pue"],
        "direct_rule": rise["direct_generation"] + rise["direct_consumption"],
        "wires": on_site * p.own_wires_cny_per_mwh + p.capacity_fee_cny,
        "reserve": relu(p.reserve_mwh * row.grid_availability - held) * p.reserve_price_cny_per_mwh,
        "terminal": undone * last[:, None],
    }
    terms = {name: value.sum(-1) for name, value in regional.items()}
    terms["terminal"] = terms["terminal"] + energy * last
    quality = (f.route_mwh * p.latency_cny_per_mwh).sum((1, 2))
    links = {"network": f.data_gb @ p.link_price_cny_per_gb, "latency": quality}
    return {**terms, **links, "storage": f.discharge_mwh @ p.wear_cny_per_mwh}


@given(case=cases(), kind=KINDS)
@few
def test_money_and_carbon_recomputed_from_the_flows_add_up(case: Case, kind: str) -> None:
    p = case.params
    for record in rollout(case, kind):
        f, row = record.flows, record.row
        expected = bill(p, record)
        for i, term in enumerate(COST_TERMS):
            allowed = TIGHT * (size_of(p) * 1e3 + float(expected[term].abs().max()))
            assert close(f.cost_cny[:, i], expected[term], allowed), term
        carbon = f.grid_mwh * row.carbon_kg_per_mwh + f.diesel_mwh * p.diesel_carbon_kg_per_mwh
        assert close(f.carbon_kg, carbon, TIGHT * size_of(p) * 1e3)


@given(case=cases())
@few
def test_increments_of_demand_and_accounts_add_up_to_the_bill_of_the_episode(case: Case) -> None:
    p, records = case.params, rollout(case, steps=12)
    start, end = records[0].state, records[-1].after
    flows = [r.flows for r in records]
    highest = torch.stack([(f.grid_mwh + f.ppa_mwh) / p.dt_h for f in flows]).amax(0)
    demand = (torch.relu(highest - start.peak_mw) * p.demand_fee_cny_per_mw).sum(-1)
    assert close(end.peak_mw, torch.maximum(highest, start.peak_mw), TIGHT * size_of(p))
    assert close(_total(flows, "demand"), demand, TIGHT * size_of(p) * 1e3)
    rise = (torch.relu(end.owed_mwh) - torch.relu(start.owed_mwh)) * p.owed_price_cny_per_mwh
    billed = sum(_total(flows, term) for term in ("green_gap", "take_or_pay", "pue_excess", "direct_rule"))
    assert isinstance(billed, Tensor)
    assert close(billed, rise.sum((1, 2)), TIGHT * size_of(p) * 1e3)


def _total(flows: list[Flows], term: str) -> Tensor:
    return torch.stack([f.cost_cny[:, COST_TERMS.index(term)] for f in flows]).sum(0)


def same_tree(a: Any, b: Any, p: Params, where: str = "") -> None:
    """Every tensor of two results equal up to rounding."""
    if isinstance(a, Tensor):
        money = 1e3 if "cny" in where or "carbon" in where else 1.0
        assert close(a.double(), b.double(), TIGHT * (size_of(p) * money + float(b.abs().sum()))), where
        return
    for name, x, y in zip(a._fields, a, b, strict=True):
        if x is not None:
            same_tree(x, y, p, f"{where}.{name}")


def mapped(named: Any, change: Callable[[str, Tensor], Tensor]) -> Any:
    """A named tuple, nested or not, with `change(field, tensor)` in place of every tensor."""
    if named is None:
        return None
    parts = named._asdict().items()
    return type(named)(*(change(n, x) if isinstance(x, Tensor) else mapped(x, change) for n, x in parts))


def only(named: Any, b: int) -> Any:
    """Environment `b` as a batch of one."""
    return mapped(named, lambda _, x: x[b : b + 1])


@given(case=cases())
@few
def test_row_of_a_batch_equals_the_batch_of_one(case: Case) -> None:
    for record in rollout(case, steps=4, batch=4):
        for b in range(4):
            state, plan, row, after, flows = (only(x, b) for x in record)
            after_alone, flows_alone = step(case.params, state, plan, row)
            same_tree(after_alone, after, case.params)
            same_tree(flows_alone, flows, case.params)


class Order:
    """A reordering of regions, links and units, applied to parameters and to batched tuples."""

    PER_LINK = ("route_mwh", "migrate_mwh", "data_gb", "link_availability")
    PER_UNIT = ("soc_mwh", "charge_mwh", "discharge_mwh", "spill_mwh", "inflow_mwh")
    PER_ENV = ("t", "world_row", "cost_cny")

    def __init__(self, p: Params, g: Generator) -> None:
        self.regions = torch.randperm(len(p.regions), generator=g)
        self.links = torch.randperm(len(p.links), generator=g)
        self.units = torch.randperm(len(p.units), generator=g)

    def batched(self, named: Any) -> Any:
        """A `State`, `Row`, `Plan` or `Flows` in the new order."""

        def change(name: str, x: Tensor) -> Tensor:
            if name in self.PER_ENV:
                return x
            return x[:, self.links if name in self.PER_LINK else self.units if name in self.PER_UNIT else self.regions]

        return mapped(named, change)

    def params(self, p: Params) -> Params:
        """The same scenario in the new order: rows moved, and indices renamed where a tensor holds them."""
        new_region = self.regions.argsort()
        changed: dict[str, Any] = {}
        for f in fields(p):
            value = getattr(p, f.name)
            if f.name in _BY_REGION:
                changed[f.name] = value[self.regions]
            elif f.name in _BY_LINK:
                changed[f.name] = value[self.links]
            elif f.name in _BY_UNIT:
                changed[f.name] = value[self.units]
        renamed = {name: new_region[changed[name]] for name in ("link_source", "link_target", "unit_region")}
        ends = {"links_out": renamed["link_source"], "links_in": renamed["link_target"]}
        lists = {name: gather_ends(end.tolist(), p.n_regions) for name, end in ends.items()}
        return replace(
            p, **{**changed, **renamed, **lists, "unit_of_region": changed["unit_of_region"][:, self.regions]}
        )


_BY_REGION = (
    "capacity_mwh",
    "connection_mwh",
    "peak_start_mw",
    "export_fraction",
    "export_limit_mwh",
    "diesel_limit_mwh",
    "grid_adder_cny_per_mwh",
    "ppa_price_cny_per_mwh",
    "demand_fee_cny_per_mw",
    "green_cost_cny_per_mwh",
    "own_wires_cny_per_mwh",
    "capacity_fee_cny",
    "carbon_price_cny_per_kg",
    "owed_price_cny_per_mwh",
    "pue_cap",
    "reserve_mwh",
)
_BY_LINK = (
    "link_source",
    "link_target",
    "link_gb",
    "link_price_cny_per_gb",
    "route_allowed",
    "migrate_allowed",
    "migrate_gb_per_mwh",
    "latency_cny_per_mwh",
    "sync_gb_per_mwh",
)
_BY_UNIT = (
    "unit_region",
    "unit_of_region",
    "charge_limit_mwh",
    "discharge_limit_mwh",
    "soc_min_mwh",
    "soc_max_mwh",
    "soc_start_mwh",
    "efficiency_charge",
    "efficiency_discharge",
    "standing_loss",
    "wear_cny_per_mwh",
    "is_csp",
    "firm",
    "soc_terminal_cny_per_mwh",
)


@given(case=cases())
@few
def test_reordering_regions_links_and_units_reorders_the_result_and_no_more(case: Case) -> None:
    order = Order(case.params, Generator().manual_seed(case.seed))
    params = order.params(case.params)
    for record in rollout(case, steps=4):
        after, flows = step(params, *(order.batched(x) for x in record[:3]))
        same_tree(after, order.batched(record.after), case.params)
        same_tree(flows, order.batched(record.flows), case.params)


def plan_of(f: Flows) -> Plan:
    """The full-resolution plan that asks for exactly what happened."""
    power = Dispatch(f.ppa_mwh, f.diesel_mwh, f.export_mwh, f.curtail_mwh)
    wishes: dict[str, Tensor] = {name: getattr(f, name) for name in Plan._fields if name != "dispatch"}
    return Plan(**wishes, dispatch=power)


@given(case=cases(), kind=KINDS)
@few
def test_a_feasible_plan_passes_unchanged(case: Case, kind: str) -> None:
    for record in rollout(case, kind):
        after, flows = step(case.params, record.state, plan_of(record.flows), record.row)
        same_tree(flows, record.flows, case.params)
        same_tree(after, record.after, case.params)


@given(case=cases(), scale=st.sampled_from([0.1, 0.5, 1.0]))
@few
def test_merit_order_costs_no_more_than_any_given_dispatch_with_accounts_at_their_prices(
    case: Case, scale: float
) -> None:
    """Accounts count at the price they have before the dispatch: full where they are in deficit, else nothing."""
    p, g = case.params, Generator().manual_seed(case.seed)
    state, row = random_state(p, g, 3), random_row(p, g, 3)
    given_plan = random_plan(p, g, 3, "mixed", dispatch=True)
    assert given_plan.dispatch is not None
    scaled = Dispatch(*(x * scale for x in given_plan.dispatch))
    terms = [
        COST_TERMS.index(t)
        for t in ("grid_energy", "ppa", "green_om", "export", "carbon", "diesel", "unserved", "wires")
    ]

    def cost(dispatch: Dispatch | None) -> Tensor:
        after, f = step(p, state, given_plan._replace(dispatch=dispatch), row)
        own = f.green_mwh - f.curtail_mwh - f.export_mwh
        done = torch.stack((own + f.ppa_mwh, own + f.ppa_mwh, f.ppa_mwh, 0 * own, own, own), -1)
        deficit = (after.owed_mwh + done > 0.0).double() * p.owed_price_cny_per_mwh
        return f.cost_cny[:, terms].sum(1) + (deficit * after.owed_mwh).sum((1, 2))

    assert bool((cost(None) <= cost(scaled) + TIGHT * size_of(p) * 1e3).all())


@given(case=cases())
@few
def test_the_initial_state_stands_at_the_floor_half_full_and_without_a_gap(case: Case) -> None:
    p = case.params
    warm = random_state(p, Generator().manual_seed(case.seed), 2)
    state = initial_state(p, warm.backlog_mwh, warm.world_row)
    assert torch.equal(state.soc_mwh, ((p.soc_min_mwh + p.soc_max_mwh) / 2).expand(2, -1))
    assert torch.equal(state.peak_mw, p.peak_start_mw.expand(2, -1))
    assert torch.equal(state.backlog_mwh, warm.backlog_mwh)
    assert torch.equal(state.world_row, warm.world_row)
    assert not any(x.any() for x in (state.owed_mwh, state.t))
