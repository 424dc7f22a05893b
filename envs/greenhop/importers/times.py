"""Times of rows: with an offset of their own, or local times of a named zone with its summer time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from greenhop.arrays import Bools, Ints
from greenhop.errors import ConfigError
from greenhop.importers.files import Repairs, bad

OFFSET = re.compile(r"[+-](\d\d):?(\d\d)$")
HAS_ZONE = re.compile(r"(?:Z|UTC|\d[+-]\d\d:?\d\d)$")
LABELS_H = {"WET": 0, "WEST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3}  # names of clocks that mean one offset only
LABEL = re.compile(rf"\s*(\()?\b(UTC|{'|'.join(LABELS_H)})(?(1)\))$")
MIDNIGHT = re.compile(r"(?<=[ T])24:00(:00)?$")  # the end of a day, as files of hours that end write it


def zone_of(name: str) -> tzinfo:
    """`UTC`, an offset such as `+08:00`, or a name such as `Europe/Berlin`."""
    if name.upper() in ("UTC", "Z", "GMT"):
        return UTC
    if match := OFFSET.fullmatch(name):
        delta = timedelta(hours=int(match[1]), minutes=int(match[2]))
        return timezone(-delta if name[0] == "-" else delta)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(f"timezone = {name!r} is unknown; allowed: UTC, +08:00, Asia/Shanghai, …") from None


@dataclass(frozen=True)
class Times:
    """UTC seconds since 1970, and rows whose local time does not exist (the hour skipped in spring)."""

    seconds: Ints
    skipped: Bools


def read_times(
    texts: Sequence[str], lines: Ints, path: Path, zone: str | None, repairs: Repairs, form: str | None = None
) -> Times:
    """Times with an offset of their own, or local times of `zone`.

    In autumn the two passes through the repeated hour are told apart by a label such as (CEST), else by their order,
    in files sorted from new to old too. `form` is a strptime format for times that are not ISO 8601.

    Raises:
        DataError: not a time, a label that does not fit the zone, or some rows have an offset and others have none.
        ConfigError: no row has an offset and `zone` is not given.
    """
    labels = [m[2] if (m := LABEL.search(t)) else None for t in texts]
    own = [label == "UTC" or bool(HAS_ZONE.search(t)) for t, label in zip(texts, labels, strict=True)]
    if zone is None:
        own = [o or label is not None for o, label in zip(own, labels, strict=True)]
    if any(own) and not all(own):
        bad(path, int(lines[own.index(not own[0])]), "mixed time zones: some times have an offset, others have none")
    if not any(own) and zone is None:
        raise ConfigError(f"{path}: times have no offset; say which in options: {{timezone: UTC}}")
    place = UTC if zone is None else zone_of(zone)
    moments = [_moment(t, form, path, int(line)) for t, line in zip(texts, lines, strict=True)]
    for i, label in enumerate(labels):
        if label is not None:
            moments[i] = _labelled(moments[i], label, None if zone is None else place, path, int(lines[i]))
    return _passed(moments, place, repairs)


def _moment(text: str, form: str | None, path: Path, line: int) -> datetime:
    plain = LABEL.sub("", text).strip()
    day = timedelta(days=1) if MIDNIGHT.search(plain) else timedelta(0)
    plain = MIDNIGHT.sub(lambda m: m[0].replace("24", "00", 1), plain)
    try:
        return (datetime.strptime(plain, form) if form else datetime.fromisoformat(plain)) + day
    except ValueError:
        hint = f"not a time as in options.time_format = {form!r}" if form else "not a time; options: {time_format: …}?"
        bad(path, line, f"{text!r} is {hint}")


def _labelled(moment: datetime, label: str, place: tzinfo | None, path: Path, line: int) -> datetime:
    """The time that a label makes clear; the clocks of `place` must show it then."""
    if moment.tzinfo is not None:
        return moment
    sure = moment.replace(tzinfo=timezone(timedelta(hours=LABELS_H.get(label, 0))))
    if label != "UTC" and place is not None and sure.astimezone(place).replace(tzinfo=None) != moment:
        bad(path, line, f"{moment:%Y-%m-%d %H:%M} {label} is no time of {place}")
    return sure


def _passed(moments: list[datetime], place: tzinfo, repairs: Repairs) -> Times:
    """Times without an offset on the clock of `place`, in the order in which they passed."""
    if isinstance(place, timezone):  # no summer time
        passed = [int((m if m.tzinfo else m.replace(tzinfo=place)).timestamp()) for m in moments]
        return Times(np.array(passed, dtype=np.int64), np.zeros(len(passed), dtype=np.bool_))
    plain = [m.replace(tzinfo=None) for m in moments]
    falls = sum(a > b for a, b in pairwise(plain)) > sum(a < b for a, b in pairwise(plain))
    seconds, skipped = np.empty(len(moments), dtype=np.int64), np.zeros(len(moments), dtype=bool)
    before = None
    for i in reversed(range(len(moments))) if falls else range(len(moments)):
        moment = moments[i]
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=place)
            second = moment.replace(fold=1)
            repeats = before is not None and int(moment.timestamp()) <= before
            if repeats and _real(moment) and moment.utcoffset() != second.utcoffset():
                moment = second
                repairs["dst_repeated_rows_resolved"] += 1
            skipped[i] = not _real(moment)
        seconds[i] = int(moment.timestamp())
        before = before if skipped[i] else int(seconds[i])
    return Times(seconds, skipped)


def _real(moment: datetime) -> bool:
    """Whether a local time exists: going to UTC and back changes one that the clock skips."""
    return moment.astimezone(UTC).astimezone(moment.tzinfo).replace(tzinfo=None) == moment.replace(tzinfo=None)
