"""World years: reproducible bits, disjoint splits, demand, prices and events."""

from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from greenhop.errors import ConfigError
from greenhop.scenario.config import ScenarioConfig
from greenhop.scenario.find import load_scenario
from greenhop.scenario.join import build_params
from greenhop.scenario.sites import it_capacity_mw, tariff_rows, volume_fees
from greenhop.scenario.users import origin_split
from greenhop.world.calendar import calendar
from greenhop.world.tariffs import time_of_use
from greenhop.world.year import WorldYear, generate_year

ARRAYS = [
    "pv_mwh",
    "wind_mwh",
    "hydro_mwh",
    "ppa_mwh",
    "temperature_c",
    "pue_full",
    "grid_price_cny_per_mwh",
    "export_price_cny_per_mwh",
    "carbon_kg_per_mwh",
    "site_availability",
    "grid_availability",
    "online_mwh",
    "arrivals_mwh",
    "link_availability",
    "inflow_mwh",
]
WEATHER = ["wind", "solar", "base_solar", "hydro", "beam", "temperature_c"]


@cache
def scenario(name: str, *overrides: str) -> ScenarioConfig:
    return load_scenario(name, overrides)


@cache
def year(split: str, year_id: int, name: str, *overrides: str) -> WorldYear:
    return generate_year(scenario(name, *overrides), split, year_id)


def ten_years(name: str, *overrides: str) -> Iterator[WorldYear]:
    """Training years one after the other, none of them kept."""
    return (generate_year(scenario(name, *overrides), "train", i) for i in range(10))


def work_mwh(y: WorldYear) -> NDArray[np.float64]:
    """[N, R] all classes."""
    return np.asarray(y.online_mwh.sum(axis=2) + y.arrivals_mwh.sum(axis=2), dtype=np.float64)


@pytest.mark.parametrize("name", ["pair2", "tri3", "hub10"])
def test_everything_is_finite_and_has_the_promised_shape(name: str) -> None:
    s, y = scenario(name), year("train", 0, name)
    rows = 8760 + 48
    tails = {
        "online_mwh": (len(s.sites), len(s.online)),
        "arrivals_mwh": (len(s.sites), len(s.deferrable)),
        "link_availability": (2 * len(s.links),),
        "inflow_mwh": (len(s.storage),),
    }
    for array in ARRAYS:
        value = getattr(y, array)
        assert value.shape == (rows, *tails.get(array, (len(s.sites),))), array
        assert value.dtype == np.float64
        assert np.isfinite(value).all(), array
        if "price" not in array and "temperature" not in array:
            assert value.min() >= 0.0, array


def test_a_year_has_the_same_bits_whatever_was_generated_before() -> None:
    s = scenario("tri3")
    first = generate_year(s, "val", 1)
    generate_year(s, "train", 7)
    generate_year(scenario("hub10"), "val", 1)
    again = generate_year(s, "val", 1)
    for array in ARRAYS:
        assert np.array_equal(getattr(first, array), getattr(again, array)), array


def test_weather_and_prices_of_a_site_do_not_depend_on_the_other_sites() -> None:
    small, large = year("train", 3, "pair2"), year("train", 3, "hub10")
    names = list(scenario("hub10").sites)
    columns = [names.index(site) for site in scenario("pair2").sites]
    for array in WEATHER:
        assert np.array_equal(getattr(small.weather, array), getattr(large.weather, array)[:, columns]), array
    for array in ("grid_price_cny_per_mwh", "carbon_kg_per_mwh"):
        assert np.array_equal(getattr(small, array), getattr(large, array)[:, columns]), array


def test_storage_does_not_change_the_world() -> None:
    smaller = year("train", 0, "pair2", "storage.horinger_battery.power_mw=1")
    for array in ARRAYS:
        assert np.array_equal(getattr(smaller, array), getattr(year("train", 0, "pair2"), array)), array


def test_years_splits_and_seeds_are_unrelated() -> None:
    base = year("train", 0, "pair2").weather.wind[:, 0]
    others = [
        ("train", 1, ()),
        ("val", 0, ()),
        ("test", 0, ()),
        ("train", 0, ("+seed=1",)),
    ]
    for split, year_id, overrides in others:
        other = year(split, year_id, "pair2", *overrides).weather.wind[:, 0]
        assert abs(np.corrcoef(base, other)[0, 1]) < 0.25


def test_a_place_of_the_users_own_has_weather_of_its_own() -> None:
    twin = scenario("pair2", "+sites.horinger.lat_deg=41.5")
    moved, base = generate_year(twin, "train", 0), year("train", 0, "pair2")
    assert 0.3 < np.corrcoef(moved.weather.wind[:, 0], base.weather.wind[:, 0])[0, 1] < 0.95
    assert np.array_equal(moved.weather.wind[:, 1], base.weather.wind[:, 1])


@pytest.mark.parametrize("dt_h", [0.25, 0.5])
def test_finer_steps_keep_the_amounts(dt_h: float) -> None:
    fine, coarse = year("train", 0, "tri3", f"+dt_h={dt_h}"), year("train", 0, "tri3")
    assert len(fine.pv_mwh) == round((8760 + 48) / dt_h)
    for array, rtol in (("pv_mwh", 0.1), ("wind_mwh", 0.35), ("arrivals_mwh", 0.05), ("online_mwh", 0.05)):
        np.testing.assert_allclose(
            getattr(fine, array).sum(axis=0)[..., 0], getattr(coarse, array).sum(axis=0)[..., 0], rtol=rtol, atol=1e-9
        )


def test_unknown_splits_are_user_errors() -> None:
    with pytest.raises(ConfigError, match="holdout"):
        generate_year(scenario("pair2"), "holdout", 0)


@pytest.mark.parametrize("name", ["pair2", "tri3", "hub10"])
def test_mean_loading_is_what_the_scenario_says(name: str) -> None:
    capacity = it_capacity_mw(scenario(name)).sum()
    loading = [work_mwh(y).sum(axis=1).mean() / capacity for y in ten_years(name)]
    assert np.mean(loading) == pytest.approx(scenario(name).demand.mean_loading, rel=0.01)
    assert np.std(loading) < 0.02 * np.mean(loading)


def test_no_site_is_loaded_above_its_limit_on_average() -> None:
    s = scenario("hub10")
    split = origin_split(s)
    capacity = it_capacity_mw(s)
    loading = split.sum(axis=0) * s.demand.mean_loading * capacity.sum() / capacity
    assert split.sum() == pytest.approx(1.0)
    assert (split >= 0.0).all()
    assert loading.max() <= s.demand.max_site_loading + 1e-9
    assert loading.min() < 0.4  # the east is full, the west has room


def test_a_surge_multiplies_work_and_does_not_move_it() -> None:
    surge = year("train", 0, "hub10", "+demand.multiplier=1.3")
    np.testing.assert_allclose(work_mwh(surge), 1.3 * work_mwh(year("train", 0, "hub10")), rtol=1e-9)


def test_people_work_by_day_and_less_at_weekends() -> None:
    y = year("train", 0, "hub10")
    online = y.online_mwh[..., 0].sum(axis=1)
    assert online[y.cal.hour == 15].mean() > 3 * online[y.cal.hour == 4].mean()
    assert online[y.cal.weekday >= 5].mean() < 0.9 * online[y.cal.weekday < 5].mean()


@pytest.mark.parametrize("mode", ["administrative_tou", "spot", "negotiated", "direct_green"])
def test_export_never_earns_more_than_energy_costs(mode: str) -> None:
    sites = scenario("hub10").sites
    y = year("train", 0, "hub10", *(f"+sites.{site}.tariff_mode={mode}" for site in sites))
    assert (y.export_price_cny_per_mwh <= y.grid_price_cny_per_mwh).all()


def test_exports_at_sites_of_direct_supply_earn_what_they_earn_elsewhere() -> None:
    """The wires' fee is spared on what is bought; what is sold never paid it."""
    plain, direct = year("train", 0, "hub10"), year("train", 0, "hub10-direct")
    assert np.array_equal(direct.export_price_cny_per_mwh, plain.export_price_cny_per_mwh)
    assert np.array_equal(direct.grid_price_cny_per_mwh, plain.grid_price_cny_per_mwh)
    adder = [build_params(scenario(name)).grid_adder_cny_per_mwh for name in ("hub10", "hub10-direct")]
    fees = {"horinger": 60.0, "qingyang": 60.0, "zhongwei": 70.0}
    assert (adder[0] - adder[1]).tolist() == [fees.get(name, 0.0) for name in scenario("hub10").sites]


def test_valleys_lie_at_noon_in_the_west_and_at_night_in_the_east() -> None:
    y, names = year("train", 0, "hub10"), list(scenario("hub10").sites)
    price = y.grid_price_cny_per_mwh
    for site, cheap, dear in (("zhongwei", 12, 20), ("qingyang", 12, 20), ("yangtze_demo", 2, 9), ("shaoguan", 2, 16)):
        column = price[:, names.index(site)]
        assert column[y.cal.hour == dear].mean() > 2.5 * column[y.cal.hour == cheap].mean(), site


def test_time_of_use_is_the_published_schedule() -> None:
    cal = calendar(1.0)
    tariff = tariff_rows(scenario("pair2"))[0]  # Mengxi
    price = time_of_use(tariff, cal)
    summer, winter = cal.month == 6, cal.month == 0
    assert np.unique(price[summer & (cal.hour == 12)]) == pytest.approx([240 * 0.48])
    assert np.unique(price[winter & (cal.hour == 12)]) == pytest.approx([240 * 0.79])
    assert np.unique(price[winter & (cal.hour == 3)]) == pytest.approx([240])


def test_a_negotiated_price_is_all_in() -> None:
    y = year("train", 0, "pair2", "+sites.horinger.tariff_mode=negotiated")
    tariff = tariff_rows(scenario("pair2"))[0]
    np.testing.assert_allclose(y.grid_price_cny_per_mwh[:, 0] + volume_fees(tariff), 300.0)


def test_direct_supply_saves_what_practitioners_say() -> None:
    tariffs = tariff_rows(scenario("hub10", "+sites.zhongwei.tariff_mode=direct_green"))
    for tariff in (tariffs[6], tariffs[8], tariffs[9]):  # Mengxi, Gansu, Ningxia: where it is approved
        month_mwh = 0.85 * 730  # demand fee spread at 85 % load factor
        bill = tariff["energy_cny_per_mwh"] + volume_fees(tariff) + tariff["demand_fee_cny_per_mw_month"] / month_mwh
        assert 0.10 <= tariff["td_cny_per_mwh"] / bill <= 0.16


def test_spot_prices_swing_turn_negative_and_keep_their_limits() -> None:
    spot = ("+sites.horinger.tariff_mode=spot", "+sites.yangtze_demo.tariff_mode=spot")
    price = np.concatenate([y.grid_price_cny_per_mwh[:8760] for y in ten_years("pair2", *spot)])
    assert 0.01 < (price[:, 0] < 0).mean() < 0.05  # Mengxi
    assert price[:, 0].min() == -50.0
    assert price[:, 1].min() == 0.0  # a floor of zero
    np.testing.assert_allclose(price.mean(axis=0), [240, 420], rtol=0.03)
    np.testing.assert_allclose(daily_spread(price).mean(axis=0), [315, 544], rtol=0.05)


def daily_spread(price: NDArray[np.float64]) -> NDArray[np.float64]:
    """`[days, R]` dearest less cheapest hour."""
    days = price.reshape(-1, 24, price.shape[1])
    return np.asarray(days.max(axis=1) - days.min(axis=1))


def test_administrative_tariffs_keep_level_and_daily_spread_of_their_table_over_ten_years() -> None:
    cal = calendar(1.0)
    table = np.stack([time_of_use(tariff, cal)[:8760] for tariff in tariff_rows(scenario("hub10"))], axis=1)
    price = np.mean([y.grid_price_cny_per_mwh[:8760] for y in ten_years("hub10")], axis=0)
    np.testing.assert_allclose(price.mean(axis=0), table.mean(axis=0), rtol=0.03)
    np.testing.assert_allclose(daily_spread(price).mean(axis=0), daily_spread(table).mean(axis=0), rtol=0.03)
    days = price.reshape(-1, 24, price.shape[1])
    ratio = table.reshape(days.shape).max(axis=1) / table.reshape(days.shape).min(axis=1)
    np.testing.assert_allclose(days.max(axis=1) / days.min(axis=1), ratio)  # the level of a month moves all its hours


def test_carbon_keeps_its_yearly_mean_and_can_be_marginal() -> None:
    y = year("train", 0, "hub10")
    rows = [p.row["carbon_kg_per_mwh"] for p in y.places]
    np.testing.assert_allclose(y.carbon_kg_per_mwh.mean(axis=0), rows, rtol=0.01)
    marginal = year("train", 0, "pair2", "+market.marginal_carbon=true")
    assert np.unique(marginal.carbon_kg_per_mwh) == pytest.approx([850.0])


def event(kind: str, magnitude: float) -> WorldYear:
    settings = f"kind:{kind},per_year:30,duration_h:12,magnitude:{magnitude},sites:[wuhu]"
    return year("train", 0, "tri3", f"+events={{it:{{{settings}}}}}")


def test_events_strike_what_they_name() -> None:
    base = year("train", 0, "tri3")
    outage = event("site_outage", 0.5)
    assert np.unique(outage.site_availability[:, 1]) == pytest.approx([0.5, 1.0])
    assert (outage.site_availability[:, [0, 2]] == 1.0).all()
    cut = event("link_cut", 1.0).link_availability
    assert np.unique(cut) == pytest.approx([0.0, 1.0])
    assert np.array_equal(cut[:, 0::2], cut[:, 1::2])  # a cut fibre is cut both ways
    order = event("curtailment_order", 0.4)
    assert np.unique(order.grid_availability[:, 1]) == pytest.approx([0.6, 1.0])
    calm = event("dunkelflaute", 0.7)
    assert (calm.pv_mwh <= base.pv_mwh).all()
    assert calm.pv_mwh[:, 1].sum() < base.pv_mwh[:, 1].sum()
    surge = event("demand_surge", 0.3)
    ratio = work_mwh(surge)[:, 1] / work_mwh(base)[:, 1]
    assert (ratio.min(), ratio.max()) == pytest.approx((1.0, 1.3))
    assert 0.01 < (ratio > 1.2).mean() < 0.08
