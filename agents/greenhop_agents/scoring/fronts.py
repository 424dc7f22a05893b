"""Trade-offs of two objectives that are to be small: what a set of points dominates, and what no policy can beyond."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from greenhop.arrays import Array

Points = Sequence[tuple[float, float]]


class Line(NamedTuple):
    """`weight_x·x + weight_y·y ≥ at_least`: a half-plane in which all policies lie; weights are at least 0."""

    weight_x: float
    weight_y: float
    at_least: float


def undominated(points: Points) -> list[tuple[float, float]]:
    """The points that no other one beats in both, by the first objective; of equal ones one."""
    out: list[tuple[float, float]] = []
    for x, y in sorted(set(points)):
        if not out or y < out[-1][1]:
            out.append((x, y))
    return out


def hypervolume(points: Points, reference: tuple[float, float]) -> float:
    """Area that the points dominate below `reference`: of the union of the rectangles from each to it."""
    inside = undominated([(x, y) for x, y in points if x < reference[0] and y < reference[1]])
    area, ceiling = 0.0, reference[1]
    for x, y in inside:
        area += (reference[0] - x) * (ceiling - y)
        ceiling = y
    return area


def mixed_hypervolume(points: Points, reference: tuple[float, float]) -> float:
    """The same for the points and all mixtures of them (the lower left part of their convex hull)."""
    hull = lower_hull(undominated(points))
    if not hull:
        return 0.0
    corners = [(hull[0][0], reference[1]), *hull, (reference[0], hull[-1][1]), reference]
    return _area(clipped(np.array(corners), [Line(-1.0, 0.0, -reference[0]), Line(0.0, -1.0, -reference[1])]))


def lower_hull(points: Points) -> list[tuple[float, float]]:
    """The corners of the convex hull that face small values, of points sorted by the first objective."""
    hull: list[tuple[float, float]] = []
    for point in points:
        while len(hull) > 1 and _turn(hull[-2], hull[-1], point) <= 0.0:
            hull.pop()
        hull.append(point)
    return hull


def outer_hypervolume(lines: Sequence[Line], reference: tuple[float, float], corner: tuple[float, float]) -> float:
    """The most that any policies can dominate below `reference`, as they all lie above `lines`.

    Args:
        lines: half-planes in which all policies lie.
        reference: the worst of both objectives that counts.
        corner: no policy is below it in either.
    """
    (left, low), (right, high) = corner, reference
    box = np.array([(left, low), (right, low), (right, high), (left, high)])
    return _area(clipped(box, lines))


def outer_corners(
    lines: Sequence[Line], reference: tuple[float, float], corner: tuple[float, float]
) -> list[tuple[float, float]]:
    """The corners of that region but `reference`, by the first objective: the certified front, from outside."""
    (left, low), (right, high) = corner, reference
    region = clipped(np.array([(left, low), (right, low), (right, high), (left, high)]), lines)
    return sorted((float(x), float(y)) for x, y in region if (x, y) != reference)


def clipped(polygon: Array, lines: Sequence[Line]) -> NDArray[np.float64]:
    """The part of a convex polygon `[N, 2]` inside all half-planes (Sutherland and Hodgman, 1974)."""
    for line in lines:
        if not len(polygon):
            break
        above = polygon @ np.array([line.weight_x, line.weight_y]) - line.at_least
        kept: list[NDArray[np.float64]] = []
        for here, there, a, b in zip(polygon, np.roll(polygon, -1, 0), above, np.roll(above, -1), strict=True):
            if a >= 0:
                kept.append(here)
            if (a >= 0) != (b >= 0):
                kept.append(here + (there - here) * (a / (a - b)))
        polygon = np.array(kept).reshape(-1, 2)
    return np.asarray(polygon, dtype=np.float64)


def _turn(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    """Positive where a → b → c turns left."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _area(polygon: NDArray[np.float64]) -> float:
    """Of a polygon `[N, 2]`, by the shoelace formula."""
    if len(polygon) < 3:
        return 0.0
    x, y = polygon.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2.0
