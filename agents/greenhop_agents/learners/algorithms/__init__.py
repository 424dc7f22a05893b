"""One file for each algorithm, called as `agent.kind` calls it, with one class that owns all that is particular to it.

Nothing else names them: a file put here and a YAML file in `configs/agent` make a new agent.
"""

from __future__ import annotations

from importlib import import_module
from inspect import getmembers, isabstract, isclass
from pkgutil import iter_modules
from typing import cast

from greenhop.errors import ConfigError
from greenhop_agents.learners.algorithm import Algorithm


def algorithm_names() -> list[str]:
    """What `agent.kind` may say."""
    return sorted(module.name for module in iter_modules(__path__))


def find_algorithm(kind: str) -> type[Algorithm]:
    """The algorithm called `kind`.

    Raises:
        ConfigError: there is none.
    """
    if kind not in algorithm_names():
        raise ConfigError(f"agent.kind = {kind!r} is unknown; allowed: {', '.join(algorithm_names())}")
    module = import_module(f"{__name__}.{kind}")

    def is_algorithm(x: object) -> bool:
        return isclass(x) and issubclass(x, Algorithm) and not isabstract(x) and x.__module__ == module.__name__

    ((_, found),) = getmembers(module, is_algorithm)
    return cast(type[Algorithm], found)
