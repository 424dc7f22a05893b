"""Tables of settings, made from the models that check them: key, default, what is allowed, unit, meaning.

`docs/settings.md` is made of them by `scripts/settings_page.py`. A key without a description is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Le
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from greenhop.cards.markdown import table
from greenhop.scenario.limits import Limited, limit_of

UNITS = {  # by how a name ends
    "cny_per_mwh": "CNY/MWh",
    "gb_per_mwh": "GB/MWh",
    "cny_per_gb": "CNY/GB",
    "cny_per_t": "CNY/t",
    "m_per_s": "m/s",
    "rate_per_h": "1/h",
    "per_year": "1/a",
    "per_k": "1/K",
    "kg_per_mwh": "kg/MWh",
    "mwh": "MWh",
    "mw": "MW",
    "gbps": "Gbit/s",
    "deg": "°",
    "km": "km",
    "ms": "ms",
    "h": "h",
    "m": "m",
    "s": "s",
}
BOUNDS = {"ge": "≥ {:g}", "gt": "> {:g}", "le": "≤ {:g}", "lt": "< {:g}"}
NUMBERS = (int, float)
KINDS: dict[Any, str] = {
    bool: "`true`, `false`",
    int: "whole number",
    float: "number",
    NoneType: "null",
    Any: "anything",
}


def sections(roots: Mapping[str, type[BaseModel]]) -> str:
    """A table for each model that can be reached from some roots, each once, in the order of their keys.

    Args:
        roots: models by the prefix of their keys, such as `scenario.`.

    Raises:
        KeyError: a key without a description.
    """
    return "\n\n".join(_section(place, model) for place, model in reachable(roots).items())


def reachable(roots: Mapping[str, type[BaseModel]]) -> dict[str, type[BaseModel]]:
    """Models by where their keys stand (`scenario.sites.NAME.`), those inside others after them."""
    found: dict[str, type[BaseModel]] = {}
    for place, model in roots.items():
        found[place] = model
        inside = {f"{place}{key}{step}": inner for key, step, inner in _inner(model)}
        found |= {p: m for p, m in reachable(inside).items() if m not in found.values()}
    return found


def _inner(model: type[BaseModel]) -> Iterator[tuple[str, str, type[BaseModel]]]:
    """Key, what stands between it and the keys inside, and the model inside."""
    for key, field in model.model_fields.items():
        for part, step in _parts(field.annotation, "."):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield key, step, part


def _parts(annotation: Any, step: str) -> Iterator[tuple[Any, str]]:
    """The plain types in an annotation, and how one comes to them."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _parts(inside[0], step)
    elif origin in (Union, UnionType):
        for part in inside:
            yield from _parts(part, step)
    elif origin is dict:
        yield from _parts(inside[1], ".NAME.")
    elif origin in (list, tuple):
        yield from _parts(inside[0], "[]." if origin is list else step)
    else:
        yield annotation, step


def _section(place: str, model: type[BaseModel]) -> str:
    about = " ".join((model.__doc__ or "").split())
    rows = [row(key, field, issubclass(model, Limited)) for key, field in model.model_fields.items()]
    head = f"### {f'`{place[:-1]}`' if place else 'Without a prefix'}\n\n{about}"
    return f"{head}\n\n{table(('key', 'default', 'allowed', 'unit', 'what'), rows)}" if rows else head


def row(key: str, field: FieldInfo, limited: bool = False) -> tuple[str, str, str, str, str]:
    """Key, default, what is allowed, unit, meaning.

    Args:
        key: its name.
        field: what its model says of it.
        limited: whether the limits of `greenhop.scenario.limits` count.

    Raises:
        KeyError: no description.
    """
    if not field.description:
        raise KeyError(f"{key} has no description")
    return (
        f"`{field.alias or key}`",
        _default(field),
        allowed(field.annotation, [*field.metadata, *(_limit(key) if limited else ())]),
        unit_of(key, field),
        " ".join(field.description.split()),
    )


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    assert value is not PydanticUndefined
    if isinstance(value, BaseModel):
        return "below"
    if value in ({}, [], "") or value is None:
        return {dict: "none", list: "none", str: "empty", NoneType: "null"}[type(value)]
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:.10g}`" if isinstance(value, float) else f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    """As YAML has it."""
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list | tuple) else str(value)


def allowed(annotation: Any, metadata: Sequence[Any]) -> str:
    """What a value may be, in words: a range, a choice, a kind."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return allowed(inside[0], [m for x in inside[1:] for m in _constraints(x)] + list(metadata))
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in inside)
    if origin in (Union, UnionType):
        words = [allowed(part, metadata if part is not NoneType else []) for part in inside]
        return " or ".join(dict.fromkeys(words))
    if origin is dict:
        return f"{allowed(inside[0], [])} → {allowed(inside[1], [])}"
    if origin is list or (origin is tuple and inside[-1] is Ellipsis):
        return f"list of {allowed(inside[0], [])}"
    if origin is tuple:
        return f"{len(inside)} × {allowed(inside[0], [])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "keys below"
    return f"{KINDS.get(annotation, 'text')}{_range(metadata)}"


def _limit(key: str) -> Iterator[Le]:
    if limit := limit_of(key):
        yield Le(limit.most)


def _constraints(given: Any) -> Sequence[Any]:
    return given.metadata if isinstance(given, FieldInfo) else [given]


def _range(metadata: Sequence[Any]) -> str:
    given = [(name, bound) for m in metadata for name in BOUNDS if (bound := getattr(m, name, None)) is not None]
    words = [BOUNDS[name].format(bound) for name, bound in dict(reversed(given)).items()][::-1]  # the first one counts
    pattern = next((m.pattern for m in metadata if getattr(m, "pattern", None)), None)
    if pattern and (choice := re.fullmatch(r"\^\(([\w|]+)\)\$", pattern)):
        return f": {', '.join(f'`{word}`' for word in choice[1].split('|'))}"
    return f" {', '.join(words)}" if words else ""


def unit_of(key: str, field: FieldInfo) -> str:
    """The unit that a name ends in; `1` for other numbers, nothing for what is no number."""
    kinds = [part for part, _ in _parts(field.annotation, "")]
    if not any(kind in NUMBERS for kind in kinds):
        return ""
    return next((unit for end, unit in UNITS.items() if key == end or key.endswith(f"_{end}")), "1")
