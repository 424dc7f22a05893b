"""The card of an exported policy: what its file takes and gives, block by block, with units."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

from greenhop import __version__
from greenhop.cards.environment import ACTIONS, FEATURES, OBSERVED
from greenhop.episode.simulator import Simulator
from greenhop_agents.policies.policy import Decision

SCHEMA = 1


def card(sim: Simulator, module: Decision) -> dict[str, Any]:
    """What goes in and out of an exported policy, block by block, with units."""
    p, observer, decoder = sim.params, sim.observer, sim.scenario.decoder.name
    features = [_block(name, at, (n,), *FEATURES[name]) for name, at, n in _in_order(observer.region_parts)]
    return {
        "schema": SCHEMA,
        "greenhop": __version__,
        "scenario": sim.scenario.name,
        "step_h": p.dt_h,
        "order": {
            "regions": list(p.regions), "links": [list(ends) for ends in p.links], "units": list(p.units),
            "deferrable": list(p.deferrable), "online": list(p.online),
        },
        "inputs": list(module.inputs),
        "outputs": list(module.outputs),
        "observation": {
            "type": "float32", "shape": ["batch", sim.obs_size],
            "blocks": [
                _block(name, at, observer.parts[name], *OBSERVED[name])
                for name, at, _ in _in_order({name: prod(shape) for name, shape in observer.parts.items()})
            ],
            "features_of_a_region": features,
        },
        "action": {
            "type": "float32", "shape": ["batch", sim.action_size], "low": -1.0, "high": 1.0, "decoder": decoder,
            "blocks": [
                _block(name, at, sim.decoder.parts[name], ACTIONS[decoder][name], "share of full scale, −1…1")
                for name, at, _ in _in_order({name: prod(shape) for name, shape in sim.decoder.parts.items()})
            ],
        },
        "settings": sim.scenario.model_dump(mode="json"),
    }  # fmt: skip


def _in_order(sizes: dict[str, int]) -> Iterator[tuple[str, int, int]]:
    """(name, first column, columns) of blocks that follow each other."""
    at = 0
    for name, size in sizes.items():
        yield name, at, size
        at += size


def _block(name: str, first: int, shape: tuple[int, ...], what: str, unit: str) -> dict[str, Any]:
    return {"name": name, "first": first, "shape": list(shape), "what": what, "in_units_of": unit}
