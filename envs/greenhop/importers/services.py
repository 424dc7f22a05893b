"""Public services that give the weather of a place by the hour: how they are asked, and on what terms they answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlencode

from greenhop.errors import ConfigError

Query = Callable[[float, float, int], dict[str, str | int | float]]
ServiceName = Literal["nasa_power", "pvgis", "openmeteo"]


@dataclass(frozen=True)
class Service:
    """One service. `layout` reads its answers, which are files of a year of one place.

    Where a service sells keys, `key` is the name it wants them under and `endpoint_with_key` where it wants them.
    """

    layout: str
    ending: str
    endpoint: str
    query: Query
    source: str
    licence: str
    key: str | None = None
    endpoint_with_key: str = ""

    def url(
        self, lat_deg: float, lon_deg: float, year: int, base_url: str | None = None, key: str | None = None
    ) -> str:
        """What to ask for a year of a place.

        Raises:
            ConfigError: a key for a service that has none, or an address that is not one of the web.
        """
        if key is not None and self.key is None:
            raise ConfigError(f"service.key: {self.source} wants no key")
        endpoint = base_url or (self.endpoint if key is None else self.endpoint_with_key)
        if not endpoint.startswith(("http://", "https://")):
            raise ConfigError(f"service.base_url = {endpoint!r} must begin with https:// or http://")
        asked = self.query(round(lat_deg, 4), round(lon_deg, 4), year)
        return f"{endpoint}?{urlencode(asked | ({} if key is None else {str(self.key): key}), safe=',')}"


def _nasa_power(lat_deg: float, lon_deg: float, year: int) -> dict[str, str | int | float]:
    return {
        "parameters": "T2M,WS10M,WS50M,ALLSKY_SFC_SW_DWN,ALLSKY_SFC_SW_DNI,ALLSKY_SFC_SW_DIFF",
        "community": "RE",
        "latitude": lat_deg,
        "longitude": lon_deg,
        "start": f"{year}0101",
        "end": f"{year}1231",
        "format": "CSV",
        "time-standard": "UTC",
    }


def _pvgis(lat_deg: float, lon_deg: float, year: int) -> dict[str, str | int | float]:
    return {
        "lat": lat_deg,
        "lon": lon_deg,
        "startyear": year,
        "endyear": year,
        "outputformat": "json",
        "components": 1,  # beam and diffuse apart
        "angle": 0,
    }


def _openmeteo(lat_deg: float, lon_deg: float, year: int) -> dict[str, str | int | float]:
    """A day more before the year: the radiation of an hour stands in the row after it, here that of the next file."""
    return {
        "latitude": lat_deg,
        "longitude": lon_deg,
        "start_date": f"{year - 1}-12-31",
        "end_date": f"{year}-12-31",
        "hourly": "temperature_2m,wind_speed_10m,wind_speed_100m,shortwave_radiation,direct_normal_irradiance,"
        "diffuse_radiation",
        "wind_speed_unit": "ms",
        "timezone": "GMT",
    }


SERVICES: dict[str, Service] = {
    "nasa_power": Service(
        layout="nasa_power",
        ending="csv",
        endpoint="https://power.larc.nasa.gov/api/temporal/hourly/point",
        query=_nasa_power,
        source="NASA POWER hourly, power.larc.nasa.gov",
        licence="free to use; acknowledge the NASA Langley Research Center POWER Project funded through the NASA Earth "
        "Science Directorate Applied Science Program (terms: power.larc.nasa.gov)",
    ),
    "pvgis": Service(
        layout="pvgis",
        ending="json",
        endpoint="https://re.jrc.ec.europa.eu/api/v5_3/seriescalc",
        query=_pvgis,
        source="PVGIS, re.jrc.ec.europa.eu",
        licence="© European Union; free to use, acknowledge PVGIS (terms not checked here: see re.jrc.ec.europa.eu)",
    ),
    "openmeteo": Service(
        layout="open_meteo_json",
        ending="json",
        endpoint="https://archive-api.open-meteo.com/v1/archive",
        query=_openmeteo,
        source="Open-Meteo historical weather, open-meteo.com",
        licence="CC BY 4.0 (open-meteo.com/en/license); without a key for non-commercial use (open-meteo.com/en/terms)",
        key="apikey",
        endpoint_with_key="https://customer-archive-api.open-meteo.com/v1/archive",
    ),
}
