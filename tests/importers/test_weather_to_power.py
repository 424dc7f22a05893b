"""Weather becomes plausible output of panels and turbines, with every assumption noted."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenhop.errors import ConfigError
from greenhop.importers.turbine import WindConfig, shear_factor
from tests.importers.writers import open_meteo, read, values

WARM = {"temperature_2m": [10.0] * 48}
UNITS = {"temperature_2m": "°C", "cloud_cover": "%", "shortwave_radiation": "W/m²", "wind_speed_10m": "km/h"}


def cloudy(tmp_path: Path, percent: float) -> Path:
    return open_meteo(tmp_path / f"w{percent}.json", {**WARM, "cloud_cover": [percent] * 48}, UNITS)


def test_panels_follow_the_sun_of_their_place(tmp_path: Path) -> None:
    pytest.importorskip("pvlib", reason="the extra `weather` is not installed")
    made = read("open_meteo_json", cloudy(tmp_path, 0), "pv_cf")
    day = made.values["pv_cf"][:24]
    assert int(day.argmax()) == 11  # solar noon at 8.6° east is 11:29 UTC
    assert (day[:6] == 0.0).all()
    assert 0.2 < day.max() < 0.9  # a clear day in January
    assert any("Kasten & Czeplak" in note for note in made.notes)
    east = values("open_meteo_json", cloudy(tmp_path, 0), "pv_cf", lat_deg=50.0, lon_deg=98.6)
    assert int(east[:24].argmax()) == 5


def test_clouds_dim_the_sky_by_the_stated_formula(tmp_path: Path) -> None:
    pytest.importorskip("pvlib", reason="the extra `weather` is not installed")
    flat = {"pv": {"tilt_deg": 0.0, "temperature_per_k": 0.0}}
    clear, half, full = (values("open_meteo_json", cloudy(tmp_path, c), "pv_cf", **flat).sum() for c in (0, 50, 100))
    assert half / clear == pytest.approx(1 - 0.75 * 0.5**3.4, abs=0.01)
    assert full / clear == pytest.approx(0.25, abs=0.01)


def test_missing_pvlib_and_missing_weather_are_said_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wind = open_meteo(tmp_path / "v.json", {"wind_speed_10m": [20.0] * 4}, UNITS)
    with pytest.raises(ConfigError, match=r"needs (the temperature|pvlib)"):
        read("open_meteo_json", wind, "pv_cf")
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "pvlib":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"pip install 'greenhop\[weather\]'"):
        read("open_meteo_json", cloudy(tmp_path, 0), "pv_cf")


def test_wind_grows_with_height_by_the_stated_law() -> None:
    assert shear_factor(10, WindConfig()) == pytest.approx(10 ** (1 / 7))
    assert shear_factor(10, WindConfig(shear="log", roughness_m=0.1)) == pytest.approx(1.5)
    assert shear_factor(100, WindConfig()) == 1.0


def test_turbines_follow_the_farm_curve_and_prefer_the_recorded_height_nearest_to_the_hub(tmp_path: Path) -> None:
    speeds = [0.0, 18.0, 36.0, 54.0, 144.0]  # km/h at 100 m; the last is a storm beyond cut-out
    units = {"wind_speed_100m": "km/h", "wind_speed_10m": "km/h"}
    path = open_meteo(tmp_path / "w.json", {"wind_speed_100m": speeds, "wind_speed_10m": [1.0] * 5}, units)
    made = read("open_meteo_json", path, "wind_cf")
    out = made.values["wind_cf"]
    assert out[0] == 0.0
    assert (np.diff(out[:4]) > 0).all()
    assert out[3] > 0.9
    assert out[4] < 0.2
    assert any("wind at 100 m × 1.000" in note for note in made.notes)
