"""What the scripts share: Hydra with one-line errors, progress bars, JSON output, devices."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import hydra
import torch
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from greenhop.config import ScenarioConfig, parse_scenario
from greenhop.errors import ConfigError, GreenhopError
from greenhop.scenarios import compose_scenario, config_dir, one_line

USER_ERROR = 2


def run(config_name: str, task: Callable[[DictConfig], None]) -> None:
    """Run a script: check the command line, let Hydra compose (and sweep), turn user errors into one line and exit 2."""
    torch.set_num_threads(1 if not torch.cuda.is_available() else torch.get_num_threads())
    try:
        _prepare(config_name)
    except GreenhopError as error:
        fail(error)

    def guarded(config: DictConfig) -> None:
        try:
            task(config)
        except GreenhopError as error:
            fail(error)

    hydra.main(config_path=str(config_dir()), config_name=config_name, version_base="1.3")(guarded)()


def fail(error: BaseException) -> None:
    """One line on stderr, exit code 2."""
    print(f"error: {one_line(error)}", file=sys.stderr)
    raise SystemExit(USER_ERROR)


def _prepare(config_name: str) -> None:
    """Check every override before Hydra runs, and make scenario files given by path known to it."""
    given = [a for a in sys.argv[1:] if not a.startswith("-")]
    flags = [a for a in sys.argv[1:] if a.startswith("-")]
    if any(
        f.split("=")[0] in ("--help", "-h", "--hydra-help", "--shell-completion", "-sc", "--version") for f in flags
    ):
        return
    if any(f.split("=")[0] in ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn") for f in flags):
        return  # the user brings a configuration of their own; Hydra judges it
    for override in given:
        if override.startswith("scenario=") and override.endswith((".yaml", ".yml")):
            path = override.partition("=")[2]
            ConfigStore.instance().store(group="scenario", name="own", node=compose_scenario(path))
            sys.argv[sys.argv.index(override)] = "scenario=own"
    sys.argv[1:] = [f"++{a}" if a.startswith("scenario.") else a for a in sys.argv[1:]]  # the schema judges these keys
    _check_overrides(config_name, [a for a in sys.argv[1:] if not a.startswith("-")])


def _check_overrides(config_name: str, given: list[str]) -> None:
    """Every key must exist and every choice must be there; the first problem is reported with the nearest valid name."""
    try:
        overrides = OverridesParser.create().parse_overrides(given)
    except HydraException as error:
        raise ConfigError(f"{one_line(error)}; on the command line") from None
    firsts = [(o, _first(o)) for o in overrides]
    groups = [o for o, _ in firsts if (config_dir() / o.key_or_group).is_dir()]
    for override in groups:
        _check_choice(override)
    base = _compose(config_name, [text for o, text in firsts if o in groups])
    for override, _ in firsts:
        if override not in groups and not override.is_add() and not override.key_or_group.startswith("hydra."):
            _check_key(base, override.key_or_group)
    _compose(config_name, [text for _, text in firsts])


def _first(override: Override) -> str:
    """The override itself, or the first element of a sweep."""
    if not override.is_sweep_override():
        return str(override.input_line)
    return f"{override.key_or_group}={next(override.sweep_string_iterator())}"


def _check_choice(override: Override) -> None:
    group = override.key_or_group
    allowed = sorted(p.stem for p in (config_dir() / group).glob("*.yaml") if not p.stem.startswith("common"))
    own = ConfigStore.instance().repo.get(group, {})
    for choice in _first(override).partition("=")[2].split(","):
        if choice not in allowed and f"{choice}.yaml" not in own:
            raise ConfigError(f"{group}={choice}: unknown; allowed: {', '.join(allowed)}{_nearest(choice, allowed)}")


def _check_key(base: DictConfig, key: str) -> None:
    keys = list(_keys(base))
    if key not in keys:
        raise ConfigError(f"{key}: unknown key on the command line{_nearest(key, keys)}")


def _nearest(word: str, allowed: Iterable[str]) -> str:
    close = get_close_matches(word, list(allowed), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _keys(node: Any, prefix: str = "") -> Iterable[str]:
    for key in node or ():
        name = f"{prefix}{key}"
        yield name
        child = node._get_node(key)
        if isinstance(child, DictConfig):
            yield from _keys(child, f"{name}.")


def _compose(config_name: str, overrides: list[str]) -> DictConfig:
    try:
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            return compose(config_name, overrides=overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"{one_line(error)}; in config {config_name}") from None


def scenario_of(config: DictConfig) -> ScenarioConfig:
    """The checked scenario of a composed configuration."""
    try:
        data = OmegaConf.to_container(config.scenario, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{one_line(error)}; in scenario") from None
    assert isinstance(data, dict)
    checked: dict[str, Any] = {str(k): v for k, v in data.items()}
    return parse_scenario(checked, where=f"scenario/{checked.get('name', '?')}.yaml")


def pick_device(name: str) -> str:
    """`auto` is the GPU when there is one.

    Raises:
        ConfigError: a device that torch does not know or cannot reach.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device = {name!r}: {one_line(error)}; allowed: auto, cpu, cuda") from None
    return name


def check_json_path(path: str | None) -> None:
    """Refuse an output path that cannot be written before any work is done."""
    if path is not None and not Path(path).resolve().parent.is_dir():
        raise ConfigError(f"json = {path!r}: the folder {Path(path).resolve().parent} does not exist")


def write_json(path: str | None, data: Any) -> None:
    """Write `data` whole or not at all; nothing when `path` is None."""
    if path is None:
        return
    target = Path(path)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    draft.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    draft.replace(target)
