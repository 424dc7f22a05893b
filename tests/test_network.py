"""Links and pools of a scenario become numbers: users within reach, quality, replicas, alternative pools."""

from __future__ import annotations

import numpy as np
import pytest

from greenhop.errors import ConfigError
from greenhop.scenario.find import load_scenario
from greenhop.scenario.geo import great_circle_km
from greenhop.scenario.join import build_params
from greenhop.scenario.sites import locations_deg
from greenhop.scenario.users import origin_split, origins_table

WEST = ("horinger", "guian", "qingyang", "zhongwei")


def one_way_ms(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Fibre at 5 µs/km, 1.8 times as long as the crow flies, and 0.3 ms of equipment."""
    return float(great_circle_km(np.array(a), np.array(b))) * 0.005 * 1.8 + 0.3


def test_a_hub_routes_the_users_whose_round_trip_stays_within_the_budget_and_no_others() -> None:
    scenario = load_scenario("hub10")
    p, split, names = build_params(scenario), origin_split(scenario), list(scenario.sites)
    places = [tuple(map(float, place)) for place in locations_deg(scenario)]
    for link, (a, b) in enumerate(p.links):
        hub, site = places[names.index(a)], places[names.index(b)]
        for z, cls in enumerate(scenario.online.values()):
            near = 0.0
            for o, origin in enumerate(origins_table().values()):
                user = (float(origin["lat_deg"]), float(origin["lon_deg"]))
                round_trip_ms = 2.0 * (one_way_ms(user, hub) + one_way_ms(hub, site))
                near += split[o, names.index(a)] if round_trip_ms <= cls.latency_budget_ms else 0.0
            assert float(p.route_allowed[link, z]) == pytest.approx(near / split[:, names.index(a)].sum(), abs=1e-6)
            lost = 2.0 * one_way_ms(hub, site) * cls.latency_cny_per_ms_mwh
            assert float(p.latency_cny_per_mwh[link, z]) == pytest.approx(lost, rel=1e-6)


def test_real_time_inference_stays_in_its_radius_and_most_of_the_east_cannot_use_the_west() -> None:
    scenario = load_scenario("hub10")
    p = build_params(scenario)
    far = [i for i, (a, b) in enumerate(p.links) if a in ("zhangjiakou", "yangtze_demo", "wuhu") and b in WEST]
    real_time, interactive = (p.online.index(name) for name in ("online_inference", "interactive_dev"))
    assert float(p.route_allowed[far, real_time].mean()) < 0.3
    assert float(p.route_allowed[far, interactive].min()) > 0.8
    assert (
        float((p.route_allowed < 1.0).double().mean()) > 0.05
    )  # the budget binds on more than a twentieth of the pairs


def test_replicas_spare_the_data_of_a_move_and_send_what_is_new() -> None:
    given = ["links.zhangjiakou_wuhu.staged=0.25", "deferrable.batch_inference.replica_sync=0.5"]
    scenario = load_scenario("tri3", [*given, "deferrable.scientific_hpc.replica_sync=null"])
    p = build_params(scenario)
    link = p.links.index(("wuhu", "zhangjiakou"))
    gb = {name: c.gb_per_mwh for name, c in scenario.deferrable.items()}
    batch, hpc = (p.deferrable.index(name) for name in ("batch_inference", "scientific_hpc"))
    assert float(p.migrate_gb_per_mwh[link, batch]) == pytest.approx(0.75 * gb["batch_inference"])
    assert float(p.sync_gb_per_mwh[link, batch]) == pytest.approx(0.25 * 0.5 * gb["batch_inference"])
    assert float(p.migrate_gb_per_mwh[link, hpc]) == pytest.approx(gb["scientific_hpc"])
    assert float(p.sync_gb_per_mwh[link, hpc]) == 0.0


def test_an_alternative_pool_has_a_room_and_an_energy_for_each_unit_of_work() -> None:
    given = "deferrable.ai_training.alternative={pool:general,speed:0.5,energy:1.6}"
    p = build_params(load_scenario("pair2", [given]))
    k, pool = p.deferrable.index("ai_training"), p.pools.index("general")
    assert p.diverse
    assert p.alternative_pool[k].tolist() == [float(i == pool) for i in range(len(p.pools))]
    assert float(p.alternative_room[k]) == 2.0
    assert float(p.alternative_energy[k]) == pytest.approx(1.6)
    assert float(p.alternative_pool.sum()) == 1.0


@pytest.mark.parametrize(
    ("alternative", "said"),
    [
        ("{pool:general,speed:2.0,energy:0.6}", "energy × speed = 1.2"),
        ("{pool:ai,speed:1.0,energy:1.0}", "must be another pool of the scenario: general, hpc"),
        ("{pool:ai_legacy,speed:1.0,energy:1.0}", "must be another pool of the scenario: general, hpc"),
    ],
)
def test_an_impossible_alternative_is_refused(alternative: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("×", ".")):
        load_scenario("pair2", [f"deferrable.ai_training.alternative={alternative}"])
