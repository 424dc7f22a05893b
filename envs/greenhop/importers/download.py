"""Downloads with manners: kept whole once they are read as what they should be, waited for where a service is busy."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from greenhop import __version__
from greenhop.errors import DataError
from greenhop.files import write_bytes

LOG = logging.getLogger(__name__)
MOST_BYTES = 1 << 28  # a year of hours is a few MB
BUSY = (408, 425, 429, 500, 502, 503, 504, 529)  # 529: "site is overloaded" of PVGIS
LONGEST_WAIT_S = 600.0  # that a service may ask for
DOUBLED_UP_TO_S = 60.0  # by ourselves: the limits of these services are per minute


@dataclass(frozen=True)
class Manners:
    """How often and how long to try: the wait begins at `wait_s` and doubles, unless the service says how long."""

    tries: int = 8
    wait_s: float = 2.0
    timeout_s: float = 120.0


class _NotNow(Exception):
    """The service could not answer now; perhaps it said when."""

    def __init__(self, why: str, after_s: float | None = None) -> None:
        super().__init__(why)
        self.after_s = after_s


def download(url: str, path: Path, check: Callable[[Path], object], manners: Manners, what: str) -> bool:
    """Make `path` hold the answer to `url`, unless it is there from an earlier time.

    Args:
        url: what to ask; it may hold a key, so no message shows it.
        path: where the answer goes, whole or not at all.
        check: reads the answer and raises `DataError` where it is not what it should be.
        manners: tries and waits.
        what: how messages name it.

    Returns:
        Whether the service was asked.

    Raises:
        DataError: the service refused, answered with something else, or stayed busy. What came before is kept.
    """
    if path.is_file():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    wait_s = manners.wait_s
    for attempt in range(1, manners.tries + 1):
        try:
            _keep(_answer(url, manners.timeout_s, what), path, check)
            break
        except _NotNow as why:
            if attempt == manners.tries:
                tried = f"{what}: {why}, {attempt} times"
                raise DataError(f"{tried}; run the same command again later: what has arrived is kept") from None
            pause_s = wait_s if why.after_s is None else min(why.after_s, LONGEST_WAIT_S)
            LOG.info("%s: %s; trying again in %.3g s", what, why, pause_s)
            time.sleep(pause_s)
            wait_s = min(2.0 * wait_s, DOUBLED_UP_TO_S)
    return True


def _answer(url: str, timeout_s: float, what: str) -> bytes:
    request = Request(url, headers={"User-Agent": f"greenhop/{__version__}", "Accept-Encoding": "identity"})
    try:
        with urlopen(request, timeout=timeout_s) as response:
            data: bytes = response.read(MOST_BYTES + 1)
    except HTTPError as error:
        said = f"HTTP {error.code}: {_reason(error.read(4096)) or error.reason}"
        if error.code in BUSY:
            raise _NotNow(said, _asked_wait_s(error.headers)) from None
        raise DataError(f"{what}: {said}") from None
    except (OSError, HTTPException) as error:  # no network, no such host, connection lost, time over
        raise _NotNow(f"no answer ({' '.join(str(error).split()) or type(error).__name__})") from None
    if len(data) > MOST_BYTES:
        raise DataError(f"{what}: the answer has more than {MOST_BYTES >> 20} MiB")
    return data


def _keep(data: bytes, path: Path, check: Callable[[Path], object]) -> None:
    unchecked = path.with_name(f"{path.name}.unchecked")
    write_bytes(unchecked, data)
    try:
        check(unchecked)
    except DataError as error:
        unchecked.unlink()
        raise _NotNow(f"the answer cannot be read ({error})") from None
    unchecked.replace(path)


def _asked_wait_s(headers: Message) -> float | None:
    """Seconds of a `Retry-After`; a date is not understood and left to our own patience."""
    try:
        return max(0.0, float(headers.get("Retry-After", "")))
    except ValueError:
        return None


def _reason(body: bytes) -> str:
    """What these services say about an error: JSON with one of a few keys."""
    try:
        said = json.loads(body)
    except ValueError:
        return ""
    found = next((said[k] for k in ("reason", "message", "messages", "detail") if k in said), "") if said else ""
    return " ".join(str(found[0] if isinstance(found, list) and found else found).split())[:200]
