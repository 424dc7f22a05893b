"""Does a scenario show what its table of targets says? Measured on held-out episodes and their optimal plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from greenhop.cache import cached, key_of
from greenhop.episode.simulator import Simulator
from greenhop.lp.bound import Bound, bound
from greenhop.lp.replay import replayed
from greenhop.lp.solve import Options
from greenhop.physics.params import Params
from greenhop.scenario.config import ScenarioConfig
from greenhop.scenario.fibre import latency_ms
from greenhop.scenario.geo import great_circle_km
from greenhop.scenario.sites import locations_deg, tariff_rows
from greenhop.scenario.tables import load_table
from greenhop.world.cooling import pue_full
from greenhop.world.places import places_of
from greenhop_agents.scoring.bounds import Task, episode_window, in_parallel, known
from greenhop_agents.scoring.electricity import SiteBill, added, electricity_of_opex, price_cny_per_mwh, site_bills
from greenhop_agents.scoring.episodes import walk
from greenhop_agents.scoring.evaluate import Episode, Progress, evaluate
from greenhop_agents.shelf.find import find_policy
from greenhop_agents.studies.felt import View, seen_as

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


class Optimum(NamedTuple):
    """What is kept of the optimal plan of an episode."""

    bound_cny: float
    pools: float  # share of hours in which a limit of the kind binds somewhere
    links: float
    batteries: float
    curtailed_mwh: float
    sites: dict[str, SiteBill]


@dataclass(frozen=True)
class Measured:
    """The episodes a calibration rests on; the optima are those of the first of them."""

    stay: list[Episode]
    follow: list[Episode]
    stay_bills: dict[str, SiteBill]
    optima: list[Optimum]

    def costs_cny(self) -> dict[str, float]:
        """Mean cost of an episode by policy, over the episodes that were optimised, the bound last."""
        n = len(self.optima)
        return {
            "stay": float(np.mean([e.cost_cny for e in self.stay[:n]])),
            "price_follow": float(np.mean([e.cost_cny for e in self.follow[:n]])),
            "bound": float(np.mean([o.bound_cny for o in self.optima])),
        }


def checks(values: Mapping[str, float]) -> list[Check]:
    """Every target of the table beside its measured value."""
    return [
        Check(name, t["what"], t["unit"], t.get("low"), t.get("high"), t["source"], values.get(name))
        for name, t in load_table("calibration").items()
    ]


def measure(
    sim: Simulator, starts: Sequence[int], bounds: int, workers: int, progress: Progress | None = None
) -> Measured:
    """Run the rules in every episode from `starts` and solve the first `bounds` of them."""
    runs = {name: evaluate(sim, find_policy(name, sim), starts) for name in ("stay", "price_follow")}
    stay = find_policy("stay", sim)
    steps = (
        (sim.bank.layout.unpack(w.before.packed)[0], w.before.state, w.flows, w.after.state)
        for w in walk(sim, stay, torch.as_tensor(starts, device=sim.params.device))
    )
    return Measured(
        stay=runs["stay"],
        follow=runs["price_follow"],
        stay_bills=site_bills(sim.params, sim.scenario, steps),
        optima=optima(sim, starts[:bounds], workers, progress),
    )


def optima(
    sim: Simulator, starts: Sequence[int], workers: int, progress: Progress | None = None, overrides: Sequence[str] = ()
) -> list[Optimum]:
    """The optimum of the episode from each of `starts` under `overrides` of the scenario's rules (its weather stays).

    Every optimum is kept on disk as soon as it is found.
    """
    view = View(overrides=list(overrides))
    jobs = (
        (seen_as(view, sim.scenario, Task(*episode_window(sim, start), Options())), sim.scenario) for start in starts
    )
    found: dict[int, Optimum] = {}
    for i, optimum in in_parallel(_solved, jobs, min(workers, len(starts)), _solved_before):
        found[i] = optimum
        if progress:
            progress(len(found), len(starts))
    return [found[i] for i in range(len(starts))]


def _solved(job: tuple[Task, ScenarioConfig]) -> Optimum:
    task, scenario = job

    def make() -> dict[str, NDArray[Any]]:
        solved = bound(*task)
        steps = list(replayed(task.params, task.state, task.rows, solved.plan))
        before = [task.state, *(step.state for step in steps)]
        bills = site_bills(
            task.params, scenario, ((s.row, b, s.flows, s.state) for s, b in zip(steps, before, strict=False))
        )
        facts = [
            solved.lower_bound,
            *binding(task.params, solved),
            sum(float(s.flows.curtail_mwh.sum()) for s in steps),
        ]
        return {"facts": np.array(facts), "sites": np.array([list(bill.values()) for bill in bills.values()])}

    return _optimum(task, cached(_folder(task), _key(task, scenario), make))


def _solved_before(job: tuple[Task, ScenarioConfig]) -> Optimum | None:
    found = known(_folder(job[0]), _key(*job))
    return None if found is None else _optimum(job[0], found)


def _folder(task: Task) -> str:
    return f"calibration/{task.params.name}"


def _key(task: Task, scenario: ScenarioConfig) -> str:
    """The programme's numbers, and the feed-in prices its plants are paid."""
    return key_of(task.key, [t["feed_in_cny_per_mwh"] for t in tariff_rows(scenario)])


def _optimum(task: Task, stored: Mapping[str, NDArray[Any]]) -> Optimum:
    bills = [dict(zip(("facility_mwh", "electricity_cny"), row, strict=True)) for row in stored["sites"].tolist()]
    cost, pools, links, batteries, curtailed = stored["facts"].tolist()
    sites = dict(zip(task.params.regions, bills, strict=True))
    return Optimum(cost, pools, links, batteries, curtailed, sites)


def binding(params: Params, solved: Bound) -> tuple[float, float, float]:
    """Share of hours in which a pool, a link, a battery (CSP left out) binds: by rents, and by power."""
    plan, battery = solved.plan, params.is_csp.cpu() == 0
    rate = torch.maximum(
        plan.charge_mwh / params.charge_limit_mwh.cpu().clamp_min(1e-9),
        plan.discharge_mwh / params.discharge_limit_mwh.cpu().clamp_min(1e-9),
    )[:, battery]
    return (
        _hours(solved.duals["capacity"] > RENT_CNY_PER_MWH),
        _hours(solved.duals["links"] < -RENT_CNY_PER_GB),
        _hours(rate.numpy() >= FULL),
    )


def _hours(binds: NDArray[np.bool_]) -> float:
    """Share of snapshots `[T, …]` in which any entry is true."""
    return float(binds.reshape(len(binds), -1).any(axis=1).mean())


def ladder(sim: Simulator, measured: Measured) -> dict[str, float]:
    """Values that need episodes, by the names of the table."""
    stay, follow, best = measured.costs_cny().values()
    total = _sum(e.totals for e in measured.stay)
    curtailed = sum(e.totals["curtailed_mwh"] for e in measured.stay[: len(measured.optima)])
    limits = np.mean([(o.pools, o.links, o.batteries) for o in measured.optima], axis=0).tolist()
    bills = added(o.sites for o in measured.optima)
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
        "curtailed_bound_of_stay": 100 * sum(o.curtailed_mwh for o in measured.optima) / max(curtailed, 1e-9),
        "hub_pue": site["facility_mwh"] / site["it_mwh"],
        **{f"{kind}_bind": 100 * x for kind, x in zip(("pools", "links", "batteries"), limits, strict=True)},
        "green_share": 100 * (total["green_used_mwh"] / total["facility_mwh"]),
        "electricity_of_opex": 100 * electricity_of_opex(sim.scenario, measured.stay_bills, hours),
    }
    for name, hub in (("price_inner_mongolia", "horinger"), ("price_xinjiang", "karamay")):
        if hub in bills:
            out[name] = price_cny_per_mwh(bills, [hub])
    if "zhangjiakou" in sim.params.regions:
        out["zhangjiakou_facility"] = sum(e.sites["zhangjiakou"]["facility_mwh"] for e in measured.stay) / hours
    return out


def direct_saving(sim: Simulator, starts: Sequence[int], workers: int, progress: Progress | None = None) -> float:
    """% that sites of direct supply save on the all-in price of what they consume, in optimal plans.

    Beside them stand the same plants at the end of public wires: their power and the grid's pay the wires' fee per MWh.
    """
    sites = [name for name, site in sim.scenario.sites.items() if site.tariff_mode == "direct_green"]
    far = ("market.wires_by_capacity=false", "market.direct_distance_max_km=0")
    direct, wired = (added(o.sites for o in optima(sim, starts, workers, progress, rules)) for rules in ((), far))
    return 100 * (1 - price_cny_per_mwh(direct, sites) / price_cny_per_mwh(wired, sites))


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
        "legacy_pue": _legacy_pue(sim),
        "latency_mean": float(latency.mean()),
        "latency_max": float(latency.max()),
        "arrivals_peak": _arrivals_peak(sim),
        "battery_spread": _battery_spread(),
        **_carbon_swing(sim),
    }


def _latencies(sim: Simulator) -> NDArray[np.float64]:
    places = locations_deg(sim.scenario)
    a, b = np.triu_indices(len(places), 1)
    return np.asarray(latency_ms(great_circle_km(places[a], places[b])), dtype=np.float64)


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


def _carbon_swing(sim: Simulator) -> dict[str, float]:
    """% by which an hour's carbon intensity leaves the day's mean at most, 95th percentile of days, Zhangjiakou."""
    names = sim.params.regions
    if "zhangjiakou" not in names:
        return {}
    row, _ = sim.bank.layout.unpack(sim.bank.table)
    hourly = row.carbon_kg_per_mwh[:, names.index("zhangjiakou")].cpu().double().numpy()
    days = hourly.reshape(-1, round(24 / sim.params.dt_h))
    mean = days.mean(axis=1, keepdims=True)
    return {"carbon_swing": float(100 * np.quantile((np.abs(days - mean) / mean).max(axis=1), 0.95))}


def _battery_spread(bought_cny_per_mwh: float = 300.0) -> float:
    """CNY/MWh between selling and buying price that pays for losses and wear."""
    t = load_table("storage")["battery"]
    sold = bought_cny_per_mwh / (t["efficiency_charge"] * t["efficiency_discharge"]) + t["wear_cny_per_mwh"]
    return float(sold - bought_cny_per_mwh)
