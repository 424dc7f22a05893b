"""What a controller knows of the coming steps, as rows the linear programme can read."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from greenhop.episode.simulator import Simulator
from greenhop.physics.state import Row
from greenhop.world.forecast import Forecast
from greenhop.world.year import generate_year


class Outlook(Protocol):
    """Rows to come."""

    def rows(self, sim: Simulator, row: int, steps: int) -> Row:
        """Float64 rows `[steps, …]` from row `row` of the bank, the present first, as they are known in it."""
        ...


class PerfectOutlook:
    """The truth."""

    def rows(self, sim: Simulator, row: int, steps: int) -> Row:
        """The bank's own rows."""
        return sim.bank.layout.unpack(sim.bank.table[row : row + steps].cpu().double())[0]


class ForecastOutlook:
    """The forecasts from which the agent's own observations are made, at every lead instead of six."""

    def __init__(self) -> None:
        self._forecasts: dict[int, Forecast] = {}

    def rows(self, sim: Simulator, row: int, steps: int) -> Row:
        """The forecast issued in `row`; the present is exact, the work that arrives next is already a forecast."""
        year, inside = divmod(row, sim.params.rows_per_year)
        told = self._forecast(sim, year).at(inside, steps)
        fields = {name: told[name][:steps] for name in Row._fields if name in told}
        fields["next_arrivals_mwh"] = told["arrivals_mwh"][1:]
        return Row(**{name: _float64(fields[name]) for name in Row._fields})

    def _forecast(self, sim: Simulator, year: int) -> Forecast:
        if year not in self._forecasts:
            world = generate_year(sim.scenario, sim.bank.split, sim.bank.year_ids[year])
            self._forecasts[year] = Forecast(sim.scenario, world)
        return self._forecasts[year]


def _float64(array: object) -> Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float64))
