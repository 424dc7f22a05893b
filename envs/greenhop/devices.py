"""Devices that torch knows and can reach."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from greenhop.errors import ConfigError, one_line


def usable_device(given: Any, allowed: str = "cpu, cuda") -> torch.device:
    """A device by its name, or as it is; None is torch's default. `allowed` is what the error says.

    Raises:
        ConfigError: torch does not know it, or cannot reach it.
    """
    if given is None:
        return torch.get_default_device()
    try:
        if not isinstance(given, str | torch.device):
            raise TypeError("no name of a device")
        found = torch.empty(0, device=given).device
        if found.type == "meta":
            raise TypeError("it holds no numbers")
        return found
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ConfigError(f"device = {given!r}: {one_line(error)}; allowed: {allowed}") from None


@contextmanager
def plain_torch() -> Iterator[None]:
    """Inside, torch's defaults are its own: float32 on the CPU, whatever the caller has set."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(before)
