"""Does a scenario show what its table of targets says? Measured on held-out episodes and their optimal plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from greenhop.episode.simulator import Simulator
from greenhop.lp.bound import Bound
from greenhop.lp.solve import Options
from greenhop.physics.params import Params
from greenhop.scenario.geo import great_circle_km, latency_ms
from greenhop.scenario.sites import locations_deg
from greenhop.scenario.tables import load_table
from greenhop.world.cooling import pue_full
from greenhop.world.places import places_of
from greenhop_agents.scoring.bounds import solve_all
from greenhop_agents.scoring.evaluate import Episode, Progress, evaluate
from greenhop_agents.shelf.find import find_policy

FULL = 0.999  # share of a limit from which an interior-point solution counts as being at it
RENT_CNY_PER_MWH = 1.0  # rents below this are the solver's noise
RENT_CNY_PER_GB = 1e-3


@dataclass(frozen=True)
class Check:
    """One target and what was measured; `value` is None where the simulator does not model the quantity."""

    name: str
    what: str
    unit: str
    low: float | None
    high: float | None
    source: str
    value: float | None

    @property
    def passed(self) -> bool | None:
        """None where nothing was measured."""
        if self.value is None:
            return None
        return (self.low is None or self.value >= self.low) and (self.high is None or self.value <= self.high)

    @property
    def wanted(self) -> str:
        """The range in words."""
        if self.low is None:
            return f"≤ {self.high:g}"
        return f"≥ {self.low:g}" if self.high is None else f"{self.low:g}–{self.high:g}"

    def as_row(self) -> dict[str, Any]:
        """A flat record for JSON."""
        return {**vars(self), "passed": self.passed}


@dataclass(frozen=True)
class Binding:
    """Share of an episode's hours in which at least one limit of a kind binds in the optimal plan."""

    pools: float
    links: float
    batteries: float


@dataclass(frozen=True)
class Measured:
    """The episodes a calibration rests on."""

    stay: list[Episode]
    follow: list[Episode]
    bound_cny: list[float]
    optimal: list[dict[str, float]]  # totals of the optimal plans
    binding: list[Binding]

    def costs_cny(self) -> dict[str, float]:
        """Mean cost of an episode by policy, the bound last."""
        return {
            "stay": float(np.mean([e.cost_cny for e in self.stay])),
            "price_follow": float(np.mean([e.cost_cny for e in self.follow])),
            "bound": float(np.mean(self.bound_cny)),
        }


def checks(values: Mapping[str, float]) -> list[Check]:
    """Every target of the table beside its measured value."""
    return [
        Check(name, t["what"], t["unit"], t.get("low"), t.get("high"), t["source"], values.get(name))
        for name, t in load_table("calibration").items()
    ]


def measure(sim: Simulator, starts: Sequence[int], workers: int, progress: Progress | None = None) -> Measured:
    """Run the rules and solve the bound of every episode from `starts`."""
    runs = {name: evaluate(sim, find_policy(name, sim), starts) for name in ("stay", "price_follow")}
    solved: dict[int, tuple[Bound, dict[str, float]]] = {}
    for i, result in solve_all(sim, starts, Options(), workers):
        solved[i] = result
        if progress:
            progress(len(solved), len(starts))
    in_order = [solved[i] for i in range(len(starts))]
    return Measured(
        stay=runs["stay"],
        follow=runs["price_follow"],
        bound_cny=[b.lower_bound for b, _ in in_order],
        optimal=[totals for _, totals in in_order],
        binding=[binding(sim.params, b) for b, _ in in_order],
    )


def binding(params: Params, solved: Bound) -> Binding:
    """Where limits bind: by the rents of pools and links, by the power of batteries (CSP left out)."""
    plan, battery = solved.plan, params.is_csp.cpu() == 0
    rate = torch.maximum(
        plan.charge_mwh / params.charge_limit_mwh.cpu().clamp_min(1e-9),
        plan.discharge_mwh / params.discharge_limit_mwh.cpu().clamp_min(1e-9),
    )[:, battery]
    return Binding(
        pools=_hours(solved.duals["capacity"] > RENT_CNY_PER_MWH),
        links=_hours(solved.duals["links"] < -RENT_CNY_PER_GB),
        batteries=_hours(rate.numpy() >= FULL),
    )


def _hours(binds: NDArray[np.bool_]) -> float:
    """Share of snapshots `[T, …]` in which any entry is true."""
    return float(binds.reshape(len(binds), -1).any(axis=1).mean())


def ladder(sim: Simulator, measured: Measured) -> dict[str, float]:
    """Values that need episodes, by the names of the table."""
    stay, follow, best = measured.costs_cny().values()
    total = _sum(e.totals for e in measured.stay)
    optimal = _sum(measured.optimal)
    site = _sum(s for e in measured.stay for s in e.sites.values())
    hours = len(measured.stay) * sim.params.steps * sim.params.dt_h
    nameplate_mwh = hours * float(sim.params.capacity_mwh.sum()) / sim.params.dt_h
    out = {
        "stay_missed": 100 * total["missed_mwh"] / (total["served_mwh"] + total["missed_mwh"]),
        "bound_of_stay": 100 * best / stay,
        "follow_of_stay": 100 * follow / stay,
        "follow_above_bound": 100 * (follow / best - 1),
        "it_power": 100 * site["it_mwh"] / nameplate_mwh,
        "work_loading": 100 * total["served_mwh"] / nameplate_mwh,
        "own_green": 100 * site["self_used_mwh"] / site["facility_mwh"],
        "curtailed": 100 * site["curtailed_mwh"] / max(site["green_mwh"], 1e-9),
        "curtailed_bound_of_stay": 100 * optimal["curtailed_mwh"] / max(total["curtailed_mwh"], 1e-9),
        "hub_pue": site["facility_mwh"] / site["it_mwh"],
        "pools_bind": 100 * float(np.mean([b.pools for b in measured.binding])),
        "links_bind": 100 * float(np.mean([b.links for b in measured.binding])),
        "batteries_bind": 100 * float(np.mean([b.batteries for b in measured.binding])),
    }
    if "zhangjiakou" in sim.params.regions:
        out["zhangjiakou_facility"] = sum(e.sites["zhangjiakou"]["facility_mwh"] for e in measured.stay) / hours
    return out


def _sum(records: Any) -> dict[str, float]:
    out: dict[str, float] = {}
    for record in records:
        for key, value in record.items():
            out[key] = out.get(key, 0.0) + value
    return out


def facts(sim: Simulator) -> dict[str, float]:
    """Values that follow from parameters and world rows alone, by the names of the table."""
    latency = _latencies(sim)
    return {
        "direct_saving": _direct_saving(),
        "legacy_pue": _legacy_pue(sim),
        "latency_mean": float(latency.mean()),
        "latency_max": float(latency.max()),
        "arrivals_peak": _arrivals_peak(sim),
        "battery_spread": _battery_spread(),
    }


def _latencies(sim: Simulator) -> NDArray[np.float64]:
    places = locations_deg(sim.scenario)
    a, b = np.triu_indices(len(places), 1)
    return np.asarray(latency_ms(great_circle_km(places[a], places[b])), dtype=np.float64)


def _direct_saving() -> float:
    """% of the flat all-in price saved when half the energy pays no wires, no system fee and no line loss."""
    common, tariffs = load_table("tariffs")["common"], load_table("tariffs")["provinces"]
    tariff = tariffs["ningxia"]
    spared = tariff["td_cny_per_mwh"] + common["system_operation_cny_per_mwh"] + common["line_loss_cny_per_mwh"]
    fees = sum(value for key, value in common.items() if key != "source")
    return float(100 * 0.5 * spared / (tariff["energy_cny_per_mwh"] + tariff["td_cny_per_mwh"] + fees))


def _legacy_pue(sim: Simulator) -> float:
    """Mean over the sites and hours of the bank, weighted by capacity."""
    _, seen = sim.bank.layout.unpack(sim.bank.table)
    places, sites = places_of(sim.scenario)
    capacity = sim.params.capacity_mwh.sum(-1).cpu().numpy()
    degrees = seen.temperature_c.cpu().double().numpy()
    means = [pue_full(places[i], "air_chiller_legacy", degrees[:, r]).mean() for r, i in enumerate(sites)]
    return float(np.average(means, weights=capacity))


def _arrivals_peak(sim: Simulator) -> float:
    """99.9th percentile of an hour's arrivals over the mean, of the class and site where it is largest."""
    row, _ = sim.bank.layout.unpack(sim.bank.table)
    work = torch.cat((row.online_mwh, row.next_arrivals_mwh), dim=-1).cpu().double().numpy()
    return float((np.quantile(work, 0.999, axis=0) / work.mean(axis=0)).max())


def _battery_spread(bought_cny_per_mwh: float = 300.0) -> float:
    """CNY/MWh between selling and buying price that pays for losses and wear."""
    t = load_table("storage")["battery"]
    sold = bought_cny_per_mwh / (t["efficiency_charge"] * t["efficiency_discharge"]) + t["wear_cny_per_mwh"]
    return float(sold - bought_cny_per_mwh)
