"""Forecasts: exact now, wrong by as much as the table says later, unbiased, and revised consistently."""

from collections import defaultdict
from functools import cache
from itertools import product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from greenhop.errors import ConfigError
from greenhop.scenario.config import ForecastConfig, ScenarioConfig
from greenhop.scenario.find import load_scenario
from greenhop.scenario.join import build_params
from greenhop.scenario.tables import load_table
from greenhop.world.bank import shown
from greenhop.world.forecast import Forecast, total_work
from greenhop.world.forecast_bounds import Widening, spread, typical_spread, widen, widened
from greenhop.world.forecast_error import error_cube, error_sd
from greenhop.world.layout import rows_ahead
from greenhop.world.places import places_of
from greenhop.world.streams import StreamKey
from greenhop.world.year import WorldYear, generate_year

FloatArray = NDArray[np.float64]
LEADS = (1, 4, 24)
GREEN = ("wind", "solar", "hydro")
MODES = ["noisy", "perfect", "persistence", "none"]


def scenario(mode: str = "noisy", *overrides: str) -> ScenarioConfig:
    return load_scenario("tri3", [f"+forecast.mode={mode}", *overrides])


@cache
def year() -> WorldYear:
    return generate_year(scenario(), "val", 0)


@cache
def forecast(mode: str = "noisy") -> Forecast:
    return Forecast(scenario(mode), year())


@cache
def cube() -> NDArray[np.float32]:
    places, sites = places_of(load_scenario("hub10"))
    return error_cube(StreamKey(0, "test", "train", 0), "wind", "wind", places, sites, 8760, 24)


@pytest.mark.parametrize("mode", MODES)
def test_the_present_is_exact(mode: str) -> None:
    now = forecast(mode).at(1000, 3)
    for name in now:
        expected = year().green_mwh if name == "green_mwh" else getattr(year(), name)
        assert np.array_equal(now[name][0], expected[1000]), name
        assert now[name].shape == (4, *expected.shape[1:]), name


@pytest.mark.parametrize("mode", MODES)
def test_table_and_single_forecast_agree_to_the_bit(mode: str) -> None:
    table = forecast(mode).table(LEADS)
    for row in (0, 17, 4000, 8759):
        single = forecast(mode).at(row, max(LEADS))
        work = total_work(single["online_mwh"], single["arrivals_mwh"])
        for i, lead in enumerate(LEADS):
            assert np.array_equal(table["green_mwh"][row, i], single["green_mwh"][lead])
            assert np.array_equal(table["grid_price_cny_per_mwh"][row, i], single["grid_price_cny_per_mwh"][lead])
            assert np.array_equal(table["arrivals_mwh"][row, i], work[lead])


def test_a_finer_clock_agrees_to_the_bit_too() -> None:
    s = scenario("noisy", "+dt_h=0.5")
    fine = Forecast(s, generate_year(s, "val", 0))
    table, single = fine.table((2, 48)), fine.at(333, 48)
    assert np.array_equal(table["green_mwh"][333, 1], single["green_mwh"][48])


def test_perfect_forecasts_are_the_future() -> None:
    told = forecast("perfect").at(500, 24)
    assert np.array_equal(told["green_mwh"], year().green_mwh[500:525])
    assert np.array_equal(told["arrivals_mwh"], year().arrivals_mwh[500:525])


def test_persistence_repeats_yesterday() -> None:
    told = forecast("persistence").at(500, 24)
    assert np.array_equal(told["green_mwh"][1:], year().green_mwh[477:501])


def test_climatology_knows_season_and_hour_but_no_weather() -> None:
    early, late = forecast("none").at(24, 24), forecast("none").at(24 * 7 + 24, 24)
    assert np.array_equal(early["green_mwh"][1:], late["green_mwh"][1:])
    assert early["green_mwh"][12, 0] > 0.0


@cache
def green_errors() -> dict[tuple[str, int], list[FloatArray]]:
    """Errors in the hours that count by quantity and lead, one array per site and year, over ten years."""
    issue, out = np.arange(8700), defaultdict[tuple[str, int], list[FloatArray]](list)
    for year_id in range(10):
        y = generate_year(scenario(), "train", year_id)
        told = Forecast(scenario(), y)
        for name, lead in product(GREEN, LEADS):
            error = told._value(name, issue, issue + lead) - getattr(y.weather, name)[issue + lead]
            light = y.weather.clear[issue + lead] > 0.02 if name == "solar" else np.ones(error.shape, dtype=bool)
            out[name, lead] += [e[counts] for e, counts in zip(error.T, light.T, strict=True)]
    return out


@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize("name", GREEN)
def test_errors_of_green_power_have_the_tabled_size_after_clipping_and_no_bias(name: str, lead: int) -> None:
    errors = green_errors()[name, lead]
    t = load_table("forecast_error")
    tabled = t[name][t["lead_h"].index(lead)]
    by_site = [np.concatenate(errors[site::3]) for site in range(3)]
    sizes, means = ([f(e) for e in by_site] for f in (lambda e: np.sqrt((e**2).mean()), np.mean))
    np.testing.assert_allclose(sizes, tabled, rtol=0.04)
    np.testing.assert_allclose(means, 0.0, atol=0.06 * tabled)


def test_errors_before_clipping_are_widened_as_sampling_says_they_must() -> None:
    rng = np.random.default_rng(0)
    top = rng.uniform(0.0, 1.0, (4000, 2))
    actual = top * rng.beta(0.4, [0.8, 0.2], (4000, 2))  # mostly calm, mostly full
    wanted = np.array([0.0, 0.05, 0.12])
    to = widen(actual, top, wanted)
    weight = spread(actual, top) / typical_spread(actual, top)
    assert (to.sd[1:] > wanted[1:, None]).all()
    assert np.sign(to.mean[2]).tolist() == [-1.0, 1.0]
    for lead in range(3):
        latent = to.mean[lead] + to.sd[lead] * rng.standard_normal((200, 4000, 2))
        error = np.clip(actual + latent * weight, 0.0, top) - actual
        rms = np.sqrt((error**2).mean(axis=0)[top[:, 0] > 0.02, 0].mean())
        assert rms == pytest.approx(wanted[lead], rel=0.02, abs=1e-9)
        np.testing.assert_allclose(error.mean(axis=(0, 1)), 0.0, atol=2e-3)


def test_widened_errors_are_revised_by_news_alone() -> None:
    raw, sd = cube(), error_sd("wind", 24)
    to = Widening(
        np.outer(sd, np.linspace(1.0, 1.3, raw.shape[2])) * np.linspace(1.0, 1.2, 25)[:, None], np.zeros((25, 10))
    )
    errors = widened(raw, sd, to).astype(np.float64)
    np.testing.assert_allclose(errors.std(axis=1), to.sd, rtol=0.15)
    for h in (2, 6, 24):
        revision, left = errors[h] - errors[h - 1], errors[h - 1]
        assert abs(np.corrcoef(revision.ravel(), left.ravel())[0, 1]) < 0.02


def test_errors_larger_than_a_narrow_range_can_hold_stay_within_twice_the_table() -> None:
    zero, one = np.zeros((100, 1)), np.ones((100, 1))
    assert widen(zero, one, np.array([0.0, 0.4])).sd[1, 0] <= 0.8


def test_errors_of_work_have_the_tabled_size() -> None:
    issue = np.arange(8700)
    for name, sd in (("online-0", 0.08), ("deferrable-1", 0.15)):
        told, actual = forecast()._value(name, issue, issue + 24), forecast()._truth[name][issue + 24]
        np.testing.assert_allclose(np.sqrt(((told - actual) ** 2).mean(axis=0)), sd * actual.mean(axis=0), rtol=0.15)
        np.testing.assert_allclose(told.mean(axis=0), actual.mean(axis=0), rtol=0.02)


def test_raw_errors_are_unbiased_and_grow_as_tabled() -> None:
    sd = error_sd("wind", 24)
    np.testing.assert_allclose(cube().std(axis=(1, 2)), sd, rtol=0.06)
    assert (np.diff(sd) > 0.0).all()
    assert np.abs(cube().mean(axis=(1, 2))).max() < 0.006


def test_revisions_are_news() -> None:
    """What a later issue changes is unrelated to the error it leaves: nobody could have known it earlier."""
    errors = cube().astype(np.float64)
    for h in (2, 6, 24):
        revision, left = errors[h] - errors[h - 1], errors[h - 1]
        assert abs(np.corrcoef(revision.ravel(), left.ravel())[0, 1]) < 0.02


def test_one_issue_is_wrong_the_same_way_about_neighbouring_hours_and_sites() -> None:
    errors = cube().astype(np.float64)
    hours = np.arange(200, 8700)
    same_issue = [errors[h, hours + h, 0] - errors[h - 1, hours + h, 0] for h in (5, 6)]  # news issued at `hours`
    assert np.corrcoef(same_issue[0], same_issue[1])[0, 1] == pytest.approx(0.9, abs=0.03)
    names = list(load_scenario("hub10").sites)
    near = [errors[12, :, names.index(s)] for s in ("wuhu", "yangtze_demo")]
    assert np.corrcoef(near[0], near[1])[0, 1] == pytest.approx(0.46, abs=0.08)  # 239 km


def test_forecasts_stay_possible() -> None:
    told = forecast().table((24,))
    installed = [s.wind_mw + s.pv_mw + s.hydro_mw for s in scenario().sites.values()]
    assert told["green_mwh"].min() >= 0.0
    assert (told["green_mwh"] <= np.array(installed) + 1e-9).all()
    assert told["arrivals_mwh"].min() >= 0.0
    night = year().cal.hour == 1
    solar_only = forecast()._value("solar", np.flatnonzero(night)[:300], np.flatnonzero(night)[:300] + 24)
    assert (solar_only == 0.0).all()
    spot = told["grid_price_cny_per_mwh"][:, 0, 2]
    assert spot.min() >= year().prices.floor[2]
    assert spot.max() <= year().prices.cap[2]


def test_known_schedules_have_no_error_and_spot_prices_have() -> None:
    table = forecast().table((24,))["grid_price_cny_per_mwh"][:8700, 0]
    actual = year().grid_price_cny_per_mwh[24 : 8700 + 24]
    assert np.array_equal(table[:, :2], actual[:, :2])  # time of use
    assert np.abs(table[:, 2] - actual[:, 2]).mean() > 20.0  # spot


def test_error_scale_zero_is_perfect() -> None:
    s = scenario("noisy", "+forecast.error_scale=0")
    exact = Forecast(s, year()).at(700, 24)
    assert np.allclose(exact["green_mwh"], year().green_mwh[700:725])
    assert np.array_equal(exact["arrivals_mwh"], year().arrivals_mwh[700:725])


def test_leads_beyond_the_horizon_are_refused() -> None:
    with pytest.raises(ValueError, match="beyond max_lead_h"):
        forecast().at(0, 30)


def test_averaged_leads_show_the_mean_of_the_hours_since_the_lead_before() -> None:
    single = scenario("noisy", "+forecast.leads_h=[1,2,3,4,5,6]")
    spans = scenario("noisy", "+forecast.leads_h=[1,3,6]", "+forecast.averaged=true")
    params = build_params(single, torch.float64)
    every, means = (shown(s, params, year()) for s in (single, spans))
    for name, x in every.items():
        assert means[name].shape == (len(x), 3, 3)
        for i, span in enumerate((slice(0, 1), slice(1, 3), slice(3, 6))):
            assert np.allclose(means[name][:, i], x[:, span].mean(1), rtol=1e-12), name


def test_rows_ahead_follow_the_clock() -> None:
    config = ForecastConfig(leads_h=(1, 3), averaged=True)
    assert rows_ahead(config, 1.0) == [range(1, 2), range(2, 4)]
    assert rows_ahead(config, 0.5) == [range(1, 3), range(3, 7)]
    assert rows_ahead(ForecastConfig(leads_h=(1, 3)), 0.5) == [range(2, 3), range(6, 7)]


@pytest.mark.parametrize("leads", ["[]", "[3,2]", "[1,1]", "[6,30]"])
def test_leads_that_do_not_increase_or_reach_too_far_are_refused(leads: str) -> None:
    with pytest.raises(ConfigError, match="leads_h"):
        scenario("noisy", f"+forecast.leads_h={leads}")
