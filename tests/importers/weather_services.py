"""A stand-in for the weather services on this machine: their formats, their errors, and a count of what was asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import numpy as np

HOUR = timedelta(hours=1)


@dataclass
class Answer:
    """What a service says instead of weather."""

    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Services:
    """The running stand-in: `instead` is said first, one after the other; `gaps` are hours without values."""

    url: str
    asked: list[dict[str, str]] = field(default_factory=list)
    instead: list[Answer] = field(default_factory=list)
    gaps: list[int] = field(default_factory=list)

    def endpoint(self, service: str) -> str:
        """Where one of the services listens."""
        return f"{self.url}/{service}"


@contextmanager
def weather_services() -> Iterator[Services]:
    """Serve until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name is that of the standard library
            parts = urlsplit(self.path)
            query = {name: found[0] for name, found in parse_qs(parts.query).items()}
            running.asked.append({"service": parts.path.strip("/"), **query})
            if running.instead:
                answer = running.instead.pop(0)
            else:
                answer = Answer(200, FORMS[parts.path.strip("/")](query, running.gaps))
            data = answer.body.encode()
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(data)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running = Services(f"http://127.0.0.1:{server.server_address[1]}")
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def weather(times: list[datetime], lon_deg: float) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """A day like any other: the sun at its highest at local noon, wind and temperature in waves."""
    hour = np.array([t.timestamp() / 3600 for t in times])
    local = (hour + lon_deg / 15) % 24
    height = np.clip(np.cos((local + 0.5 - 12) / 12 * np.pi), 0.0, None)
    return {
        "ghi": 600 * height,
        "dhi": 150 * height,
        "dni": 450 * np.minimum(1.0, 3 * height),
        "wind": 7 + 4 * np.sin(hour / 31),
        "temperature": 10 + 8 * np.sin(hour / 24 * 2 * np.pi),
    }


def _hours(first: datetime, last: datetime) -> list[datetime]:
    return [first + i * HOUR for i in range((last - first) // HOUR)]


def nasa_power(query: dict[str, str], gaps: list[int]) -> str:
    """CSV with its header; −999 where there is no value."""
    begin, end = (datetime.strptime(query[k], "%Y%m%d").replace(tzinfo=UTC) for k in ("start", "end"))
    times = _hours(begin, end + 24 * HOUR)
    seen = weather(times, float(query["longitude"]))
    units = {
        "T2M": ("C", seen["temperature"]),
        "WS10M": ("m/s", 0.7 * seen["wind"]),
        "WS50M": ("m/s", seen["wind"]),
        "ALLSKY_SFC_SW_DWN": ("Wh/m^2", seen["ghi"]),
        "ALLSKY_SFC_SW_DNI": ("Wh/m^2", seen["dni"]),
        "ALLSKY_SFC_SW_DIFF": ("Wh/m^2", seen["dhi"]),
    }
    asked = query["parameters"].split(",")
    head = [
        "-BEGIN HEADER-",
        "NASA/POWER Source Native Resolution Hourly Data ",
        f"Dates (month/day/year): {begin:%m/%d/%Y} through {end:%m/%d/%Y} in {query['time-standard']}",
        f"Location: latitude  {query['latitude']}   longitude {query['longitude']} ",
        "elevation from MERRA-2: Average for 0.5 x 0.625 degree lat/lon region = 1045.2 meters",
        "The value for missing source data that cannot be computed or is outside of the range: -999 ",
        "parameter(s): ",
        *(f"{name}     MERRA-2 something ({units[name][0]}) " for name in asked),
        "-END HEADER-",
        ",".join(["YEAR", "MO", "DY", "HR", *asked]),
    ]
    rows = []
    for i, t in enumerate(times):
        cells = ["-999.0" if i in gaps else f"{units[name][1][i]:.2f}" for name in asked]
        rows.append(",".join([*map(str, (t.year, t.month, t.day, t.hour)), *cells]))
    return "\n".join([*head, *rows]) + "\n"


def openmeteo(query: dict[str, str], gaps: list[int]) -> str:
    """JSON; radiation is the mean of the hour before its time, null where there is no value."""
    begin, end = (datetime.fromisoformat(query[k]).replace(tzinfo=UTC) for k in ("start_date", "end_date"))
    times = _hours(begin, end + 24 * HOUR)
    now, before = (weather([t - back * HOUR for t in times], float(query["longitude"])) for back in (0, 1))
    series = {
        "temperature_2m": ("°C", now["temperature"]),
        "wind_speed_10m": ("m/s", 0.7 * now["wind"]),
        "wind_speed_100m": ("m/s", now["wind"]),
        "shortwave_radiation": ("W/m²", before["ghi"]),
        "direct_normal_irradiance": ("W/m²", before["dni"]),
        "diffuse_radiation": ("W/m²", before["dhi"]),
    }
    asked = query["hourly"].split(",")
    values = {
        name: [None if i in gaps else round(float(x), 2) for i, x in enumerate(series[name][1])] for name in asked
    }
    answer = {
        "latitude": float(query["latitude"]) + 0.01,
        "longitude": float(query["longitude"]) - 0.02,
        "elevation": 1045.0,
        "utc_offset_seconds": 0,
        "timezone": "GMT",
        "hourly_units": {"time": "iso8601", **{name: series[name][0] for name in asked}},
        "hourly": {"time": [f"{t:%Y-%m-%dT%H:%M}" for t in times], **values},
    }
    return json.dumps(answer)


def pvgis(query: dict[str, str], gaps: list[int]) -> str:
    """JSON of `seriescalc`; rows of some hours are not there at all."""
    begin, end = (datetime(int(query[k]), 1, 1, tzinfo=UTC) for k in ("startyear", "endyear"))
    times = _hours(begin, end.replace(year=end.year + 1))
    seen = weather(times, float(query["lon"]))
    rows = [
        {
            "time": f"{t:%Y%m%d:%H}30",
            "Gb(i)": round(float(seen["ghi"][i] - seen["dhi"][i]), 2),
            "Gd(i)": round(float(seen["dhi"][i]), 2),
            "Gr(i)": 0.0,
            "H_sun": 0.0,
            "T2m": round(float(seen["temperature"][i]), 2),
            "WS10m": round(float(seen["wind"][i]), 2),
            "Int": 1.0 if i % 100 == 0 else 0.0,
        }
        for i, t in enumerate(times)
        if i not in gaps
    ]
    place = {"latitude": float(query["lat"]), "longitude": float(query["lon"]), "elevation": 1045.0}
    slope = {"value": int(query["angle"]), "optimal": False}
    inputs = {"location": place, "mounting_system": {"fixed": {"slope": slope, "azimuth": {"value": 0}}}}
    return json.dumps({"inputs": inputs, "outputs": {"hourly": rows}, "meta": {"inputs": {}, "outputs": {}}})


FORMS = {"nasa_power": nasa_power, "openmeteo": openmeteo, "pvgis": pvgis}
