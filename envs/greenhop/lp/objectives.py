"""Other objectives of the programme: what each of its variables counts for carbon, missed work and green energy.

With a price on one of them the programme's optimum bounds every policy's bill with that price: the weights of a
trade-off, or the multiplier of a budget. Nothing but the costs of variables changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from greenhop.arrays import Array
from greenhop.errors import ConfigError
from greenhop.lp.model import LinearProgram
from greenhop.lp.window import Window
from greenhop.physics.objectives import GREEN

Counted = dict[str, Array | float]  # by family of variables, broadcast to its shape


def counted(w: Window, name: str, share: float = 0.0) -> Counted:
    """How much of a quantity a MWh of every family of variables is: kg for `carbon_kg`, MWh for the others.

    Args:
        w: the window.
        name: `carbon_kg`, `missed_mwh`, `green_short_mwh`, or `green_lack_mwh`: what green energy misses of a share of
            consumption, which is import + green + diesel + unserved + Σ discharge − Σ charge by the balance of power.
        share: of consumption, for `green_lack_mwh`.

    Raises:
        ConfigError: an unknown name.
    """
    if name == "carbon_kg":
        of_grid = w.row.carbon_kg_per_mwh
        return {"import": of_grid, "ppa": -of_grid, "diesel": w.params.diesel_carbon_kg_per_mwh}
    if name == "missed_mwh":
        return {"missed_online": 1.0, "keep": np.asarray(w.next_slot < 0, dtype=np.float64)[:, None]}
    if name == "green_short_mwh":
        account = np.arange(w.owed_mwh.shape[1]) == GREEN
        return {"short": account.astype(np.float64)[None, :, None]}
    if name == "green_lack_mwh":
        used = dict.fromkeys(("import", "diesel", "unserved"), share)
        return {**used, "green": share - 1.0, "ppa": -1.0, "charge": -share, "discharge": share - w.p.is_csp}
    allowed = "carbon_kg, missed_mwh, green_short_mwh, green_lack_mwh"
    raise ConfigError(f"{name!r} is no objective beside the bill; allowed: {allowed}")


def priced(
    lp: LinearProgram, w: Window, prices: Mapping[str, float], bill: float = 1.0, share: float = 0.0
) -> LinearProgram:
    """The programme whose objective is `bill`·(the bill) + Σ price·quantity, in CNY.

    Args:
        lp: the programme of a window.
        w: the window, from the beginning of its episode.
        prices: CNY per unit of each quantity, at least 0, see `counted`.
        bill: weight of the bill, at least 0.
        share: for `green_lack_mwh`.

    Raises:
        ConfigError: a negative price, for which the programme is no bound, or an unknown quantity.
    """
    wrong = {name: price for name, price in {**prices, "bill": bill}.items() if not price >= 0.0}
    if wrong:
        raise ConfigError(f"weights are at least 0, not {wrong}")
    cost = bill * lp.cost
    for name, price in prices.items():
        flat = np.zeros(lp.columns.size)
        for family, amount in counted(w, name, share).items():
            lp.columns.fill(flat, family, amount)
        cost = cost + price * flat * lp.column_unit / lp.money_cny
    return replace(lp, cost=cost, offset=bill * lp.offset)
