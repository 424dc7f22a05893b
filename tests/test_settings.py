"""Every key of every schema says what it means; the page of settings is what the models say today."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

import greenhop
import greenhop_agents
from greenhop.cards.settings import allowed, reachable, row, unit_of
from greenhop.errors import ConfigError
from greenhop.scenario.config import Fraction, Model, ScenarioConfig, SiteConfig
from greenhop.world.pack import Manifest, SeriesInfo
from greenhop_agents.shelf.runs import AgentFacts, RunFacts
from scripts.settings_page import groups, page

PAGE = Path(__file__).resolve().parents[1] / "docs" / "settings.md"
NOT_SET_BY_USERS = {Manifest, SeriesInfo, AgentFacts, RunFacts}  # what world packs and run folders say


def models(base: type[BaseModel] = BaseModel) -> Iterator[type[BaseModel]]:
    """All models of both packages."""
    for model in base.__subclasses__():
        if model.__module__.startswith("greenhop"):
            yield model
        yield from models(model)


@pytest.fixture(scope="module")
def all_models() -> set[type[BaseModel]]:
    for package in (greenhop, greenhop_agents):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            try:
                import_module(module.name)
            except ConfigError as error:  # adapters of a package that is not installed, which hold no schema
                if "pip install" not in str(error):
                    raise
    return set(models())


def test_every_key_of_every_schema_has_a_description(all_models: set[type[BaseModel]]) -> None:
    assert len(all_models) > 30
    silent = [f"{m.__name__}.{key}" for m in all_models for key, f in m.model_fields.items() if not f.description]
    assert not silent


def test_every_model_that_users_fill_in_is_on_the_page(all_models: set[type[BaseModel]]) -> None:
    shown = {model for roots in groups().values() for model in reachable(roots).values()}
    whole = {model for model in all_models if not model.__subclasses__()}  # the others are what models share
    assert whole - shown == NOT_SET_BY_USERS


def test_the_page_of_settings_is_what_the_models_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python scripts/settings_page.py"


def test_a_row_shows_default_range_unit_and_meaning() -> None:
    assert row("wind_mw", SiteConfig.model_fields["wind_mw"], True)[:4] == (
        "`wind_mw`",
        "`0`",
        "number ≥ 0, ≤ 100000",
        "MW",
    )
    assert row("export_fraction", SiteConfig.model_fields["export_fraction"])[2] == "number ≥ 0, ≤ 1"
    assert "`spot`" in row("tariff_mode", SiteConfig.model_fields["tariff_mode"])[2]
    assert row("links", ScenarioConfig.model_fields["links"])[1:3] == ("required", "list of keys below")
    assert allowed(Literal["a", "b"] | None, []) == "`a`, `b` or null"
    assert allowed(dict[str, Annotated[int, Field(ge=0)]], []) == "text → whole number ≥ 0"


def test_a_key_without_a_description_is_an_error() -> None:
    class Silent(BaseModel):
        share: Fraction = 0.5

    with pytest.raises(KeyError, match="share"):
        row("share", Silent.model_fields["share"])


def test_units_are_those_that_names_end_in() -> None:
    known: list[type[BaseModel]] = list(models(Model))
    fields = {key: f for m in known for key, f in m.model_fields.items()}
    units = {key: unit_of(key, field) for key, field in fields.items()}
    assert units["bandwidth_gbps"] == "Gbit/s"
    assert units["missed_penalty_cny_per_mwh"] == "CNY/MWh"
    assert units["like"] == ""
    assert units["export_fraction"] == "1"
