"""An episode to be played in a browser: one page that fetches nothing, with several policies and the bound beside them.

Its parts lie in `web/`: the page, its style, three scripts and the labels in English and Chinese.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from math import inf
from typing import Any

import numpy as np

from greenhop.arrays import Array
from greenhop.gym.render import Box, label_sides, overlap, place
from greenhop.scenario.config import ScenarioConfig
from greenhop.scenario.sites import it_capacity_mw, locations_deg
from greenhop_agents.report.figures import SOURCES
from greenhop_agents.report.plots import colour_of
from greenhop_agents.report.plots_hubs import SUPPLY, link_ends
from greenhop_agents.scoring.series import Series

SHOWN = (
    "hour", "price_cny_per_mwh", "green_mw", *SUPPLY, "unserved_mw", "facility_mw", "it_mw", "backlog_mwh", "soc_share",
    "missed_mwh", "moved_mw", "cost_cny",
)  # fmt: skip
SCRIPTS = ("map.js", "charts.js", "replay.js")
SIZES = {"wide": (560.0, 440.0), "narrow": (344.0, 420.0)}  # of a map, pixels; the narrow one is for telephones
FEW = 20  # hubs whose dots are large enough for a number
ASIDE, ABOVE = 52.0, 40.0  # pixels left free beside and above the outermost hubs, for their names
RING = 4.0  # pixels around a dot, for the ring of the chosen hub
WIDE_LETTER, LETTER = 12.0, 7.3  # pixels of a Chinese and of a Latin letter


def replay_page(scenario: ScenarioConfig, weeks: Mapping[str, Series]) -> str:
    """The page of an episode.

    Args:
        scenario: whose hubs they are.
        weeks: series by policy, see `greenhop_agents.scoring.series`; the first two are compared at first.
    """
    web = files(__package__).joinpath("web")

    def part(name: str) -> str:
        return web.joinpath(name).read_text(encoding="utf-8")

    labels = json.loads(part("labels.json"))
    data = {
        "name": scenario.name,
        "dt_h": scenario.dt_h,
        "hubs": _hubs(scenario, labels["hubs_zh"]),
        "links": link_ends(scenario),
        "maps": _maps(scenario, labels["hubs_zh"]),
        "sources": [{"field": field, "key": key, "colour": SOURCES[key][1]} for field, key in SUPPLY.items()],
        "policies": [
            {"name": name, "colour": colour_of(name, list(weeks)), "series": {key: series[key] for key in SHOWN}}
            for name, series in weeks.items()
        ],
        "labels": {language: labels[language] for language in ("en", "zh")},
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    parts = {"name": scenario.name, "style": part("replay.css"), "data": text, "script": "".join(map(part, SCRIPTS))}
    page = part("replay.html")
    for name, value in parts.items():
        page = page.replace("{{" + name + "}}", value, 1)
    return page


def _hubs(scenario: ScenarioConfig, chinese: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {"id": hub, "en": english(hub), "zh": chinese.get(hub, english(hub)), "capacity_mw": float(capacity)}
        for hub, capacity in zip(scenario.sites, it_capacity_mw(scenario), strict=True)
    ]


def english(hub: str) -> str:
    """`yangtze_demo` as a heading."""
    return hub.replace("_", " ").title()


def _maps(scenario: ScenarioConfig, chinese: Mapping[str, str]) -> dict[str, Any]:
    """Where dots and names lie on maps of both sizes, in both languages."""
    names = {
        "en": [english(hub) for hub in scenario.sites],
        "zh": [chinese.get(hub, english(hub)) for hub in scenario.sites],
    }
    at, capacity = locations_deg(scenario), it_capacity_mw(scenario)
    large = len(capacity) <= FEW
    share = np.sqrt(capacity / capacity.max())
    maps = {}
    for size, (width, height) in SIZES.items():
        least, more = ((10.0, 9.0) if size == "wide" else (9.5, 5.5)) if large else (3.0, 5.0)
        spots, radii = place(at, _inner(width, height), 0.0), least + more * share
        maps[size] = {
            "width": width,
            "height": height,
            "spots": np.round(spots, 1).tolist(),
            "radii": np.round(radii, 1).tolist(),
            "numbers": large,
            "names": {language: _places(spots, radii, texts, width) for language, texts in names.items()},
        }
    return maps


def _inner(width: float, height: float) -> Box:
    return ASIDE, ABOVE, width - ASIDE, height - ABOVE


def _places(spots: Array, radii: Array, names: Sequence[str], width: float) -> list[list[float] | None]:
    """Middle of every name's line; None for a small hub whose name would lie on another name or dot, or be cut."""
    widths = [sum(WIDE_LETTER if ord(letter) > 0x2E80 else LETTER for letter in name) for name in names]
    corners = label_sides(spots, (radii + RING).tolist(), widths)
    boxes: list[Box] = [(x - 2, y - 2, x + w + 2, y + 15) for (x, y), w in zip(corners, widths, strict=True)]
    taken: list[Box] = [(x - r, y - r, x + r, y + r) for (x, y), r in zip(spots, radii, strict=True)]
    taken += [(-inf, -inf, 0.0, inf), (width, -inf, inf, inf)]  # beside the map
    places: list[list[float] | None] = [None] * len(names)
    for i in np.argsort(-radii, kind="stable").tolist():
        if len(names) <= FEW or not any(overlap(boxes[i], other) for other in taken):
            taken.append(boxes[i])
            places[i] = [round(corners[i][0] + widths[i] / 2, 1), round(corners[i][1] + 6.5, 1)]
    return places
