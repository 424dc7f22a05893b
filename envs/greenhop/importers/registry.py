"""All layouts by name. Those whose name begins with `jobs_` read job traces, the others hourly (or finer) series."""

from __future__ import annotations

from typing import Any

from greenhop.importers import (
    eia,
    electricity_maps,
    entsoe_generation,
    entsoe_price,
    jobs_azure,
    jobs_pai,
    jobs_philly,
    jobs_slurm,
    jobs_swf,
    nasa_power,
    open_meteo_csv,
    open_meteo_json,
    price_csv,
    pvgis,
    state_grid_xlsx,
    tidy_csv,
)
from greenhop.importers.jobs import Jobs
from greenhop.importers.layout import Layout
from greenhop.importers.samples import Samples

Parts = Samples | tuple[Samples, ...]  # one series, or several to be added up
SERIES: dict[str, Layout[Any, Any]] = {
    "open_meteo_json": open_meteo_json.LAYOUT,
    "open_meteo_csv": open_meteo_csv.LAYOUT,
    "nasa_power": nasa_power.LAYOUT,
    "pvgis": pvgis.LAYOUT,
    "electricity_maps": electricity_maps.LAYOUT,
    "entsoe_price": entsoe_price.LAYOUT,
    "entsoe_generation": entsoe_generation.LAYOUT,
    "eia": eia.LAYOUT,
    "price_csv": price_csv.LAYOUT,
    "state_grid_xlsx": state_grid_xlsx.LAYOUT,
    "tidy_csv": tidy_csv.LAYOUT,
}
JOBS: dict[str, Layout[Any, Jobs]] = {
    "jobs_pai": jobs_pai.LAYOUT,
    "jobs_azure": jobs_azure.LAYOUT,
    "jobs_swf": jobs_swf.LAYOUT,
    "jobs_philly": jobs_philly.LAYOUT,
    "jobs_slurm": jobs_slurm.LAYOUT,
}
NAMES = (*SERIES, *JOBS)
