"""The environment card: what an agent sees, may do and is paid, as a page of Markdown made from the code itself.

`docs/environment.md` is this text; `scripts/environment_card.py` writes it and a test compares the two. Shapes, sizes,
scales and names come from the objects that use them; the sentences below belong to a name each, and a block, feature
or cost term without one is an error, so that nothing can be added in silence.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch

from greenhop import ENV_IDS
from greenhop.cards import effects
from greenhop.cards.markdown import paragraph, table
from greenhop.episode.decoders.base import action_size
from greenhop.episode.decoders.find import DECODERS
from greenhop.episode.decoders.shadow_price import ShadowPriceDecoder
from greenhop.episode.observations import (
    CARBON_SCALE_KG_PER_MWH,
    OBS_LIMIT,
    PRICE_SCALE_CNY_PER_MWH,
    TEMPERATURE_SCALE_C,
)
from greenhop.episode.simulator import Shapes, shapes_of
from greenhop.physics.rewards import CONSTRAINT_TERMS, QUANTITIES
from greenhop.physics.state import COST_TERMS, State
from greenhop.scenario.config import SPLITS, DecoderConfig, ScenarioConfig
from greenhop.scenario.find import load_scenario
from greenhop.world.bank import count_starts
from greenhop.world.layout import CALENDAR

EXAMPLE = "hub10"  # whose shapes the page spells out

CAPACITY = "IT capacity of the hub per step, MWh"
PRICE = f"{PRICE_SCALE_CNY_PER_MWH:g} CNY/MWh"
OBSERVED = {  # block: (what, unit of its numbers)
    "region": ("what is known of every hub; the features are below", "see below"),
    "soc": ("energy stored in every unit, from its floor (0) to its ceiling (1)", "share of usable energy"),
    "link_availability": ("0 where a fibre is cut", "0…1"),
    "calendar": (", ".join(CALENDAR), "−1…1"),
    "deadlines": ("steps until the first deadline slot of each class closes, this one included", "its quantum"),
    "progress": ("steps done of the episode", "0…1"),
}
FEATURES = {
    "green": ("own wind, sun and water available in this step", CAPACITY),
    "ppa": ("contracted green power available in this step", CAPACITY),
    "price": ("energy price with wires, fees and losses", PRICE),
    "export_price": ("what exported green power earns", PRICE),
    "carbon": ("carbon intensity of grid power", f"{CARBON_SCALE_KG_PER_MWH:g} kg/MWh"),
    "pue": ("PUE at full load for the outdoor temperature, minus one", "1"),
    "temperature": ("outdoor temperature", f"{TEMPERATURE_SCALE_C:g} °C"),
    "site_availability": ("share of the servers that can run", "0…1"),
    "grid_availability": ("share of the grid connection that is there", "0…1"),
    "online": ("online work arriving in this step, by class", CAPACITY),
    "pressure": ("work at an even pace over room, by pool, at most 3", "1"),
    "backlog": ("deferrable work waiting, by class and deadline slot", CAPACITY),
    "peak": ("highest metered import so far, at most 1", "connection of the hub"),
    "peak_floor": ("the same at the start: what the contract bills at least", "connection of the hub"),
    "accounts": (
        "what is owed so far less what was done, by rule: green share, its part that certificates do not cover, "
        "take or pay, PUE cap, and under direct supply its two rules",
        "IT capacity of the whole episode, MWh",
    ),
    "size": ("IT capacity", "mean IT capacity of the hubs"),
    "forecast_green": ("own green power forecast at each lead", CAPACITY),
    "forecast_price": ("price forecast at each lead, fees included", PRICE),
    "forecast_arrivals": ("all arriving work forecast at each lead", CAPACITY),
}
ACTIONS = {  # by decoder
    "shadow_price": {
        "place": "what a hub's future is worth to deferrable work: work migrates up the differences",
        "time": "the forecast price over a cohort's slack, against which today's price is compared",
        "storage": "the value of stored energy",
        "route": "what a hub is worth to online work, by class; above zero also how much of it a full hub takes in",
        "ceiling": "metered import beyond the peak paid for: at 0 only work that must run goes there; above zero the "
        "rest of the connection opens step by step; at −1 work that must run does not go there either",
    },
    "full": {
        "route": "share of the online work sent over each link, by class",
        "serve": "share of each cohort served now, by class and deadline slot",
        "migrate": "share of what is left of each cohort sent over each link",
        "storage": "charging (> 0) or discharging (< 0) as a share of power",
        "alternative": "share of what is served that runs on the alternative pool, by class",
    },
}
COSTS = {
    "grid_energy": "grid energy at its price, wires, fees and losses included",
    "ppa": "contracted green power",
    "green_om": "running cost of own green power",
    "export": "income from exported green power (negative)",
    "demand": "demand fee on the increase of the highest metered import",
    "carbon": "carbon of grid power and diesel, where a market bills it",
    "network": "data moved by routing, migration and the synchronisation of replicas",
    "latency": "quality lost by serving online work far from its users",
    "storage": "wear or rent of storage, per MWh discharged",
    "diesel": "diesel generation",
    "unserved": "load not served, at the value of lost load",
    "missed": "work not served by its deadline, at the penalty of its class",
    "green_gap": "certificates for the shortfall against the green-share target, and the penalty beyond their share",
    "direct_rule": "the fee that direct supply was spared, per MWh by which its self-use or consumption rule is missed",
    "take_or_pay": "contracted power that was not taken, at its strike price, below the share that is paid anyway",
    "pue_excess": "surcharge on energy above the cap on PUE",
    "wires": "fee by capacity at sites of direct supply, and wires of own power from far away",
    "reserve": "what grid-forming stores lack of the reserve they must hold",
    "terminal": "last step only: work left undone and energy missing from the stores, priced",
}
ENDING = (  # the same sentence in README and docs/agent.md
    "Episodes end at a step that is known beforehand: `terminated` where that step prices what it leaves (the "
    "default), `truncated` where `episode.terminal=false` leaves it without a price; so add the value of the last "
    "observation exactly where `truncated` is set."
)
GENERATED = "<!-- written by scripts/environment_card.py from the code; change the code and run it again -->"


class Described(NamedTuple):
    """A scenario and its shapes."""

    scenario: ScenarioConfig
    shapes: Shapes


def described(name: str, overrides: Sequence[str] = ()) -> Described:
    """A shipped scenario; its weather is not generated."""
    scenario = load_scenario(name, overrides)
    return Described(scenario, shapes_of(scenario))


def environment_card() -> str:
    """The whole page.

    Raises:
        KeyError: a block, feature or cost term of the code has no sentence here.
    """
    example = described(EXAMPLE)
    parts = (
        _head(),
        _observation(example),
        _action(example),
        _reward(example),
        _ending(example),
        _state(),
        _scenarios(),
    )
    return "\n\n".join(parts) + "\n"


def _head() -> str:
    text = paragraph(
        "One agent runs a network of data-centre hubs. Shapes use the axes of [the design](design.md): R hubs, K",
        "deferrable and Z online classes of work, S deadline slots, P pools of servers, L directed links, U storage",
        f"units. Numbers are spelt out for `{EXAMPLE}`; the other environments are [below](#registered-environments).",
    )
    return f"{GENERATED}\n\n# Environment card\n\n{text}"


def _observation(s: Described) -> str:
    blocks = [(f"`{name}`", _shape(shape), *OBSERVED[name]) for name, shape in s.shapes.observer.parts.items()]
    features = [(f"`{name}`", width, *FEATURES[name]) for name, width in s.shapes.observer.region_parts.items()]
    forecast = s.scenario.forecast
    kind = "each the mean of the hours since the lead before" if forecast.averaged else "each of that hour alone"
    text = paragraph(
        f"`Box(−{OBS_LIMIT:g}, {OBS_LIMIT:g}, ({s.shapes.obs_size},), float32)`: flat; `sim.observer.parts` names the",
        "blocks, `sim.observer.split(obs)` cuts them out. Every number is divided by the unit given, so that it is of",
        "order one and needs no running normaliser; the limit of the space is never met in a sane episode.",
        f"Forecast leads (`forecast.leads_h`): {', '.join(map(str, forecast.leads_h))} h, {kind}.",
    )
    return (
        f"## Observation\n\n{text}\n\n{table(('block', 'shape', 'what', 'in units of'), blocks)}\n\n"
        "Features of one hub, in order (`sim.observer.region_parts`):\n\n"
        f"{table(('feature', 'numbers', 'what', 'in units of'), features)}"
    )


def _action(s: Described) -> str:
    text = paragraph(
        f"`Box(−1, 1, ({s.shapes.action_size},), float32)`: flat; `sim.decoder.parts` names the blocks. A",
        "decoder turns it into a full plan that is always feasible; [the design](design.md) says how. Values outside",
        "are clipped, NaN and wrong shapes are errors. The decoder is a setting of the scenario (`decoder.name`).",
    )
    out = [f"## Action\n\n{text}"]
    for name in DECODERS:
        decoder = described(EXAMPLE, [f"decoder.name={name}"]).shapes.decoder
        rows = [(f"`{block}`", _shape(shape), ACTIONS[name][block]) for block, shape in decoder.parts.items()]
        default = " (default; zero follows prices)" if name == DecoderConfig().name else ""
        head = f"`{name}`{default}, {action_size(decoder.parts)} numbers:"
        out.append(f"{head}\n\n{table(('block', 'shape', 'what'), rows)}")
        if isinstance(decoder, ShadowPriceDecoder):
            out.append(_bids(s, decoder))
    fields = s.scenario.decoder.model_dump().items()
    settings = ", ".join(f"`{key}` {value:g}" for key, value in fields if not isinstance(value, str))
    out.append(paragraph(f"Settings of the decoder: {settings}."))
    out.append(_effects())
    return "\n\n".join(out)


def _effects() -> str:
    measured = list(effects.effects(effects.example()))
    zero = measured[0][2]
    rows = [
        (
            f"`{block}`" if block else "none",
            _signed(bid),
            f"{e.served_mwh:,.0f}",
            f"{e.migrated_mwh:,.0f}",
            f"{e.charged_mwh:,.0f}",
            f"{e.imported_mwh:,.0f}",
            f"{100 * e.peak:.0f}",
            _signed(100 * (e.cost_cny / zero.cost_cny - 1)) if block else "",
        )
        for block, bid, e in measured
    ]
    head = ("block", "bid", "served, MWh", "moved, MWh", "charged, MWh", "imported, MWh", "peak, %", "cost, %")
    text = paragraph(
        f"What they do, measured by running the decoder: a bid for the first hub (or unit) of `{effects.EXAMPLE}`,",
        f"held in every step of a day, everything else at zero; means over {effects.DAYS} days of the whole network.",
        "Peak: highest metered import of that hub, share of its connection. Cost: the day's bill, what is left at its",
        "end included, against zero everywhere.",
    )
    return f"{text}\n\n{table(head, rows)}"


def _bids(s: Described, decoder: ShadowPriceDecoder) -> str:
    """What bids are worth, in numbers."""
    bids = torch.tensor([0.1, 0.2, 0.5, 1.0])
    prices = ", ".join(f"{bid:g} → {price:.0f}" for bid, price in zip(bids, decoder.price(bids), strict=True))
    shares = 100.0 * decoder.opening(bids)
    opened = ", ".join(f"{bid:g} → {share:.2g} %" for bid, share in zip(bids, shares, strict=True))
    return paragraph(
        f"A bid for a price is worth, in CNY/MWh: {prices}. A `ceiling` bid opens, of what is left of the connection",
        f"in one of the {s.shapes.params.steps} steps: {opened}.",
    )


def _reward(s: Described) -> str:
    rows = [(f"`{name}_cny`", COSTS[name], "yes" if name in CONSTRAINT_TERMS else "") for name in COST_TERMS]
    scale = f"{s.shapes.params.cost_scale_cny:,.0f}"
    text = paragraph(
        "`reward='bill'` is `−Σ cost terms / cost_scale_cny` of the step: about −1 a step for a network that buys its",
        f"mean load at flat prices (`cost_scale_cny` of `{EXAMPLE}`: {scale}). The terms telescope, so their sum",
        "over an episode is the bill. `reward='accrual'`, the default, books work at its terminal price when it",
        "arrives and credits it when it is served, and stored energy alike: an episode adds up to minus its bill and a",
        "number known at its start, the best policy is the same, and stock learners, which discount, learn more in it.",
        "`info` of every step holds each term of the bill in CNY and the quantities",
        f"{', '.join(f'`{name}`' for name in QUANTITIES)}. `baseline` pays what is earned beyond the",
        "mean of the others of a `group`, or beyond `price_follow`.",
        "`greenhop.physics.rewards.constraint_cost` returns the terms marked as constraints in units of the reward,",
        "for constrained learners.",
    )
    return f"## Reward\n\n{text}\n\n{table(('term', 'what', 'constraint'), rows)}"


def _ending(s: Described) -> str:
    p = s.shapes.params
    text = paragraph(
        ENDING,
        f"They last `sim.params.steps` steps (`{EXAMPLE}`: {p.steps} of {p.dt_h:g} h; `max_episode_steps` asks for",
        f"others) and start at any multiple of {s.scenario.episode.start_every_h:g} h in a year of their split;",
        "`reset(options={'start': n})` picks one, else the seed does, and `info` says which. Vector environments begin",
        "anew by themselves in the next step; `autoreset_mode` asks for `SameStep` (then `final_obs` and `final_info`",
        "hold the end) or `Disabled`. With `group_size=g`, g neighbours live the same episodes.",
    )
    return f"## End of an episode\n\n{text}"


def _state() -> str:
    rows = [(f"`{name}`", shape, text) for name, shape, text in field_notes(State)]
    text = paragraph(
        "All that persists between steps, a `greenhop.physics.state.State` of tensors with a batch axis B; weather,",
        "prices and work come from the row of the world at `world_row + t`. `sim.begin` makes it, `sim.act` moves it",
        "on; both are pure functions.",
    )
    return f"## State\n\n{text}\n\n{table(('field', 'shape', 'what'), rows)}"


def _scenarios() -> str:
    head = ("id", "scenario", "what", "steps", "h a step", "R", "K", "Z", "S", "L", "U", "A", "O", "train/val/test")
    rows = []
    for env_id, name in ENV_IDS.items():
        s = described(name)
        p = s.shapes.params
        starts = [count_starts(s.scenario, p, split) for split in SPLITS]
        sizes = (len(p.regions), len(p.deferrable), len(p.online), p.n_slots, len(p.links), len(p.units))
        lengths = (s.shapes.action_size, s.shapes.obs_size, "/".join(map(str, starts)))
        rows.append((f"`{env_id}`", f"`{name}`", s.scenario.description, p.steps, f"{p.dt_h:g}", *sizes, *lengths))
    text = paragraph(
        '`gymnasium.make("greenhop:ID")` and `gymnasium.make_vec("greenhop:ID", num_envs=N)`; `split`, `overrides`,',
        "`year_ids` and `device` may be given. A: numbers of an action; O: of an observation; last column: different",
        "episodes in each split.",
    )
    return f"## Registered environments\n\n{text}\n\n{table(head, rows)}"


def field_notes(fields: type) -> list[tuple[str, str, str]]:
    """Name, shape and meaning of every field of a named tuple, as the comments beside the fields say.

    Raises:
        KeyError: a field without such a comment.
    """
    found = re.findall(r"^ +(\w+): [^#\n]+# (\[[^\]]*\])(?: int64,)? ?(.*)$", inspect.getsource(fields), re.MULTILINE)
    notes: Mapping[str, tuple[str, str, str]] = {name: (name, shape, text) for name, shape, text in found}
    names: Iterable[str] = fields.__annotations__
    return [notes[name] for name in names]


def _signed(number: float) -> str:
    """A whole number with its sign, zero without."""
    return f"{round(number):+d}".replace("-", "−") if round(number) else "0"


def _shape(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"
