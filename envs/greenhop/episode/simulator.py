"""`Simulator`: parameters, world, decoder and observer of one scenario, and the pure functions that move an episode on.

Gymnasium shells, learners, CUDA graphs and gradients through time all call these functions; nothing here keeps state.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import index
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from greenhop.cache import key_of
from greenhop.devices import usable_device
from greenhop.episode.carry import Carry
from greenhop.episode.decoders.base import Decoder, action_size
from greenhop.episode.decoders.find import build_decoder
from greenhop.episode.observations import Observer, build_observer
from greenhop.episode.telemetry import Report, Telemetry, build_telemetry
from greenhop.errors import ConfigError
from greenhop.physics.params import Params
from greenhop.physics.state import Flows, Plan, Row
from greenhop.physics.step import initial_state, step
from greenhop.saying import at_work
from greenhop.scenario.config import ScenarioConfig, Split
from greenhop.scenario.find import load_scenario
from greenhop.scenario.join import build_params, check_clock
from greenhop.world.bank import WorldBank, build_bank
from greenhop.world.given import pack_checksum
from greenhop.world.layout import Seen


class Shapes(NamedTuple):
    """What can be said of a scenario without its world."""

    params: Params
    decoder: Decoder
    observer: Observer

    @property
    def action_size(self) -> int:
        """A: length of a flat action in −1…1."""
        return action_size(self.decoder.parts)

    @property
    def obs_size(self) -> int:
        """O: length of a flat observation."""
        return self.observer.size


def shapes_of(
    scenario: ScenarioConfig, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> Shapes:
    """Parameters, decoder and observer of a checked scenario; no weather is generated."""
    params = build_params(scenario, dtype, device)
    check_clock(params)
    leads = len(scenario.forecast.leads_h)
    return Shapes(params, build_decoder(params, scenario), build_observer(params, leads))


@dataclass(frozen=True, eq=False)  # one is equal to itself alone, so that what is made for it can be kept
class Simulator:
    """One scenario, ready to run on one device with one dtype; it never changes, so that copies share it.

    `build_simulator` makes it.

    Args:
        scenario: what was asked for, checked.
        params: the numbers that a step needs.
        bank: rows of the world, and where episodes may start.
        decoder: from actions `[B, A]` to plans.
        observer: from state and row to observations `[B, O]`.
        telemetry: what is reported of the hubs; None: everything, at once.
    """

    scenario: ScenarioConfig
    params: Params
    bank: WorldBank
    decoder: Decoder
    observer: Observer
    telemetry: Telemetry | None = None

    @property
    def action_size(self) -> int:
        """A: length of a flat action in −1…1."""
        return action_size(self.decoder.parts)

    @property
    def obs_size(self) -> int:
        """O: length of a flat observation."""
        return self.observer.size

    def __deepcopy__(self, memo: dict[int, Any]) -> Simulator:
        return self

    def begin(self, start: Tensor) -> Carry:
        """Start episodes. `start` `[B]` int64 indexes `bank.starts`."""
        return self.begin_at(*self.bank.opening(start))

    def begin_at(self, row: Tensor, warm_mwh: Tensor) -> Carry:
        """Start episodes in rows `[B]` int64 of the table with backlogs `[B, R, K, S]`."""
        state = initial_state(self.params, warm_mwh, row)
        late = self.telemetry.late if self.telemetry else 0
        return Carry(state, self.bank.table.index_select(0, row), (state,) * late)

    def unpack(self, carry: Carry) -> tuple[Row, Seen]:
        """The present row, for the step and for the eye."""
        return self.bank.layout.unpack(carry.packed)

    def reported(self, carry: Carry) -> Report:
        """What agents and planners know of the present."""
        return Report(carry.state, *self.unpack(carry)) if self.telemetry is None else self.telemetry(carry, self.bank)

    def observe(self, carry: Carry) -> Tensor:
        """`[B, O]` observations."""
        return self.observer(*self.reported(carry))

    def decode(self, carry: Carry, action: Tensor) -> Plan:
        """The plan that action `[B, A]` stands for."""
        return self.decoder(action, carry.state, *self.unpack(carry))

    def advance(self, carry: Carry, plan: Plan) -> tuple[Carry, Flows]:
        """One step with a full-resolution plan."""
        row, _ = self.unpack(carry)
        state, flows = step(self.params, carry.state, plan, row)
        past = (*carry.past[1:], carry.state) if carry.past else ()
        return Carry(state, self.bank.table.index_select(0, state.world_row + state.t), past), flows

    def act(self, carry: Carry, action: Tensor) -> tuple[Carry, Flows]:
        """One step with an action `[B, A]`."""
        return self.advance(carry, self.decode(carry, action))


def build_simulator(
    scenario: ScenarioConfig | str,
    split: Split = "train",
    *,
    overrides: Sequence[str] = (),
    year_ids: Sequence[int] | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Simulator:
    """Load a scenario by name (or take a checked one), generate its world and put everything on a device.

    Args:
        scenario: a shipped name, the path of a YAML file, or a scenario that is checked already.
        split: whose years the episodes are of.
        overrides: changes of a scenario given by name, such as `episode.length_h=24`.
        year_ids: which years of the split; None is all of them.
        dtype: of all tensors but clocks: float32, or float64 for checks.
        device: where the tensors live.

    Raises:
        ConfigError: for anything the scenario schema, the split or the year ids do not allow.
    """
    config = scenario if isinstance(scenario, ScenarioConfig) else load_scenario(scenario, overrides)
    year_ids, device = checked_years(year_ids), usable_device(device)
    with (
        at_work(f"making the simulator of {config.name}"),
        torch.inference_mode(False),  # whatever the caller has set
        torch.device("cpu"),
    ):
        params, decoder, observer = shapes_of(config, dtype, device)
        bank, telemetry = build_bank(config, params, split, year_ids), build_telemetry(params, config)
        return Simulator(config, params, bank, decoder, observer, telemetry)


def checked_years(given: Any) -> list[int] | None:
    """Years of a split as they were asked for.

    Raises:
        ConfigError: no whole numbers; which of them there are is the bank's to say.
    """
    if given is None:
        return None
    with suppress(TypeError):
        years = list(given)
        if not isinstance(given, str | bytes) and not any(isinstance(year, bool) for year in years):
            return [index(year) for year in years]
    raise ConfigError(f"year_ids = {given!r}; allowed: a list of whole numbers, or None for all years of the split")


_ALIVE: WeakValueDictionary[str, Simulator] = WeakValueDictionary()  # a world of ten hubs takes seconds and 700 MB


def shared_simulator(
    scenario: ScenarioConfig, split: Split, year_ids: Sequence[int] | None = None, device: torch.device | str = "cpu"
) -> Simulator:
    """The simulator of a checked scenario; those asked for alike are one, while it lives.

    Args:
        scenario: checked.
        split: whose years the episodes are of.
        year_ids: which years of the split; None is all of them.
        device: where the tensors live.

    Raises:
        ConfigError: for a split or year ids that do not exist.
    """
    years, device = checked_years(year_ids), str(usable_device(device))
    key = key_of(scenario.model_dump(mode="json"), pack_checksum(scenario), split, years, device)
    found = _ALIVE.get(key)
    if found is None:
        found = _ALIVE[key] = build_simulator(scenario, split, year_ids=years, device=device)
    return found
