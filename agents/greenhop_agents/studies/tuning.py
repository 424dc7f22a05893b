"""Coordinate search over the few numbers of a rule, on training weeks, so that it is compared at its best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from greenhop.episode.decoders.find import build_decoder
from greenhop.episode.simulator import Simulator
from greenhop.errors import ConfigError
from greenhop_agents.policies.rules import Greenest, PriceFollow
from greenhop_agents.scoring.evaluate import mean_cost

Grid = Mapping[str, Sequence[float]]
GREENEST: Grid = {"place_strength": (0.0, 0.25, 0.5, 1.0, 2.0), "time_strength": (0.0, 0.25, 0.5, 1.0, 2.0)}
DECODER: Grid = {
    "width_cny_per_mwh": (20.0, 30.0, 40.0, 60.0, 80.0),
    "migrate_rate_per_h": (0.1, 0.2, 0.3, 0.5),
    "congestion_cny_per_mwh": (100.0, 200.0, 300.0, 400.0),
    "congestion_from": (0.3, 0.4, 0.5, 0.6),
    "reserve": (0.3, 0.4, 0.5, 0.6, 0.7),
}


@dataclass(frozen=True)
class Tuned:
    """The best numbers found and what they cost, beside the shipped ones."""

    values: dict[str, float]
    cost_cny: float
    shipped_cny: float
    tried: int


def tune(rule: str, sim: Simulator, starts: Sequence[int], grid: Grid | None = None, rounds: int = 2) -> Tuned:
    """Improve the numbers of `greenest` or `price_follow` one after the other, by their mean cost over `starts`.

    Raises:
        ConfigError: a rule without numbers.
    """
    search = {"greenest": (_greenest, GREENEST), "price_follow": (_price_follow, DECODER)}
    if rule not in search:
        raise ConfigError(f"rule = {rule!r} has nothing to tune; allowed: {', '.join(search)}")
    cost, usual = search[rule]
    wanted: Grid = usual if grid is None else grid
    best = _shipped(rule, sim, wanted)
    known = {tuple(best.values()): cost(sim, starts, best)}
    shipped = known[tuple(best.values())]
    for name, value in ((n, v) for _ in range(rounds) for n in wanted for v in wanted[n]):
        trial = best | {name: value}
        key = tuple(trial.values())
        if key not in known:
            known[key] = cost(sim, starts, trial)
        if known[key] < known[tuple(best.values())]:
            best = trial
    return Tuned(best, known[tuple(best.values())], shipped, len(known))


def _shipped(rule: str, sim: Simulator, grid: Grid) -> dict[str, float]:
    source = Greenest() if rule == "greenest" else sim.scenario.decoder
    return {name: float(getattr(source, name)) for name in grid}


def _greenest(sim: Simulator, starts: Sequence[int], values: Mapping[str, float]) -> float:
    return mean_cost(sim, Greenest("greenest", **values), starts)


def _price_follow(sim: Simulator, starts: Sequence[int], values: Mapping[str, float]) -> float:
    config = sim.scenario.decoder.model_copy(update=dict(values))
    scenario = sim.scenario.model_copy(update={"decoder": config})
    return mean_cost(replace(sim, decoder=build_decoder(sim.params, scenario)), PriceFollow(), starts, compiled=False)
