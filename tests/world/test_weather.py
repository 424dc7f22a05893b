"""Wind, sun, water and temperature: they hit the site table and vary together as far as they are close."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from greenhop.scenario.find import load_scenario
from greenhop.scenario.geo import great_circle_km
from greenhop.scenario.sites import locations_deg
from greenhop.scenario.tables import load_table
from greenhop.world.calendar import calendar
from greenhop.world.cooling import pue_full
from greenhop.world.places import places_of, table_places
from greenhop.world.solar import clear_sky
from greenhop.world.streams import StreamKey
from greenhop.world.weather import Weather, make_weather
from greenhop.world.wind import wind_share

YEARS = 12
CAL = calendar(1.0)


@cache
def weathers() -> tuple[Weather, ...]:
    places, sites = places_of(load_scenario("hub10"))
    return tuple(make_weather(StreamKey(0, "test", "train", y), places, sites, CAL) for y in range(YEARS))


def by_month(name: str) -> NDArray[np.float64]:
    """[12, R] mean over all years."""
    series = np.mean([getattr(w, name) for w in weathers()], axis=0)
    return np.stack([series[CAL.month == m].mean(axis=0) for m in range(12)])


def wanted(resource: str) -> NDArray[np.float64]:
    """[12, R] from the site table."""
    rows = [load_table("sites")[site][resource]["capacity_factor_monthly"] for site in load_scenario("hub10").sites]
    return np.array(rows).T


@pytest.mark.parametrize(
    ("name", "resource", "month", "site"), [("wind", "wind", 0.18, 0.12), ("solar", "solar", 0.10, 0.06)]
)
def test_capacity_factors_hit_the_site_table(name: str, resource: str, month: float, site: float) -> None:
    ratio = by_month(name) / wanted(resource)
    np.testing.assert_allclose(ratio.mean(axis=1), 1.0, atol=month)  # each month over all sites
    np.testing.assert_allclose(ratio.mean(axis=0), 1.0, atol=site)  # each site over all months
    assert abs(ratio.mean() - 1.0) < 0.04


def test_wind_calibration_is_exact_in_expectation() -> None:
    place = table_places()[0]
    rng = np.random.default_rng(3)
    share = np.mean([wind_share(place, rng.standard_normal(CAL.rows), CAL) for _ in range(20)], axis=0)
    monthly = [share[CAL.month == m].mean() for m in range(12)]
    np.testing.assert_allclose(monthly, place.row["wind"]["capacity_factor_monthly"], rtol=0.04)


def test_wind_correlation_falls_with_distance_as_the_table_says() -> None:
    sites = locations_deg(load_scenario("hub10"))
    km = great_circle_km(sites[:, None], sites[None, :])
    found = np.mean([np.corrcoef(w.wind.T) for w in weathers()], axis=0)
    pairs = np.triu_indices(len(sites), 1)
    expected = np.exp(-km / load_table("stochastic")["wind"]["decay_km"])
    assert np.abs(found - expected)[pairs].mean() < 0.05
    assert np.abs(found - expected)[pairs].max() < 0.15


def test_close_sites_share_their_clouds() -> None:
    index = [np.divide(w.solar, w.clear, out=np.zeros_like(w.solar), where=w.clear > 0.1) for w in weathers()]
    noon = np.concatenate([x[CAL.hour == 12] for x in index])
    names = list(load_scenario("hub10").sites)
    found = np.corrcoef(noon.T)
    near = found[names.index("wuhu"), names.index("yangtze_demo")]
    far = found[names.index("zhangjiakou"), names.index("guian")]
    assert near > 0.25
    assert abs(far) < 0.15


def test_shares_stay_between_zero_and_one_and_nights_are_dark() -> None:
    for w in weathers()[:2]:
        for share in (w.wind, w.solar, w.base_solar, w.hydro, w.beam):
            assert share.min() >= 0.0
            assert share.max() <= 1.0
        assert (w.solar[CAL.hour == 1] == 0.0).all()
        assert (w.solar <= w.clear).all()


def test_the_sun_stands_highest_at_solar_noon() -> None:
    for place in table_places():
        day = clear_sky(place, CAL).panel[:24]
        noon = 12.0 + (120.0 - place.lon_deg) / 15.0
        assert abs(np.argmax(day) + 0.5 - noon) <= 1.0


def test_temperature_follows_the_normals() -> None:
    for r, site in enumerate(load_scenario("hub10").sites):
        normals = load_table("sites")[site]["climate"]["temperature_monthly_c"]
        np.testing.assert_allclose(by_month("temperature_c")[:, r], normals, atol=3.0)


def test_liquid_cooling_needs_less_overhead_and_heat_needs_more() -> None:
    place = table_places()[1]  # a humid one
    temperature = np.linspace(-15, 40, 56)
    curves = [pue_full(place, name, temperature) for name in load_table("cooling")["curves"]]
    for worse, better in pairwise(curves):
        assert (worse > better).all()
    for curve in curves:
        assert (np.diff(curve) >= -1e-12).all()
        assert curve.min() >= 1.0
