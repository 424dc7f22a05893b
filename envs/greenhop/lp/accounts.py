"""Accounts in the programme: what each owes per MWh of every flow; a row over the window and a shortfall per site."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from greenhop.arrays import Array, Bools, Ints
from greenhop.lp.columns import Layout, Terms
from greenhop.lp.window import Window
from greenhop.physics.state import ACCOUNTS


class Account(NamedTuple):
    """MWh owed per MWh: of consumption, of IT energy `[R]`; filled per MWh of own, contracted and heat-driven power."""

    facility: float
    it: Array
    own: float = 0.0
    ppa: float = 0.0
    heat: float = 0.0
    fixed_mwh: Array | float = 0.0  # [R] owed over the window whatever is decided


def accounts(w: Window) -> dict[str, Account]:
    """Every account by its name, in the order of `ACCOUNTS`."""
    par, none = w.params, np.zeros(w.params.n_regions)
    available, contracted = w.row.green_mwh.sum(axis=0), w.row.ppa_mwh.sum(axis=0)
    found = {
        "green": Account(par.green_target, none, own=1.0, ppa=1.0, heat=1.0),
        "green_physical": Account(par.physical_target, none, own=1.0, ppa=1.0, heat=1.0),
        "take_or_pay": Account(0.0, none, ppa=1.0, fixed_mwh=par.take_or_pay_share * contracted),
        "pue": Account(1.0, -w.p.pue_cap),
        "direct_generation": Account(0.0, none, own=1.0, fixed_mwh=par.direct_generation_share * available),
        "direct_consumption": Account(par.direct_consumption_share, none, own=1.0),
    }
    return {name: found[name] for name in ACCOUNTS}


def priced(w: Window) -> Bools:
    """[R, A] accounts that cost something."""
    return np.asarray(w.p.owed_price_cny_per_mwh > 0)


def add_rows(w: Window, x: Layout, row: Layout, terms: Terms) -> Array:
    """Terms of `Σ_t (duty − done) − Σ_q short_q ≤ free − owed`; returns the right-hand side [R, A].

    Consumption is import + green + diesel + unserved + Σ discharge − Σ charge, by the balance of power; IT energy is
    Σ_p idle_p·C_p + Σ_p (1 − idle_p)·load_p, less what work on alternative pools does not draw of the room it takes.
    """
    right = w.free_owed_mwh[..., 0] - w.owed_mwh
    idle = (w.room_mwh * w.p.idle_share).sum(axis=(0, 2))
    undrawn = (1.0 - w.p.alternative_pool @ w.p.idle_share) * (w.p.alternative_room - w.p.alternative_energy)
    for i, a in enumerate(accounts(w).values()):
        here = row["accounts"][:, i]
        at_unit = here[w.p.unit_region]
        terms.add(here[:, None], x["short"][:, i], -1.0)
        per_mwh = dict.fromkeys(("import", "diesel", "unserved"), a.facility)
        per_mwh |= {"green": a.facility - a.own, "ppa": -a.ppa}
        for flow, value in per_mwh.items():
            _add(terms, here, x[flow], value)
        _add(terms, at_unit, x["charge"], -a.facility)
        _add(terms, at_unit, x["discharge"], a.facility - a.heat * w.p.is_csp)
        _add(terms, here[:, None], x["load"], np.multiply.outer(a.it, 1.0 - w.p.idle_share))
        _add(terms, here[:, None], x["alternative"], -np.multiply.outer(a.it, undrawn))
        right[:, i] -= a.fixed_mwh + a.it * idle
    return right


def _add(terms: Terms, row: Ints, column: Ints, value: Array | float) -> None:
    """No zeros: an account holds only what it counts."""
    if np.any(value):
        terms.add(row, column, value)


def short_max_mwh(w: Window) -> Array:
    """[R, A] beyond `free_owed_mwh`: no account falls further behind; pools as they owe most, and no green power."""
    idle = (w.room_mwh * w.p.idle_share).sum(axis=2)
    duty = np.zeros_like(w.owed_mwh)
    for i, a in enumerate(accounts(w).values()):
        per_work = a.facility * w.facility_per_work + np.multiply.outer(a.it, 1.0 - w.p.idle_share)
        busiest = (np.maximum(per_work, 0.0) * w.room_mwh).sum(axis=2)
        duty[:, i] = (a.facility * w.facility_idle_mwh + a.it * idle + busiest).sum(axis=0) + a.fixed_mwh
    return np.maximum(w.owed_mwh + duty - w.free_owed_mwh[..., 0], 0.0)
