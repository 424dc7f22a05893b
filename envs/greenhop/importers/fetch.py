"""Real weather for every site of a scenario, from a public service to the inputs of an import.

Answers are kept beside the pack, one file for each site and year, so that a broken run goes on where it stopped and
their checksums are those in the manifest.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from greenhop.errors import ConfigError
from greenhop.importers.download import Manners, download
from greenhop.importers.inputs import InputConfig
from greenhop.importers.pv import PvConfig
from greenhop.importers.registry import SERIES
from greenhop.importers.services import SERVICES, Service, ServiceName
from greenhop.importers.turbine import WindConfig
from greenhop.scenario.config import ScenarioConfig
from greenhop.scenario.sites import locations_deg

KEY_VARIABLE = "GREENHOP_WEATHER_KEY"
DOWNLOADS = "downloads"  # folder inside that of the pack
Progress = Callable[[int, int], None]


class ServiceConfig(BaseModel):
    """How the service is reached."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    base_url: str | None = None
    """Address that is asked; null: the service's own."""
    key: str | None = None
    """Key of a paying customer, where the service sells them; null: what $GREENHOP_WEATHER_KEY holds, if anything."""
    tries: Annotated[int, Field(ge=1, le=100)] = 8
    """How often a busy service is asked for one file."""
    wait_s: Annotated[float, Field(ge=0, le=600)] = 2.0
    """First wait before a service is asked again, s; it doubles, unless the service says how long."""
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = 120.0
    """How long an answer may take, s."""


class FetchConfig(BaseModel):
    """Weather of whole years."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    fetch: ServiceName
    """Service that the weather comes from."""
    years: Annotated[list[Annotated[int, Field(ge=1940, le=2100)]], Field(min_length=1)]
    """Calendar years (UTC) that follow each other."""
    quantities: Annotated[list[Literal["pv_cf", "wind_cf", "temperature_c"]], Field(min_length=1)] = [
        "pv_cf",
        "wind_cf",
        "temperature_c",
    ]
    """What is made of the weather at every site."""
    max_gap_h: Annotated[int, Field(ge=0, le=24)] = 3
    """Longest gap that is bridged by interpolation, h; a longer one is an error."""
    pv: PvConfig = PvConfig()
    """The solar plants that weather is turned into."""
    wind: WindConfig = WindConfig()
    """The wind farms that weather is turned into."""
    service: ServiceConfig = ServiceConfig()
    """How the service is reached."""

    @field_validator("years")
    @classmethod
    def _follow_each_other(cls, years: list[int]) -> list[int]:
        ordered = sorted(set(years))
        if ordered != list(range(ordered[0], ordered[0] + len(years))):
            raise ValueError(f"years = {years}: they must follow each other, each once")
        return ordered


def fetch(
    config: FetchConfig, scenario: ScenarioConfig, folder: Path, progress: Progress | None = None
) -> list[InputConfig]:
    """Download what is not there yet and say how to import it.

    Args:
        config: service and years.
        scenario: its sites are where the weather is asked for.
        folder: of the pack; answers are kept in it.
        progress: called with the number of files that are there and that are wanted.

    Returns:
        The inputs of an import: every quantity of every site.

    Raises:
        ConfigError: a key or an address that the service cannot have.
        DataError: the service refused or stayed busy.
    """
    service = SERVICES[config.fetch]
    key = config.service.key or (os.environ.get(KEY_VARIABLE) if service.key else None)
    manners = Manners(config.service.tries, config.service.wait_s, config.service.timeout_s)
    places = zip(scenario.sites, locations_deg(scenario).tolist(), strict=True)
    wanted = [(site, place, year) for site, place in places for year in config.years]
    files: dict[str, list[Path]] = {}
    for done, (site, (lat_deg, lon_deg), year) in enumerate(wanted, 1):
        asked = service.url(lat_deg, lon_deg, year, config.service.base_url)
        name = f"{site}-{year}-{hashlib.sha256(asked.encode()).hexdigest()[:8]}.{service.ending}"
        path = folder / DOWNLOADS / config.fetch / name
        url = service.url(lat_deg, lon_deg, year, config.service.base_url, key)
        try:
            download(url, path, _readable(service), manners, f"{config.fetch}, {site} {year}")
        except OSError as error:
            raise ConfigError(f"output = {str(folder)!r}: {error.strerror or error}") from None
        files.setdefault(site, []).append(path)
        if progress:
            progress(done, len(wanted))
    return [_input(config, service, site, q, paths) for site, paths in files.items() for q in config.quantities]


def _readable(service: Service) -> Callable[[Path], object]:
    return lambda path: SERIES[service.layout].run(path, {})


def _input(config: FetchConfig, service: Service, site: str, quantity: str, paths: list[Path]) -> InputConfig:
    return InputConfig(
        layout=service.layout,
        path=tuple(paths),
        region=site,
        quantity=quantity,
        source=service.source,
        licence=service.licence,
        max_gap_h=config.max_gap_h,
        pv=config.pv,
        wind=config.wind,
    )
