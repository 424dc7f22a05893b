"""How deep a reader must go: the longest chain of modules that import each other when they run."""

from __future__ import annotations

import grimp
import pytest

LONGEST = {"greenhop.gym": 10}  # modules, the first and the last included


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    """Who imports whom at run time."""
    return grimp.build_graph("greenhop", exclude_type_checking_imports=True, cache_dir=None)


def chain(graph: grimp.ImportGraph, module: str, known: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The longest way down from a module; the package itself, which offers names of all rooms, stands outside."""
    if module not in known:
        others = graph.find_modules_directly_imported_by(module) - {"greenhop"}
        below = (chain(graph, other, known) for other in others)
        known[module] = (module, *max(below, key=len, default=()))
    return known[module]


@pytest.mark.parametrize("room", LONGEST)
def test_no_chain_of_imports_below_a_room_is_longer_than_agreed(imports: grimp.ImportGraph, room: str) -> None:
    known: dict[str, tuple[str, ...]] = {}
    below = (chain(imports, module, known) for module in imports.modules if module.startswith(f"{room}."))
    found = max(below, key=len)
    assert 5 < len(found) <= LONGEST[room], " → ".join(found)
