"""How wrong forecasts are: a martingale of revisions.

The error of the forecast for hour τ issued h hours before is

    e(τ, h) = Σ_{j=1..h} √(v_j − v_{j−1}) · ξ(τ−j, j)

with v_h the mean square error at lead h and ξ(i, j) the standard normal surprise of issue i about lead j. Surprises of
different issues are independent, so e is unbiased, has variance v_h exactly, and a later forecast never contradicts an
earlier one beyond its own news. Within one issue ξ is AR(1) over the lead and correlated in space as the resource is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from greenhop.arrays import Array
from greenhop.scenario.tables import load_table
from greenhop.world.noise import correlated
from greenhop.world.streams import StreamKey

if TYPE_CHECKING:
    from greenhop.world.places import Place


def error_sd(name: str, max_lead_h: int) -> Array:
    """`[max_lead_h + 1]` root-mean-square error by lead: zero at lead 0, never falling, constant past the table."""
    t = load_table("forecast_error")
    sd = np.interp(np.arange(max_lead_h + 1), [0, *t["lead_h"]], [0.0, *t[name]])
    out: Array = np.maximum.accumulate(sd)
    return out


def error_cube(
    key: StreamKey,
    name: str,
    variable: str,
    places: tuple[Place, ...],
    sites: tuple[int, ...],
    hours: int,
    max_lead_h: int,
) -> NDArray[np.float32]:
    """`[max_lead_h + 1, hours, R]` errors e(τ, h) of one `variable`, whose size is the table's row `name`.

    The surprises of the hours before the year are drawn too, so that the first rows have full errors. Works lead by
    lead: the surprises of all issues about lead j follow from those about lead j − 1, are mixed over the sites, and the
    news of issue τ − j joins the error of every hour τ.
    """
    t = load_table("forecast_error")
    phi, decay_km = t["phi_per_h"], t["decay_km"][name]
    issues, wanted = hours + max_lead_h, sorted(set(sites))
    streams = {p: key.stream("forecast", variable, p.key) for p in places[: max(sites) + 1]}
    weight = np.sqrt(np.diff(error_sd(name, max_lead_h) ** 2))
    surprise = {p: rng.standard_normal(issues) for p, rng in streams.items()}
    total = {i: np.zeros(hours) for i in wanted}
    out = np.zeros((max_lead_h + 1, hours, len(sites)), dtype=np.float32)
    for j in range(1, max_lead_h + 1):
        if j > 1:
            for place, rng in streams.items():
                surprise[place] = phi * surprise[place] + np.sqrt(1.0 - phi * phi) * rng.standard_normal(issues)
        mixed = correlated(surprise.__getitem__, places, wanted, decay_km)
        first = max_lead_h - j  # where the issue j hours before hour 0 stands
        for i in wanted:
            total[i] += weight[j - 1] * mixed[i][first : first + hours]
        for r, i in enumerate(sites):
            out[j, :, r] = total[i]
    return out
