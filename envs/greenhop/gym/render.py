"""Pictures of a running episode: RGB frames by Pillow and plain text.

A frame shows the hubs on their coordinates with the mix of their supply and the work that moves between them, one line
of bars per hub, and green power, demand and price so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from greenhop.episode.snapshot import Snapshot
from greenhop.physics.params import Params
from greenhop.scenario.config import ScenarioConfig
from greenhop.scenario.sites import it_capacity_mw, locations_deg

Frame = NDArray[np.uint8]
Box = tuple[float, float, float, float]  # left, top, right, bottom

SIZE = (960, 600)
MAP: Box = (12, 50, 560, 478)
PANEL: Box = (572, 50, 948, 478)
STRIP: Box = (12, 488, 948, 590)
SHARP = 2  # map and strip are drawn this many times larger and reduced, for smooth edges
HALO = 2  # pixels around names on the map
FULL_WAIT_H = 6.0  # a full bar of waiting work: what the hub does in so many hours at full load
MAX_HUBS = 12  # lines of the panel

PAPER, CARD, LINE, INK, MUTED = "#f3f5f7", "#ffffff", "#dde2e8", "#1f2933", "#7b8794"
MIX = {
    "used_green_mw": ("own green", "#2a9d78"),
    "ppa_mw": ("PPA", "#9ad7bd"),
    "discharge_mw": ("storage", "#f4b942"),
    "grid_mw": ("grid", "#8e9aaf"),
    "diesel_mw": ("diesel", "#5c4742"),
    "unserved_mw": ("unserved", "#111111"),
}
MOVE, WORK, PRICE, CHARGE, LOAD = "#e4572e", "#6b5bd2", "#e4572e", "#f4b942", "#22303c"
RULE_OF_BLOCKS = " ▏▎▍▌▋▊▉█"


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own typeface, so that frames look the same everywhere."""
    return ImageFont.load_default(size)


@cache
def glyph(character: str, size: int) -> tuple[Image.Image, float]:
    """A character as a mask and how far the pen moves on: drawing text afresh would take most of a frame's time."""
    width = font(size).getlength(character)
    mask = Image.new("L", (int(width) + 3, size + 6))
    ImageDraw.Draw(mask).text((1, 0), character, 255, font(size))
    return mask, width


def write(
    picture: Image.Image, spot: tuple[float, float], text: str, colour: str, size: int, right: bool = False
) -> None:
    """Text from cached characters; `right` makes `spot` its right end."""
    glyphs = [glyph(character, size) for character in text]
    x = spot[0] - (sum(width for _, width in glyphs) if right else 0.0)
    for mask, width in glyphs:
        picture.paste(colour, (round(x) - 1, int(spot[1])), mask)
        x += width


def clock(hour: float) -> str:
    """`12 Mar 14:00`: the hour of a year as a date; the world's years have 365 days."""
    when = datetime(2023, 1, 1) + timedelta(hours=hour)
    return f"{when.day} {when:%b %H:%M}"


def place(points: NDArray[np.float64], box: Box, margin: float = 46.0) -> NDArray[np.float64]:
    """`[R, 2]` pixel positions of latitudes and longitudes: equirectangular, one scale for both, centred in `box`."""
    left, top, right, bottom = box
    lat, lon = points[:, 0], points[:, 1]
    east = (lon - lon.mean()) * np.cos(np.radians(lat.mean()))
    plane = np.stack((east, -lat), axis=1)
    low, high = plane.min(0), plane.max(0)
    span = np.maximum(high - low, 1e-6)
    room = np.array([right - left - 2 * margin, bottom - top - 2 * margin])
    middle = np.array([(left + right) / 2, (top + bottom) / 2])
    return np.asarray(middle + (plane - (low + high) / 2) * float((room / span).min()))


def label_sides(
    spots: NDArray[np.float64], radii: Sequence[float], widths: Sequence[float]
) -> list[tuple[float, float]]:
    """Top-left corners for labels of the given widths: below, above, right or left, where others are met least."""
    taken: list[Box] = [(x - r, y - r, x + r, y + r) for (x, y), r in zip(spots, radii, strict=True)]
    corners = []
    for i, ((x, y), r, w) in enumerate(zip(spots, radii, widths, strict=True)):
        choices = [(x - w / 2, y + r + 2), (x - w / 2, y - r - 16), (x + r + 4, y - 7), (x - r - 4 - w, y - 7)]
        boxes = [(a, b, a + w, b + 13) for a, b in choices]
        clashes = [sum(overlap(box, other) for k, other in enumerate(taken) if k != i) for box in boxes]
        best = int(np.argmin(clashes))
        taken.append(boxes[best])
        corners.append(choices[best])
    return corners


def overlap(a: Box, b: Box) -> float:
    """Area that two boxes share."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


class Totals(NamedTuple):
    """Sums over the hubs in one step, for the strip."""

    t: int
    green_mw: float
    demand_mw: float
    price_cny_per_mwh: float
    cost_cny: float


def segment(x: float, y: float, radius: float, share: float) -> list[tuple[float, float]]:
    """Outline of the lower part of a circle that fills `share` of its height.

    Pillow's own `chord` draws a line across the picture where the cut is nearly level (seen in 13.0).
    """
    open_half = np.arccos(2.0 * share - 1.0)  # radians left open on either side of the top
    angles = np.linspace(open_half, 2.0 * np.pi - open_half, 33) - np.pi / 2.0
    return [(x + radius * float(np.cos(a)), y + radius * float(np.sin(a))) for a in angles]


@dataclass
class Renderer:
    """Draws the snapshots of one environment; remembers the episode so far for the strip at the bottom."""

    scenario: ScenarioConfig
    params: Params
    history: list[Totals] = field(default_factory=list)

    def __post_init__(self) -> None:
        p = self.params
        self._capacity_mw = it_capacity_mw(self.scenario)
        self._spots = place(locations_deg(self.scenario), (*MAP[:3], MAP[3] - 32))
        self._radii = 7.0 + 13.0 * np.sqrt(self._capacity_mw / self._capacity_mw.max())
        self._names = [_title(r) for r in p.regions]
        widths = [font(12).getlength(name) for name in self._names]
        self._labels = label_sides(self._spots, self._radii.tolist(), widths)
        self._shown = sorted(np.argsort(-self._capacity_mw, kind="stable")[:MAX_HUBS].tolist())
        self._ends = np.stack((p.link_source.cpu().numpy(), p.link_target.cpu().numpy()), axis=1)
        self._still = self._background()
        self._still_map = self._enlarged(MAP)
        self._still_strip = self._enlarged(STRIP)
        self._name_masks = [_name_masks(name) for name in self._names]
        links = ImageDraw.Draw(self._still_map)
        for a, b in self._ends:
            links.line((*self._on_map(a), *self._on_map(b)), LINE, 3)

    def frame(self, now: Snapshot) -> Frame:
        """`[600, 960, 3]` uint8 picture of a step."""
        self.see(now)
        picture = self._still.copy()
        self._draw_map(picture, now)
        self._draw_header(picture, now)
        draw = ImageDraw.Draw(picture)
        for line, r in enumerate(self._shown):
            self._draw_hub(picture, draw, now, r, self._line_top(line))
        self._draw_strip(picture)
        return np.asarray(picture, dtype=np.uint8).copy()

    def see(self, now: Snapshot) -> None:
        """Add a step to the episode so far, drawn or not; step 0 begins a new episode."""
        self.history = [past for past in self.history if past.t < now.t] if now.t > 0 else []
        green, price = float((now.green_mw + now.ppa_mw).sum()), float(now.price_cny_per_mwh.mean())
        self.history.append(Totals(now.t, green, float(now.facility_mw.sum()), price, now.cost_cny))

    def _line_top(self, line: int) -> float:
        return PANEL[1] + 46 + line * min(46.0, (PANEL[3] - PANEL[1] - 54) / len(self._shown))

    def _background(self) -> Image.Image:
        """All that never changes: cards, headings, names, legend, one line per day."""
        still = Image.new("RGB", SIZE, PAPER)
        draw = ImageDraw.Draw(still)
        for box in (MAP, PANEL, STRIP):
            draw.rounded_rectangle(box, 6, fill=CARD, outline=LINE)
        for offset, heading in ((122, "supply, MW"), (220, "CNY/MWh"), (286, f"wait {FULL_WAIT_H:g} h"), (343, "soc")):
            draw.text((PANEL[0] + offset, PANEL[1] + 10), heading, MUTED, font(11))
        for line, r in enumerate(self._shown):
            draw.text((PANEL[0] + 10, self._line_top(line)), self._names[r], INK, font(12))
        self._draw_key(draw)
        left, right = STRIP[0] + 12, STRIP[2] - 12
        for offset, label, colour in (
            (0, "green available", MIX["used_green_mw"][1]),
            (100, "demand", INK),
            (160, "mean price", PRICE),
        ):
            draw.text((left + offset, STRIP[1] + 6), label, colour, font(11))
        for day in range(1, int(self.params.steps * self.params.dt_h / 24)):
            at = left + (right - left) * 24 * day / (self.params.steps * self.params.dt_h)
            draw.line((at, STRIP[1] + 24, at, STRIP[3] - 8), LINE)
        return still

    def _draw_key(self, draw: ImageDraw.ImageDraw) -> None:
        """What colours and shapes of the map stand for."""
        x, y = MAP[0] + 12.0, MAP[3] - 37
        for name, colour in MIX.values():
            draw.rectangle((x, y + 3, x + 9, y + 12), fill=colour)
            draw.text((x + 13, y), name, MUTED, font(11))
            x += 26 + font(11).getlength(name)
        x, y = MAP[0] + 12.0, MAP[3] - 20
        draw.text((x, y), "ring: supply", MUTED, font(11))
        x += font(11).getlength("ring: supply") + 14
        draw.ellipse((x, y + 2, x + 10, y + 12), outline=MUTED)
        draw.polygon(segment(x + 5, y + 7, 4, 0.6), fill=LOAD)
        draw.text((x + 14, y), "filled: load on IT capacity", MUTED, font(11))
        x += 28 + font(11).getlength("filled: load on IT capacity")
        draw.line((x, y + 8, x + 18, y + 8), MOVE, 3)
        draw.text((x + 23, y), "work on the move (wider: more)", MUTED, font(11))

    def _enlarged(self, box: Box) -> Image.Image:
        left, top, right, bottom = (int(v) for v in box)
        size = ((right - left) * SHARP, (bottom - top) * SHARP)
        return self._still.crop((left, top, right, bottom)).resize(size, Image.Resampling.LANCZOS)

    def _on_map(self, r: int) -> tuple[float, float]:
        x, y = self._spots[r]
        return (x - MAP[0]) * SHARP, (y - MAP[1]) * SHARP

    def _draw_map(self, picture: Image.Image, now: Snapshot) -> None:
        large = self._still_map.copy()
        draw = ImageDraw.Draw(large)
        widest = 0.25 * self._capacity_mw.mean()
        for (a, b), moved in zip(self._ends, now.moved_mw, strict=True):
            if moved > 0.01 * widest:
                width = SHARP * (1.0 + 6.0 * min(1.0, moved / widest) ** 0.5)
                self._draw_arrow(draw, int(a), int(b), width)
        for r in range(len(self._names)):
            self._draw_donut(draw, now, r)
        picture.paste(large.reduce(SHARP), (int(MAP[0]), int(MAP[1])))
        for (x_left, y_top), (halo, ink) in zip(self._labels, self._name_masks, strict=True):
            corner = (round(x_left) - HALO, round(y_top) - HALO)
            picture.paste(CARD, corner, halo)
            picture.paste(INK, corner, ink)

    def _draw_arrow(self, draw: ImageDraw.ImageDraw, a: int, b: int, width: float) -> None:
        """A flow from hub a to hub b, kept to the right of the link so that both directions can be seen."""
        start, end = np.array(self._on_map(a)), np.array(self._on_map(b))
        along = (end - start) / max(float(np.linalg.norm(end - start)), 1e-9)
        side = np.array([-along[1], along[0]])
        start = start + along * self._radii[a] * SHARP + side * 5.0
        end = end - along * (self._radii[b] * SHARP + 4.0) + side * 5.0
        head = along * (8.0 + 1.6 * width)
        wing = side * (3.0 + 0.9 * width)
        draw.line((*start, *(end - head)), MOVE, round(width))
        draw.polygon([tuple(end), tuple(end - head + wing), tuple(end - head - wing)], fill=MOVE)

    def _draw_donut(self, draw: ImageDraw.ImageDraw, now: Snapshot, r: int) -> None:
        """Shares of the hub's supply as a ring, its load on IT capacity as the height of the filled inside."""
        (x, y), radius = self._on_map(r), self._radii[r] * SHARP
        box = (x - radius, y - radius, x + radius, y + radius)
        draw.ellipse(box, fill=LINE, outline=CARD, width=2)
        supply = np.array([getattr(now, name)[r] for name in MIX])
        if supply.sum() > 0:
            turns = -90.0 + 360.0 * np.concatenate(([0.0], np.cumsum(supply) / supply.sum()))
            for (begin, stop), (_, colour) in zip(pairwise(turns), MIX.values(), strict=True):
                if stop - begin > 0.5:
                    draw.pieslice(box, begin, stop, fill=colour)
        inside = 0.58 * radius
        hole = (x - inside, y - inside, x + inside, y + inside)
        draw.ellipse(hole, fill=CARD)
        load = min(1.0, float(now.it_mw[r] / self._capacity_mw[r]))
        if load > 0:
            draw.polygon(segment(x, y, inside, load), fill=LOAD)

    def _draw_header(self, picture: Image.Image, now: Snapshot) -> None:
        write(picture, (14, 13), f"Greenhop · {self.params.name}", INK, 18)
        paid = sum(past.cost_cny for past in self.history) / 1e6
        parts = (
            clock(now.hour),
            f"step {now.t}/{self.params.steps}",
            f"moving {now.moved_mw.sum():,.0f} MW",
            f"paid {paid:,.2f} million CNY",
        )
        write(picture, (946, 16), "    ".join(parts), INK, 14, right=True)

    def _draw_hub(self, picture: Image.Image, draw: ImageDraw.ImageDraw, now: Snapshot, r: int, top: float) -> None:
        left = PANEL[0] + 10
        scale = 100.0 / max(1.0, 1.15 * float(self._capacity_mw[r]))
        x = left + 112
        draw.rectangle((x, top + 2, x + 100, top + 12), fill=PAPER)
        for name, (_, colour) in MIX.items():
            wide = min(float(getattr(now, name)[r]) * scale, left + 212 - x)
            if wide >= 0.5:
                draw.rectangle((x, top + 2, x + wide, top + 12), fill=colour)
                x += wide
        write(picture, (left + 112, top + 14), f"{now.facility_mw[r]:,.0f}", MUTED, 10)
        write(picture, (left + 268, top), f"{now.price_cny_per_mwh[r]:,.0f}", INK, 12, right=True)
        waiting = now.backlog_mwh[r] / (FULL_WAIT_H * self._capacity_mw[r])
        _bar(draw, (left + 283, top + 2, left + 321, top + 12), float(waiting), WORK)
        if np.isfinite(now.soc_share[r]):
            _bar(draw, (left + 333, top + 2, left + 359, top + 12), float(now.soc_share[r]), CHARGE)

    def _draw_strip(self, picture: Image.Image) -> None:
        """Totals over the hubs so far: green available as an area, demand and price as lines."""
        past = np.array([totals for totals in self.history if totals.t > 0])
        if len(past) < 2:
            return
        large = self._still_strip.copy()
        draw = ImageDraw.Draw(large)
        left, top, right, bottom = 12 * SHARP, 24 * SHARP, large.width - 12 * SHARP, large.height - 8 * SHARP
        t, green, demand, price, _ = past.T
        x = left + (right - left) * t / self.params.steps
        most = max(float(green.max()), float(demand.max()), 1.0)
        draw.polygon([(x[0], bottom), *_points(x, green / most, top, bottom), (x[-1], bottom)], fill="#cdebd8")
        draw.line(_points(x, demand / most, top, bottom), INK, 3)
        draw.line(_points(x, price / max(float(price.max()), 1.0), top, bottom), PRICE, 2)
        picture.paste(large.reduce(SHARP), (int(STRIP[0]), int(STRIP[1])))
        write(picture, (STRIP[2] - 12, STRIP[1] + 6), f"{most:,.0f} MW", MUTED, 11, right=True)


def _name_masks(name: str) -> tuple[Image.Image, Image.Image]:
    """Masks of the halo around a hub's name and of the name itself."""
    size = (int(font(12).getlength(name)) + 2 * HALO + 2, 12 + 6 + 2 * HALO)
    masks = []
    for stroke in (HALO, 0):
        mask = Image.new("L", size)
        ImageDraw.Draw(mask).text((HALO, HALO), name, 255, font(12), stroke_width=stroke)
        masks.append(mask)
    return masks[0], masks[1]


def _points(x: NDArray[np.float64], share: NDArray[np.float64], top: float, bottom: float) -> list[tuple[float, float]]:
    y = bottom - (bottom - top) * np.clip(share, 0.0, 1.0)
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _bar(draw: ImageDraw.ImageDraw, box: Box, share: float, colour: str) -> None:
    left, top, right, bottom = box
    draw.rectangle(box, fill=PAPER)
    if share > 0:
        draw.rectangle((left, top, left + (right - left) * min(1.0, float(share)), bottom), fill=colour)


def _title(name: str) -> str:
    return name.replace("_", " ").title()


def text_frame(params: Params, now: Snapshot) -> str:
    """The same step as plain text: one line per hub."""
    head = f"{params.name}  {clock(now.hour)}  step {now.t}/{params.steps}  cost {now.cost_cny:,.0f} CNY"
    lines = [head, f"{'hub':<14}{'price':>7}{'green':>8}{'demand':>8}{'grid':>8}{'waiting':>9}  {'soc':<8}"]
    for r, name in enumerate(params.regions):
        soc = "–" if np.isnan(now.soc_share[r]) else _blocks(float(now.soc_share[r]))
        lines.append(
            f"{name:<14}{now.price_cny_per_mwh[r]:>7.0f}{now.green_mw[r]:>8.0f}{now.facility_mw[r]:>8.0f}"
            f"{now.grid_mw[r]:>8.0f}{now.backlog_mwh[r]:>9.0f}  {soc}"
        )
    moves = sorted(zip(now.moved_mw, params.links, strict=True), reverse=True)[:3]
    shown = ", ".join(f"{a}→{b} {mw:.0f}" for mw, (a, b) in moves if mw >= 0.5)
    return "\n".join([*lines, f"moving, MW: {shown or 'nothing'}"])


def _blocks(share: float, width: int = 8) -> str:
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    return "█" * (eighths // 8) + (RULE_OF_BLOCKS[eighths % 8] if eighths % 8 else "")
