"""The calendar of a year: 365 days, the first a Monday, local time UTC+8, rows of `dt_h` hours and a pad at the end."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from greenhop.units import HOURS_PER_YEAR

PAD_H = 48  # rows past the end of the year, so that a forecast issued near it has something to look at
DAYS_PER_MONTH = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True)
class Calendar:
    """Arrays over the rows `[N]` of a year and its pad; the pad continues into January."""

    dt_h: float
    day: NDArray[np.int64]  # 0 … 366, counts on through the pad
    month: NDArray[np.int64]  # 0 … 11
    hour: NDArray[np.int64]  # 0 … 23
    weekday: NDArray[np.int64]  # 0 is Monday
    mid_h: NDArray[np.float64]  # hour of the day at the middle of the row

    @property
    def rows(self) -> int:
        """N."""
        return len(self.day)

    @property
    def per_hour(self) -> int:
        """Rows in an hour."""
        return round(1.0 / self.dt_h)

    @property
    def hours(self) -> int:
        """Hours in the year and its pad."""
        return HOURS_PER_YEAR + PAD_H

    @property
    def day_of_year(self) -> NDArray[np.int64]:
        """0 … 364."""
        return self.day % 365


@cache
def calendar(dt_h: float) -> Calendar:
    """The calendar for rows of `dt_h` hours."""
    start_h: NDArray[np.float64] = np.arange(round((HOURS_PER_YEAR + PAD_H) / dt_h), dtype=np.float64) * dt_h
    day = (start_h // 24).astype(np.int64)
    return Calendar(
        dt_h=dt_h,
        day=day,
        month=np.repeat(np.arange(12), DAYS_PER_MONTH)[day % 365],
        hour=(start_h % 24).astype(np.int64),
        weekday=day % 7,
        mid_h=np.asarray(start_h % 24 + dt_h / 2, dtype=np.float64),
    )


def monthly(values: list[float], cal: Calendar) -> NDArray[np.float64]:
    """`[N]` monthly means as a continuous curve through the middles of the months."""
    ends = np.cumsum(DAYS_PER_MONTH)
    middle = ends - np.array(DAYS_PER_MONTH) / 2
    at = np.concatenate([[middle[-1] - 365], middle, [middle[0] + 365]])
    return np.interp(cal.day_of_year + cal.mid_h / 24, at, [values[-1], *values, values[0]])
