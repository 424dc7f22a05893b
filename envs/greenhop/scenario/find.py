"""Finding and loading scenario files: names of shipped ones, paths of the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from greenhop.errors import ConfigError, nearest, one_line
from greenhop.scenario.config import ScenarioConfig, parse_scenario
from greenhop.scenario.plain_yaml import load_yaml


def config_dir() -> Path:
    """The folder of shipped configurations: inside an installed wheel, or beside the sources in a checkout."""
    package = Path(str(files("greenhop")))
    installed = package / "configs"
    return installed if installed.is_dir() else package.parents[1] / "configs"


def scenario_names() -> list[str]:
    """Names of the shipped scenarios."""
    names = [path.stem for path in (config_dir() / "scenario").glob("*.yaml")]
    return sorted(name for name in names if not name.startswith("common"))


def load_scenario(name: str | Path, overrides: Sequence[str] = ()) -> ScenarioConfig:
    """Load and check a scenario.

    Args:
        name: a shipped name (`hub10`) or the path of a YAML file, which may build on a shipped one with a Hydra
            defaults list such as `defaults: [hub10, _self_]`.
        overrides: Hydra overrides inside the scenario, such as `episode.length_h=24`.

    Raises:
        ConfigError: unknown name, unreadable file, or a value the schema does not allow.
    """
    return parse_scenario(compose_scenario(name, overrides), where=f"scenario {name}")


def compose_scenario(name: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The scenario as a plain mapping, defaults lists and overrides applied, not yet checked."""
    from hydra import compose, initialize_config_dir  # a tenth of a second that `--help` need not wait for
    from hydra.errors import HydraException
    from yaml import YAMLError

    text, asked = str(name), _texts(overrides)
    own_file = Path(text) if text.endswith((".yaml", ".yml")) else None
    if own_file is None and text not in scenario_names():
        hint = nearest(text, scenario_names())
        raise ConfigError(f"unknown scenario {text!r}; allowed: {', '.join(scenario_names())} or a path{hint}")
    if own_file is not None and not own_file.is_file():
        raise ConfigError(f"scenario file {text!r} does not exist")
    if own_file is not None:
        _check_files(own_file)
    folder = config_dir() / "scenario" if own_file is None else own_file.resolve().parent
    stem = text if own_file is None else own_file.stem
    search = "hydra.searchpath=[" + quoted(f"file://{config_dir()}/scenario") + "]"
    try:
        with initialize_config_dir(str(folder), version_base="1.3"):
            config = compose(stem, overrides=[*(_settable(o) for o in asked), search])
        data = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except RecursionError:
        raise ConfigError(f"its defaults lead back to itself, without end; in scenario {text}") from None
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        reason = one_line(error)
        if "Cannot merge DictConfig with ListConfig" in reason:
            reason = "a list stands where the file it builds on has named entries (links, for instance): name yours too"
        raise ConfigError(f"{reason}; in scenario {text}") from None
    assert isinstance(data, dict)
    return {str(key): value for key, value in data.items()}


def _check_files(path: Path) -> None:
    """Look at a file of the user's and at those beside it that it builds on, before anything is made of them."""
    seen: set[Path] = set()
    waiting = [path]
    while waiting:
        file = waiting.pop()
        seen.add(file)
        data = load_yaml(file, resolve=False)
        bases = data.get("defaults") if isinstance(data, dict) else None
        names = [name for name in bases if isinstance(name, str)] if isinstance(bases, list) else []
        if names and "_self_" not in names and len(data) > 1:
            raise ConfigError(f"defaults = {bases} does not say where the file's own keys come: add _self_; in {file}")
        beside = [file.parent / f"{name.removesuffix('.yaml')}.yaml" for name in names]
        waiting += [base for base in beside if base not in seen and base.is_file()]


def _texts(overrides: Any) -> list[str]:
    """Overrides as they were asked for.

    Raises:
        ConfigError: no list of texts.
    """
    listed = isinstance(overrides, Sequence) and not isinstance(overrides, str)
    if not listed or not all(isinstance(override, str) for override in overrides):
        raise ConfigError(f"overrides = {overrides!r}; allowed: a list of texts such as ['episode.length_h=24']")
    return list(overrides)


def quoted(text: str) -> str:
    """A text as Hydra's command line takes it, whatever is in it."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _settable(override: str) -> str:
    """Any field of the schema may be set, whether or not the file names it: the schema judges the key, not Hydra."""
    return override if override[:1] in "+~" else f"++{override}"
