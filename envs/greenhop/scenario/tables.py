"""Reading the provenance tables under `data/`: every number there stands beside its source or the word "assumption"."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from omegaconf import OmegaConf

from greenhop.errors import ConfigError


@cache
def load_table(name: str) -> Mapping[str, Any]:
    """The table `data/{name}.yaml` as plain mappings. Do not modify what it returns: it is shared."""
    text = (files("greenhop") / "data" / f"{name}.yaml").read_text(encoding="utf-8")
    table = OmegaConf.to_container(OmegaConf.create(text))
    assert isinstance(table, dict)
    return {str(key): value for key, value in table.items()}


def site_row(site: str, where: str) -> Mapping[str, Any]:
    """The row of `site` in the site table; an unknown name is a user error."""
    sites = load_table("sites")
    if site not in sites:
        raise ConfigError(
            f"{where}: site {site!r} has no row in the site table; name one with `like`: {', '.join(sites)}"
        )
    row = sites[site]
    assert isinstance(row, Mapping)
    return row
