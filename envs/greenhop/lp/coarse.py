"""Coarser later hours: several steps of a window become one snapshot, for controllers that only apply the first step.

Energies and limits of a snapshot are sums over its steps; prices, PUE and availabilities are means; work that arrives
within a snapshot is there from its beginning. A coarse window is therefore neither a bound from below nor a plan that
can be replayed beyond its fine part.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from greenhop.arrays import Ints
from greenhop.errors import ConfigError
from greenhop.lp.columns import Arrays
from greenhop.lp.window import Window
from greenhop.physics.state import Row

SUMMED = ("green_mwh", "ppa_mwh", "online_mwh", "next_arrivals_mwh", "inflow_mwh")
AVERAGED = (
    "pue_full",
    "grid_price_cny_per_mwh",
    "export_price_cny_per_mwh",
    "carbon_kg_per_mwh",
    "site_availability",
    "grid_availability",
    "link_availability",
)


def block_steps(w: Window) -> int:
    """Steps a snapshot may have: the greatest common divisor of all deadline quanta, so that none closes inside."""
    period = w.params.period
    quanta = [int(np.flatnonzero(w.p.closes[:, k] > 0)[0]) + 1 for k in range(w.p.closes.shape[1])]
    return int(np.gcd.reduce([*quanta, period]))


def spans(w: Window, fine_steps: int) -> Ints:
    """[T'] steps of each snapshot: single ones for at least `fine_steps` and up to a block's beginning, then blocks."""
    block, total = block_steps(w), w.steps
    fine = min(total, fine_steps + (-(int(w.phase[0]) + fine_steps)) % block if total else 0)
    full, rest = divmod(total - fine, block)
    return np.array([1] * fine + [block] * full + [rest] * (rest > 0), dtype=np.int64)


def coarsen(w: Window, span: Ints) -> Window:
    """Merge consecutive steps of a window; `span` adds up to its steps and no deadline falls inside a snapshot."""
    if int(span.sum()) != w.steps or (w.span != 1).any():
        raise ConfigError(f"spans of {int(span.sum())} steps do not cover a fine window of {w.steps} steps")
    first = np.concatenate([[0], np.cumsum(span)[:-1]]).astype(np.int64)
    inside = np.setdiff1d(np.arange(w.steps), first + span - 1)
    if w.closes[inside].any():
        raise ConfigError("a deadline falls inside a coarse snapshot; begin snapshots where slots close")
    per = span.astype(np.float64)
    rows = {name: np.add.reduceat(getattr(w.row, name), first, axis=0) for name in (*SUMMED, *AVERAGED)}
    for name in AVERAGED:
        rows[name] = rows[name] / per.reshape(-1, *[1] * (rows[name].ndim - 1))
    supply = np.concatenate([w.backlog_mwh[None], w.joining_mwh])  # slots keep their numbers until one closes
    supply = np.add.reduceat(supply, first, axis=0)
    return replace(
        w,
        row=Arrays(Row(**{name: torch.from_numpy(x) for name, x in rows.items()})),
        backlog_mwh=supply[0],
        phase=w.phase[first],
        span=span,
        joining_mwh=supply[1:],
    )
