"""Times of rows: with an offset of their own, or local times of a named zone with its summer time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from greenhop.errors import ConfigError
from greenhop.importers.files import Bools, Ints, Repairs, bad

OFFSET = re.compile(r"[+-](\d\d):?(\d\d)$")
HAS_ZONE = re.compile(r"(?:Z|UTC|\d[+-]\d\d:?\d\d)$")


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

    In autumn the second pass through the repeated hour is recognised by its order. `form` is a strptime format for
    times that are not ISO 8601.

    Raises:
        DataError: not a time, or some rows have an offset and others have none.
        ConfigError: no row has an offset and `zone` is not given.
    """
    own = [bool(HAS_ZONE.search(t)) for t in texts]
    if any(own) and not all(own):
        bad(path, int(lines[own.index(not own[0])]), "mixed time zones: some times have an offset, others have none")
    if not any(own) and zone is None:
        raise ConfigError(f"{path}: times have no offset; say which in options: {{timezone: UTC}}")
    place = UTC if zone is None else zone_of(zone)
    seconds, skipped = np.empty(len(texts), dtype=np.int64), np.zeros(len(texts), dtype=bool)
    before = None
    for i, text in enumerate(texts):
        moment = _moment(text, form, path, int(lines[i]))
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


def _moment(text: str, form: str | None, path: Path, line: int) -> datetime:
    try:
        return datetime.strptime(text, form) if form else datetime.fromisoformat(text.removesuffix("UTC").strip())
    except ValueError:
        bad(path, line, f"{text!r} is not a time")


def _real(moment: datetime) -> bool:
    """Whether a local time exists: going to UTC and back changes one that the clock skips."""
    return moment.astimezone(UTC).astimezone(moment.tzinfo).replace(tzinfo=None) == moment.replace(tzinfo=None)
