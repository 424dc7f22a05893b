"""What is reported of the hubs: at once and in full, late, in part, with errors; and who decides on it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from greenhop.episode.carry import Carry
from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.errors import ConfigError
from greenhop.gym.tensor_env import TensorVectorEnv
from greenhop_agents.policies.mpc import Mpc, MpcSettings
from greenhop_agents.scoring.episodes import walk

LATE_H = 3
STARTS = torch.tensor([3, 200])
TOLD = (  # features of a region that come by telemetry, and two sums over it
    "green", "ppa", "pue", "temperature", "site_availability", "grid_availability", "online", "backlog", "peak",
    "accounts",
)  # fmt: skip
ELSEWHERE = ("price", "export_price", "carbon", "peak_floor", "size", "forecast_green", "forecast_price")


def simulator(*telemetry: str) -> Simulator:
    given = [f"observation.telemetry.{x}" for x in telemetry]
    return build_simulator("pair2", "test", overrides=["episode.length_h=12", *given], year_ids=[0])


@pytest.fixture(scope="module")
def full() -> Simulator:
    return simulator()


def run(sim: Simulator, steps: int) -> list[Carry]:
    """Carries of price following, the first included."""
    carries = [sim.begin(STARTS)]
    for _ in range(steps):
        carries.append(sim.act(carries[-1], torch.zeros(len(STARTS), sim.action_size))[0])
    return carries


def features(sim: Simulator, carry: Carry) -> dict[str, Tensor]:
    """Features by name, those of regions `[B, R, n]`."""
    obs, where = sim.observe(carry), sim.observer.slices()
    blocks = sim.observer.split(obs)
    named = {name: blocks["region"][..., where[f"region.{name}"]] for name in sim.observer.region_parts}
    return named | {name: x for name, x in blocks.items() if name != "region"}


def test_late_reports_are_those_of_h_steps_ago_and_the_rest_is_of_now(full: Simulator) -> None:
    late = simulator(f"late_h={LATE_H}")
    true, seen = run(full, 8), run(late, 8)
    for t in range(LATE_H, 9):
        now, then, shown = features(full, true[t]), features(full, true[t - LATE_H]), features(late, seen[t])
        for name in (*TOLD, "soc", "link_availability"):
            torch.testing.assert_close(shown[name], then[name], rtol=0, atol=0)
        for name in (*ELSEWHERE, "calendar", "deadlines", "progress"):
            torch.testing.assert_close(shown[name], now[name], rtol=0, atol=0)
    assert not torch.equal(features(late, seen[5])["green"], features(full, true[5])["green"])


def test_until_an_episode_is_old_enough_its_first_report_is_shown(full: Simulator) -> None:
    late = simulator(f"late_h={LATE_H}")
    first = features(full, run(full, 0)[0])
    for carry in run(late, LATE_H):
        torch.testing.assert_close(features(late, carry)["backlog"], first["backlog"], rtol=0, atol=0)


def test_what_happens_does_not_depend_on_what_is_reported(full: Simulator) -> None:
    for telemetry in (f"late_h={LATE_H}", f"silent=[{full.params.regions[1]}]", "error=0.1"):
        for one, other in zip(run(full, 5), run(simulator(telemetry), 5), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one.state, other.state, strict=True))


def test_a_silent_hub_looks_down_and_empty_and_the_others_as_they_are(full: Simulator) -> None:
    sim = simulator(f"silent=[{full.params.regions[1]}]")
    shown, true = features(sim, run(sim, 4)[4]), features(full, run(full, 4)[4])
    for name in (x for x in TOLD if x != "peak"):
        assert not shown[name][:, 1].any(), name
        torch.testing.assert_close(shown[name][:, 0], true[name][:, 0], rtol=0, atol=0)
    torch.testing.assert_close(shown["peak"][:, 1], true["peak_floor"][:, 1])
    assert true["site_availability"][:, 1].all()


def test_errors_are_reproducible_by_seed_of_the_stated_size_and_spare_statuses(full: Simulator) -> None:
    sims = [simulator("error=0.1"), simulator("error=0.1"), simulator("error=0.1", "seed=1")]
    runs = [[features(sim, c) for c in run(sim, 11)] for sim in sims]
    true = [features(full, c) for c in run(full, 11)]
    for a, b, c in zip(*runs, strict=True):
        assert all(torch.equal(a[name], b[name]) for name in a)
        assert not torch.equal(a["backlog"], c["backlog"])
    ratio = torch.cat([(a["backlog"] / b["backlog"])[b["backlog"] > 1e-3] for a, b in zip(runs[0], true, strict=True)])
    assert 0.08 < float((ratio - 1).std()) < 0.12
    assert abs(float(ratio.mean()) - 1) < 0.02
    for a, b in zip(runs[0], true, strict=True):
        for name in ("site_availability", "price", "calendar"):
            assert torch.equal(a[name], b[name])


def test_the_planner_decides_on_the_same_report() -> None:
    """What it does is the same whatever the truth, as long as the reports are."""
    sim = simulator(f"late_h={LATE_H}")
    carry = run(sim, LATE_H)[LATE_H]
    changed = carry._replace(state=carry.state._replace(backlog_mwh=2.0 * carry.state.backlog_mwh))
    plans = []
    for seen in (carry, changed):
        planner = Mpc("mpc", MpcSettings(horizon_h=6))
        planner.reset(sim)
        plans.append(planner.decide(sim, seen))
    assert torch.equal(plans[0].migrate_mwh, plans[1].migrate_mwh)
    assert plans[0].dispatch is None
    assert torch.isinf(plans[0].serve_online_mwh).all()


def test_the_planner_pays_for_what_it_is_not_told(full: Simulator) -> None:
    costs = {}
    for name in ("", f"late_h={LATE_H}", "error=0.3"):
        sim = simulator(name) if name else full
        steps = walk(sim, Mpc("mpc", MpcSettings(horizon_h=12)), STARTS[:1])
        costs[name] = sum(float(s.flows.cost_cny.sum()) for s in steps)
    assert costs[""] < min(costs["error=0.3"], costs[f"late_h={LATE_H}"])


def test_only_torch_steps_what_is_not_reported_in_full() -> None:
    sim = simulator(f"late_h={LATE_H}")
    with pytest.raises(ConfigError, match="machine code knows full telemetry only"):
        TensorVectorEnv(sim, 2, compile=True)
    env = TensorVectorEnv(sim, len(STARTS), compile=None)
    env.reset(starts=STARTS)
    for carry in run(sim, 5)[1:]:
        obs = env.step(torch.zeros(len(STARTS), sim.action_size))[0]
        torch.testing.assert_close(obs, sim.observe(carry), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("given", "why"),
    [("silent=[paris]", "unknown site 'paris'"), ("late_h=1.5", "whole number of steps"), ("error=2", "less than or")],
)
def test_telemetry_that_cannot_be_is_refused(given: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        simulator(given)
