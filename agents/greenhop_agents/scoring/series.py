"""An episode as series over time, hub by hub: what weekly figures, the replay and `csv=` show of a policy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from greenhop.episode.simulator import Simulator
from greenhop.episode.snapshot import Snapshot, snapshot
from greenhop.lp.bound import bound
from greenhop.lp.replay import replayed
from greenhop.physics.params import Params
from greenhop.physics.state import Plan, Row, State
from greenhop_agents.policies.policy import Policy
from greenhop_agents.scoring.bounds import episode_window
from greenhop_agents.scoring.episodes import walk

DIGITS = 6
Series = dict[str, list[Any]]  # field of `Snapshot` → its value after every step: a number, or a list by hub or link


def policy_series(sim: Simulator, policy: Policy, start: int) -> Series:
    """The episode of `policy` that begins at `start`, an index into `sim.bank.starts`."""
    steps = walk(sim, policy, torch.tensor([start], device=sim.params.device))
    return series_of(snapshot(sim.params, sim.unpack(s.before)[0], s.after.state, s.flows) for s in steps)


def bound_series(sim: Simulator, start: int) -> Series:
    """The same for the clairvoyant plan, solved here: plans kept on disk are float32, and a rounded plan may miss work.

    Raises:
        SolverError: the episode is not solved and certified.
    """
    window = episode_window(sim, start)
    return plan_series(*window, bound(*window).plan)


def plan_series(params: Params, state: State, rows: Row, plan: Plan) -> Series:
    """The same for a plan `[T, …]` that is replayed from `state` through `rows`."""
    steps = replayed(params, state, rows, plan)
    return series_of(snapshot(params, s.row, s.state, s.flows) for s in steps)


def series_of(steps: Iterable[Snapshot]) -> Series:
    """Every field of the snapshots as a list over time; NaN becomes None."""
    columns: Sequence[Sequence[Any]] = list(zip(*steps, strict=True))
    return {name: [_plain(value) for value in column] for name, column in zip(Snapshot._fields, columns, strict=True)}


def as_frame(weeks: Mapping[str, Series], params: Params) -> pd.DataFrame:
    """One row per policy, step and hub: every series of hubs, and the work that leaves and reaches them.

    Args:
        weeks: series by policy.
        params: of the simulator they come from: names of hubs and ends of links.
    """
    n = params.n_regions
    parts = []
    for policy, series in weeks.items():
        steps = len(series["t"])
        by_hub = {name: np.array(values, dtype=np.float64).ravel() for name, values in _of_hubs(series, n)}
        moved = np.array(series["moved_mw"], dtype=np.float64).reshape(steps, len(params.links))
        ends = {"sent_mw": params.link_source, "received_mw": params.link_target}
        flows = {name: (moved @ np.eye(n)[end.cpu().numpy()]).ravel() for name, end in ends.items()}
        when = {"policy": policy, "t": np.repeat(series["t"], n), "hour": np.repeat(series["hour"], n)}
        parts.append(pd.DataFrame({**when, "hub": np.tile(params.regions, steps), **by_hub, **flows}))
    return pd.concat(parts, ignore_index=True)


def _of_hubs(series: Series, n: int) -> Iterable[tuple[str, list[Any]]]:
    return ((name, v) for name, v in series.items() if isinstance(v[0], list) and name != "moved_mw" and len(v[0]) == n)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [None if np.isnan(x) else float(f"{x:.{DIGITS}g}") for x in value.tolist()]
    return value
