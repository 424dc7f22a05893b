"""What electricity costs a site, all in, and its share of operating cost: reported, never part of a reward."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch

from greenhop.physics.params import Params
from greenhop.physics.state import Flows, Row, State
from greenhop.physics.step import bill_by_site
from greenhop.scenario.config import ScenarioConfig
from greenhop.scenario.sites import it_capacity_mw, tariff_rows
from greenhop.scenario.tables import load_table
from greenhop.units import HOURS_PER_YEAR

POWER_TERMS = (
    *("grid_energy", "ppa", "green_om", "export", "demand", "carbon", "diesel", "wires"),
    *("green_gap", "take_or_pay", "pue_excess", "direct_rule"),
)
KW_PER_MW = 1000.0

SiteBill = dict[str, float]  # facility_mwh, and the cost of its electricity in CNY


def site_bills(
    params: Params, scenario: ScenarioConfig, steps: Iterable[tuple[Row, State, Flows, State]]
) -> dict[str, SiteBill]:
    """Energy and electricity bill of every site over `steps`: row, state before, flows, state after (batches summed).

    Own plants are paid what the grid would pay them, the province's feed-in price, for all they could generate.
    """
    plants = torch.tensor([t["feed_in_cny_per_mwh"] for t in tariff_rows(scenario)], dtype=params.dtype)
    energy, cny = (torch.zeros(params.n_regions, dtype=torch.float64) for _ in range(2))
    for row, before, flows, after in steps:
        bill = bill_by_site(params, row, flows, before, after)
        paid = torch.stack([bill[term] for term in POWER_TERMS]).sum(0) + flows.green_mwh * plants
        energy += flows.facility_mwh.double().sum(0)
        cny += paid.double().sum(0)
    return {
        name: {"facility_mwh": mwh, "electricity_cny": paid_cny}
        for name, mwh, paid_cny in zip(params.regions, energy.tolist(), cny.tolist(), strict=True)
    }


def price_cny_per_mwh(bills: Mapping[str, SiteBill], sites: Iterable[str]) -> float:
    """All-in price of what `sites` consumed."""
    chosen = [bills[name] for name in sites]
    return sum(b["electricity_cny"] for b in chosen) / sum(b["facility_mwh"] for b in chosen)


def electricity_of_opex(scenario: ScenarioConfig, bills: Mapping[str, SiteBill], hours: float) -> float:
    """Share of electricity in operating cost over `hours` of all sites; the rest is the table's, by IT capacity."""
    kw = float(np.sum(it_capacity_mw(scenario))) * KW_PER_MW
    other = float(load_table("opex")["other_cny_per_kw_year"]) * kw * hours / HOURS_PER_YEAR
    electricity = sum(b["electricity_cny"] for b in bills.values())
    return electricity / (electricity + other)


def added(parts: Iterable[Mapping[str, SiteBill]]) -> dict[str, SiteBill]:
    """Bills of several episodes together."""
    out: dict[str, SiteBill] = {}
    for bills in parts:
        for site, bill in bills.items():
            mine = out.setdefault(site, dict.fromkeys(bill, 0.0))
            for key, value in bill.items():
                mine[key] += value
    return out
