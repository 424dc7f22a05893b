"""The world bank: packed rows of several years resident on the device, and the warm backlog of every possible start."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from greenhop.cache import cached, key_of, source_key
from greenhop.errors import ConfigError
from greenhop.physics.dynamics.deadlines import close_slots
from greenhop.physics.params import Params
from greenhop.saying import say
from greenhop.scenario.config import SPLITS, ScenarioConfig, Split
from greenhop.world import MADE_BY
from greenhop.world.given import pack_checksum
from greenhop.world.layout import RowLayout, row_layout, rows_ahead
from greenhop.world.year import WorldYear, generate_year


@dataclass(frozen=True)
class WorldBank:
    """Rows `[years · rows_per_year, C]` and the starts an episode may have in them."""

    layout: RowLayout
    table: Tensor  # [N, C] float32 values, in the dtype of the simulation
    starts: Tensor  # [E] int64 rows where an episode may start, in order
    warm_mwh: Tensor  # [E, R, K, S] backlog at each start, its arrivals included
    split: Split
    year_ids: tuple[int, ...]

    @property
    def n_starts(self) -> int:
        """E: how many different episodes the bank holds."""
        return self.starts.shape[0]

    def to(self, device: torch.device | str) -> WorldBank:
        """A copy on another device."""
        return replace(
            self, table=self.table.to(device), starts=self.starts.to(device), warm_mwh=self.warm_mwh.to(device)
        )

    def opening(self, start: Tensor) -> tuple[Tensor, Tensor]:
        """The rows `[B]` and backlogs `[B, R, K, S]` of starts `[B]` int64."""
        return self.starts.index_select(0, start), self.warm_mwh.index_select(0, start)

    def spread(self, episodes: int) -> NDArray[np.int64]:
        """Indices of `episodes` starts that cover dates and years: the episodes that evaluations use."""
        return spread(episodes, self.n_starts, len(self.year_ids), self.split)


GOLDEN_RATIO = (5**0.5 - 1) / 2
_ALIVE: WeakValueDictionary[str, Tensor] = WeakValueDictionary()  # tables in use, which nobody changes


def spread(episodes: int, n_starts: int, years: int, split: Split) -> NDArray[np.int64]:
    """`[episodes]` different starts that cover dates and years alike, whatever their number: years in turn, dates by
    the golden ratio (the additive recurrence whose gaps stay the most even).

    The first n of a longer spread are the spread of n, so a longer evaluation contains every shorter one.

    Raises:
        ConfigError: more episodes than there are starts, or none.
    """
    if not 1 <= episodes <= n_starts:
        raise ConfigError(f"episodes = {episodes} must lie in 1…{n_starts} for split {split!r}")
    dates, i = n_starts // years, np.arange(episodes)
    order = np.argsort(np.argsort((np.arange(dates) + 0.5) * GOLDEN_RATIO % 1.0))  # each date once
    date = (i + i // math.lcm(years, dates)) % dates  # the shift keeps (year, date) from repeating
    return np.asarray(i % years * dates + order[date], dtype=np.int64)


def count_starts(scenario: ScenarioConfig, params: Params, split: Split) -> int:
    """How many different episodes all years of a split hold, without generating them."""
    return len(start_rows(scenario, params)) * int(getattr(scenario.years, split))


def build_bank(
    scenario: ScenarioConfig,
    params: Params,
    split: Split = "train",
    year_ids: Sequence[int] | None = None,
) -> WorldBank:
    """Generate, pack and stack years of a split with the dtype and device of `params`.

    Args:
        scenario: checked.
        params: those of the scenario.
        split: `train`, `val` or `test`.
        year_ids: which years of it; None is all of them.

    Raises:
        ConfigError: a split or year that does not exist.
    """
    ids = _year_ids(scenario, split, year_ids)
    layout = row_layout(params, len(scenario.forecast.leads_h))
    key = _world_key(scenario, split, list(ids), str(params.dtype), str(params.device))
    first, n = start_rows(scenario, params), params.rows_per_year

    def packed(i: int) -> dict[str, NDArray[Any]]:
        return _packed(scenario, params, layout, split, ids[i], f"{i + 1} of {len(ids)}")

    table, arrivals = _ALIVE.get(key), []
    if table is None:
        rows = np.empty((len(ids) * n, layout.width), dtype=np.float32)
        for i in range(len(ids)):  # one year at a time is in memory twice
            year = packed(i)
            rows[i * n : (i + 1) * n] = year["rows"]
            arrivals.append(year["arrivals"])
        table = _ALIVE[key] = torch.from_numpy(rows).to(device=params.device, dtype=params.dtype)

    def waiting() -> dict[str, NDArray[Any]]:
        every = arrivals or [packed(i)["arrivals"] for i in range(len(ids))]
        return {"warm_mwh": torch.cat([warm_backlog(params, x, first) for x in every]).to(torch.float32).numpy()}

    phases = [x.cpu().numpy() for x in (params.slack, params.joins, params.closes, params.slots_used)]
    warm_mwh = torch.from_numpy(cached("backlogs", key_of(key, first, *phases), waiting)["warm_mwh"])
    return WorldBank(
        layout=layout,
        table=table,
        starts=torch.as_tensor(np.concatenate([first + i * n for i in range(len(ids))]), device=params.device),
        warm_mwh=warm_mwh.to(device=params.device, dtype=params.dtype),
        split=split,
        year_ids=ids,
    )


def _packed(
    scenario: ScenarioConfig, params: Params, layout: RowLayout, split: Split, year_id: int, which: str
) -> dict[str, NDArray[Any]]:
    """Packed rows and arrivals `[N, R, K]` of a year, from the disk cache where they were made before."""

    def make() -> dict[str, NDArray[Any]]:
        say("making the world of %s, split %s, year %s; it is kept for next time", scenario.name, split, which)
        year = generate_year(scenario, split, year_id)
        return {"rows": pack_year(scenario, params, layout, year), "arrivals": year.arrivals_mwh}

    return cached("worlds", _world_key(scenario, split, year_id), make)


def _world_key(scenario: ScenarioConfig, split: Split, *which: object) -> str:
    """A name for packed rows: what they follow from, but not what is done in them."""
    relevant = scenario.model_dump(mode="json", exclude={"description", "episode", "decoder", "observation", "world"})
    return key_of(relevant, pack_checksum(scenario), split, *which, source_key(*MADE_BY))


def _year_ids(scenario: ScenarioConfig, split: Split, given: Sequence[int] | None) -> tuple[int, ...]:
    if split not in SPLITS:
        raise ConfigError(f"split = {split!r} is unknown; allowed: {', '.join(SPLITS)}")
    count = getattr(scenario.years, split)
    ids = tuple(range(count)) if given is None else tuple(given)
    if not ids or min(ids) < 0 or max(ids) >= count:
        raise ConfigError(f"years = {list(ids)} must lie in 0…{count - 1} for split {split!r} of {scenario.name}")
    return ids


def start_rows(scenario: ScenarioConfig, params: Params) -> NDArray[np.int64]:
    """Rows of a year where an episode may start: enough past to warm the backlog, enough future to end in the year."""
    every = round(scenario.episode.start_every_h / params.dt_h)
    first = -(-longest_window(params) // every) * every
    last = params.rows_per_year - params.steps - 2  # the row after the end is read once more in next-step autoreset
    rows = np.arange(first, last + 1, every, dtype=np.int64)
    if not len(rows):
        raise ConfigError(f"episode.length_h = {scenario.episode.length_h:g} does not fit into a year")
    return rows


def longest_window(params: Params) -> int:
    """Steps after which no work that waits now can still be waiting."""
    if not params.deferrable:
        return 0
    return int((params.slack * params.slots_used).max()) + 1


def pack_year(scenario: ScenarioConfig, params: Params, layout: RowLayout, year: WorldYear) -> NDArray[np.float32]:
    """The packed rows `[rows_per_year, C]` of one year, forecasts at the observed leads included."""
    n = params.rows_per_year
    seen = shown(scenario, params, year)
    fields = {
        "green_mwh": year.pv_mwh + year.wind_mwh + year.hydro_mwh,
        "next_arrivals_mwh": year.arrivals_mwh[1:],
        "calendar": calendar(params),
        "forecast_green_mwh": seen["green_mwh"],
        "forecast_price_cny_per_mwh": seen["grid_price_cny_per_mwh"],
        "forecast_arrivals_mwh": seen["arrivals_mwh"],
    }
    columns = [
        np.asarray(fields[name] if name in fields else getattr(year, name))[:n].reshape(n, -1)
        for name, _ in layout.shapes
    ]
    return np.concatenate(columns, axis=1).astype(np.float32)


def shown(scenario: ScenarioConfig, params: Params, year: WorldYear) -> dict[str, NDArray[np.float64]]:
    """`[N, leads, R]` what observations hold of the future: green, grid price and all arriving work."""
    from greenhop.world.forecast import Forecast  # as above

    ahead = rows_ahead(scenario.forecast, params.dt_h)
    rows = tuple(row for span in ahead for row in span)
    ends = np.cumsum([len(span) for span in ahead])[:-1]
    told = Forecast(scenario, year).table(rows)
    return {name: np.stack([x.mean(1) for x in np.split(every, ends, axis=1)], axis=1) for name, every in told.items()}


def calendar(params: Params) -> NDArray[np.float64]:
    """`[rows_per_year, 6]` sine and cosine of hour of day, day of week and day of year; a year starts on a Monday."""
    hour = np.arange(params.rows_per_year) * params.dt_h
    turns = (hour % 24 / 24, hour / 24 % 7 / 7, hour / params.rows_per_year / params.dt_h)
    return np.stack([f(2 * np.pi * x) for x in turns for f in (np.sin, np.cos)], axis=1)


def warm_backlog(params: Params, arrivals_mwh: NDArray[np.float64], first: NDArray[np.int64]) -> Tensor:
    """`[E, R, K, S]`: what an operator who runs `1/(slack+1)` of every cohort each step has waiting at rows `first`.

    Work older than the longest window is gone by its deadline, so that many steps of the past decide the backlog.
    """
    past = longest_window(params)
    slack, joins, closes = (x.double().cpu() for x in (params.slack, params.joins, params.closes))
    arrivals = torch.as_tensor(np.asarray(arrivals_mwh, dtype=np.float64))
    rows = torch.as_tensor(first) - past
    backlog = torch.zeros(len(first), arrivals.shape[1], *slack.shape[1:], dtype=torch.float64)
    for i in range(past + 1):
        phase = (rows + i) % params.period
        backlog = backlog + arrivals[rows + i].unsqueeze(-1) * joins[phase].unsqueeze(1)
        if i < past:
            left = backlog * (1.0 - 1.0 / (slack[phase] + 1.0)).unsqueeze(1)
            backlog, _ = close_slots(left, closes[phase])
    return backlog
