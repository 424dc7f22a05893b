"""What is reported about a step, by name: every number against a plain sum over what happened."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from greenhop.physics.rewards import REPORTED, SITE_QUANTITIES, report, report_sites, reward_of
from greenhop.physics.state import COST_TERMS, CostTerms
from tests.reference.twin import unbatch
from tests.strategies import Case, cases, rollout


@given(case=cases())
@settings(max_examples=10, derandomize=True, deadline=None)
def test_every_reported_quantity_is_what_its_name_says(case: Case) -> None:
    for record in rollout(case, steps=2, batch=2):
        told = report(case.params.to(dtype=torch.float64), record.flows).numpy()
        sites = report_sites(record.flows).numpy()
        for b in range(2):
            f, named = unbatch(record.flows, b), dict(zip(REPORTED, told[b], strict=True))
            own = f.green_mwh - f.curtail_mwh - f.export_mwh
            solar_heat = float((f.discharge_mwh * case.params.is_csp.numpy()).sum())
            expected = {
                "facility_mwh": f.facility_mwh.sum(),
                "green_used_mwh": own.sum() + f.ppa_mwh.sum() + solar_heat,
                "grid_mwh": f.grid_mwh.sum(),
                "ppa_mwh": f.ppa_mwh.sum(),
                "curtailed_mwh": f.curtail_mwh.sum(),
                "exported_mwh": f.export_mwh.sum(),
                "unserved_mwh": f.unserved_mwh.sum(),
                "carbon_kg": f.carbon_kg.sum(),
                "served_mwh": f.serve_mwh.sum() + f.serve_online_mwh.sum(),
                "missed_mwh": f.missed_mwh.sum() + f.missed_online_mwh.sum(),
                "migrated_mwh": f.migrate_mwh.sum() + f.route_mwh.sum(),
                "data_gb": f.data_gb.sum(),
            } | {f"{term}_cny": f.cost_cny[COST_TERMS.index(term)] for term in COST_TERMS}
            assert named == {name: pytest.approx(x, rel=1e-9, abs=1e-9) for name, x in expected.items()}
            by_site = {
                "it_mwh": f.it_mwh,
                "facility_mwh": f.facility_mwh,
                "green_mwh": f.green_mwh,
                "self_used_mwh": own,
                "exported_mwh": f.export_mwh,
                "curtailed_mwh": f.curtail_mwh,
            }
            for name, x in by_site.items():
                np.testing.assert_allclose(sites[b, :, SITE_QUANTITIES.index(name)], x, rtol=1e-12)


@given(case=cases())
@settings(max_examples=5, derandomize=True, deadline=None)
def test_a_reward_is_minus_the_named_terms_of_the_bill(case: Case) -> None:
    (record,) = rollout(case, steps=1, batch=3)
    bill = CostTerms(*record.flows.cost_cny.unbind(-1))._asdict()
    paid = torch.stack([bill[term] for term in sorted(bill)]).sum(0)
    torch.testing.assert_close(reward_of(case.params, record.flows), -paid / case.params.cost_scale_cny)
