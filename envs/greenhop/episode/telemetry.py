"""What the monitoring and dispatch platform reports of the hubs: late, in part, with errors, or all of it at once.

Agents and planners decide on what is reported; a step and a decoder, which stand for the controls on site, use what is.
Prices, carbon, calendar and forecasts come from elsewhere: they are neither late nor wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from greenhop.episode.carry import Carry
from greenhop.physics.params import Params
from greenhop.physics.state import Row, State
from greenhop.scenario.telemetry import TelemetryConfig
from greenhop.world.layout import Seen
from greenhop.world.streams import StreamKey

if TYPE_CHECKING:
    from greenhop.scenario.config import ScenarioConfig
    from greenhop.world.bank import WorldBank

ERRORS = 4093  # rows of errors drawn once; a prime, so that they do not return with the hour, the day or the year
METERS = ("backlog_mwh", "soc_mwh", "peak_mw", "owed_mwh")  # of the state
GAUGES = (  # of the row
    "green_mwh",
    "ppa_mwh",
    "pue_full",
    "site_availability",
    "grid_availability",
    "online_mwh",
    "link_availability",
    "inflow_mwh",
)
STATUSES = ("site_availability", "grid_availability", "link_availability")  # up or down: without error


class Report(NamedTuple):
    """What is known of the present: the state, the row, and what is seen beside it."""

    state: State
    row: Row
    seen: Seen


@dataclass(frozen=True)
class Telemetry:
    """How reports differ from what is: `late` steps old, nothing from some hubs, with relative errors."""

    params: Params
    late: int
    reports: Tensor  # [R] 1: reports, 0: silent
    error: Tensor  # [ERRORS, W] relative errors of everything measured, side by side; no rows: exact

    def __call__(self, carry: Carry, bank: WorldBank) -> Report:
        """What is reported while `carry` is the truth."""
        old = carry.past[0] if carry.past else carry.state
        now, then = map(bank.layout.unpack, (carry.packed, bank.table.index_select(0, old.world_row + old.t)))
        told = {name: getattr(old, name) for name in METERS} | {name: getattr(then[0], name) for name in GAUGES}
        told |= {"temperature_c": then[1].temperature_c}
        if len(self.error):
            told = self._measured(told, old)
        told = self._heard(told)
        state = carry.state._replace(**{name: told[name] for name in METERS})
        row = now[0]._replace(**{name: told[name] for name in GAUGES})
        return Report(state, row, now[1]._replace(temperature_c=told["temperature_c"]))

    def _measured(self, told: Mapping[str, Tensor], when: State) -> dict[str, Tensor]:
        """With the errors of the hour in which it was measured."""
        p, out, at = self.params, dict(told), 0
        errors = self.error.index_select(0, (when.world_row + when.t) % ERRORS)
        for name, x in told.items():
            width = x[0].numel()
            factor = (1.0 + errors[:, at : at + width]).clamp_min(0.0).reshape(x.shape)
            at += width
            if name == "pue_full":
                out[name] = 1.0 + (x - 1.0) * factor
            elif name not in STATUSES:
                out[name] = x * factor
        out["soc_mwh"] = torch.minimum(torch.maximum(out["soc_mwh"], p.soc_min_mwh), p.soc_max_mwh)
        return out

    def _heard(self, told: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Without the silent hubs: nothing waits, arrives or is produced there, stores are empty, and all is down."""
        p, out = self.params, dict(told)
        of_unit = p.unit_of_region @ self.reports
        of_link = torch.maximum(self.reports[p.link_source], self.reports[p.link_target])  # either end tells of it
        for name in ("green_mwh", "ppa_mwh", "site_availability", "grid_availability", "temperature_c"):
            out[name] = told[name] * self.reports
        for name in ("owed_mwh", "online_mwh"):
            out[name] = told[name] * self.reports.unsqueeze(-1)
        out["backlog_mwh"] = told["backlog_mwh"] * self.reports[:, None, None]
        out["peak_mw"] = p.peak_start_mw + (told["peak_mw"] - p.peak_start_mw) * self.reports
        out["pue_full"] = 1.0 + (told["pue_full"] - 1.0) * self.reports
        out["soc_mwh"] = p.soc_min_mwh + (told["soc_mwh"] - p.soc_min_mwh) * of_unit
        out["inflow_mwh"] = told["inflow_mwh"] * of_unit
        out["link_availability"] = told["link_availability"] * of_link
        return out


def build_telemetry(params: Params, scenario: ScenarioConfig) -> Telemetry | None:
    """The telemetry of a scenario on the device of `params`; None where everything is reported at once and exactly."""
    asked = scenario.observation.telemetry
    if asked.is_full:
        return None
    like = params.capacity_mwh
    reports = torch.tensor([float(name not in asked.silent) for name in params.regions])
    return Telemetry(
        params, round(asked.late_h / params.dt_h), reports.to(like), _errors(params, scenario.name, asked).to(like)
    )


def _errors(p: Params, name: str, asked: TelemetryConfig) -> Tensor:
    """`[ERRORS, W]`, or no rows: normal, drawn by name and seed, whatever the batch."""
    hubs, units, links = len(p.regions), len(p.units), len(p.links)
    per_hub = p.slots_used.numel() + p.owed_price_cny_per_mwh.shape[-1] + len(p.online) + 7
    if not asked.error:
        return torch.zeros(0, 0)
    stream = StreamKey(asked.seed, name, "telemetry", 0).stream("errors")
    return asked.error * torch.from_numpy(stream.standard_normal((ERRORS, hubs * per_hub + 2 * units + links)))
