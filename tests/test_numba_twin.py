"""The Numba yardstick of the benchmark does what the step does; otherwise the ratio would mean nothing."""

from __future__ import annotations

import pytest
import torch

from tests.reference.numba_twin import Stepped, numba_step, plain, plain_params
from tests.sims import SCENARIOS, day_sim


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_numba_step_equals_the_step(name: str) -> None:
    sim = day_sim(name)
    params, random = plain_params(sim.params), torch.Generator().manual_seed(0)
    carry = sim.begin(torch.tensor([3, 150, 333]))
    for _ in range(sim.params.steps):
        plan = sim.decode(carry, torch.rand(3, sim.action_size, generator=random) * 2.0 - 1.0)
        plan = plan._replace(serve_mwh=plan.serve_mwh * 1.5, migrate_mwh=plan.migrate_mwh * 2.0)  # some to clip
        row, _ = sim.unpack(carry)
        ours = numba_step(params, plain(carry.state), plain(plan), plain(row))
        carry, flows = sim.advance(carry, plan)
        theirs = [*(getattr(carry.state, name) for name in Stepped._fields[:-1]), flows.cost_cny]
        for a, b in zip(ours, theirs, strict=True):
            size = max(float(b.abs().max()), 1.0)
            torch.testing.assert_close(torch.from_numpy(a), b, rtol=1e-4, atol=1e-5 * size)
