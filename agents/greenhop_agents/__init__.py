"""Everything that acts or learns on Greenhop environments.

    from greenhop_agents import score
    print(score("mpc", "pair2", episodes=4))

Importing this package imports neither torch nor pandas; the functions bring them when they are first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from greenhop_agents.api import bound, evaluate, load_policy, score

__all__ = ["bound", "evaluate", "load_policy", "score"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from greenhop.saying import at_work

    with at_work("importing greenhop_agents"):
        from greenhop_agents import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
