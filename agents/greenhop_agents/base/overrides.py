"""What a command line may say: keys that exist, choices that are there, values that need no further quotation marks.

Everything is checked before Hydra runs, so that a mistake is one line that names the nearest valid word.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from greenhop.errors import ConfigError, nearest, one_line
from greenhop.scenario.find import compose_scenario, config_dir, quoted

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

OWN_SCENARIO = "own"  # what Hydra calls a scenario file of the user
# any key behind these may be set: a schema judges it
FREE = ("scenario.", "benchmark.train.", "benchmark.evaluations.", "options.", "as_jobs.", "drawn.")
_own_files: dict[str, str] = {}  # path of such a file by the name of its scenario, for error texts


def where_of(name: str) -> str:
    """The file that a scenario of this name came from."""
    return _own_files.get(name, f"scenario/{name}.yaml")


def prepare(config_name: str) -> None:
    """Check every override before Hydra runs, make scenario files known to it, and part the jobs of a sweep.

    Raises:
        ConfigError: the first mistake.
    """
    flags = _parsed(sys.argv[1:])
    if flags.hydra_help or flags.shell_completion or flags.config_dir or flags.config_path or flags.config_name:
        return  # nothing to run, or the user brings a configuration of their own; Hydra judges it
    options = [text for text in sys.argv[1:] if text not in flags.overrides]
    texts = [_ours(text) for text in flags.overrides]
    overrides, base = _checked(config_name, texts, bool(flags.multirun))
    given = [str(o.input_line) for o in overrides]
    sys.argv[1:] = options + given + own_output(overrides, base)  # Hydra stumbles over options between overrides


def _parsed(arguments: list[str]) -> Namespace:
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        raise ConfigError(f"{message}; see --help")

    parser.error = refuse  # type: ignore[method-assign]
    return parser.parse_intermixed_args(arguments)


def _ours(text: str) -> str:
    """An override as Hydra shall see it: scenario files become choices, and any key that a schema judges may be set."""
    if text.startswith("scenario="):
        return f"scenario={','.join(map(_registered, text.partition('=')[2].split(',')))}"
    return f"++{text}" if text.startswith(FREE) else text


def _registered(choice: str) -> str:
    """The choice itself, or the name under which Hydra now knows the file `choice`."""
    from hydra.core.config_store import ConfigStore

    if not choice.endswith((".yaml", ".yml")):
        return choice
    known = ConfigStore.instance().repo.get("scenario", {})
    name = f"{OWN_SCENARIO}{len(known)}"
    scenario = compose_scenario(choice)
    ConfigStore.instance().store(group="scenario", name=name, node=scenario)
    _own_files[str(scenario.get("name"))] = choice
    return name


def _checked(config_name: str, given: list[str], sweep: bool) -> tuple[list[Override], DictConfig]:
    """The overrides, whose keys and choices exist, and the configuration that they change."""
    overrides = [_read(text) for text in given]
    groups = [o for o in overrides if (config_dir() / o.key_or_group).is_dir()]
    for override in overrides:
        if override.is_sweep_override() and not sweep:
            raise ConfigError(
                f"{override.input_line}: several values are a sweep, which needs -m; a comma in one value needs "
                f"quotation marks: \"{override.key_or_group}='…'\""
            )
        if override in groups:
            _check_choice(override)
    base = _compose(config_name, [_values(o)[0] for o in groups])
    for override in overrides:
        judged_later = override.key_or_group.startswith(("hydra.", *FREE))  # by Hydra, by their schema
        if override not in groups and not override.is_add() and not judged_later:
            _check_key(base, override.key_or_group)
    _compose(config_name, [_values(o)[0] for o in overrides])
    return overrides, base


def _read(text: str) -> Override:
    """An override as Hydra reads it; a value that it cannot read is taken as it stands, unless it opens a bracket."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    try:
        return parser.parse_override(text)
    except HydraException as error:
        reason = one_line(error).partition(" See https")[0]
    key, _, value = text.partition("=")
    if value and value[0] not in "[{(\"'":
        with suppress(HydraException):
            return parser.parse_override(f"{key}={quoted(value)}")
    raise ConfigError(
        f'{text}: {reason}; on the command line, where KEY=VALUE is expected (spaces need quotation marks: "KEY=a b")'
    )


def own_output(overrides: Sequence[Override], base: DictConfig) -> list[str]:
    """For a sweep whose jobs would all write to the same folder: an override that gives each one its own.

    The folder's name ends in what is swept, as `-learning_rate=0.001`.
    """
    swept = [o for o in overrides if o.is_sweep_override()]
    given = [o for o in overrides if o.key_or_group == "output"]
    if not swept or "output" not in base or any(o in swept for o in given):
        return []
    output = str(given[-1].value() if given else base._get_node("output")._value()).rstrip("/")  # type: ignore[union-attr]
    endings = [_ending(o.key_or_group) for o in swept if f"${{{o.key_or_group}" not in output]
    return [f"output={quoted('-'.join([output, *endings]))}"] if endings else []


def _ending(key: str) -> str:
    """What a swept key adds to the name of an output folder."""
    if (config_dir() / key).is_dir():
        return f"{key}=${{hydra:runtime.choices.{key}}}"
    return f"{key.rpartition('.')[2]}=${{{key}}}"


def _values(override: Override) -> list[str]:
    """The override itself, or every element of a sweep as an override."""
    if not override.is_sweep_override():
        return [str(override.input_line)]
    return [f"{override.key_or_group}={value}" for value in override.sweep_string_iterator()]


def choices(group: str) -> list[str]:
    """Names of the shipped configurations of a group."""
    names = sorted(path.stem for path in (config_dir() / group).glob("*.yaml"))
    return [name for name in names if not name.startswith("common")]


def _check_choice(override: Override) -> None:
    from hydra.core.config_store import ConfigStore

    group = override.key_or_group
    allowed = choices(group)
    own = ConfigStore.instance().repo.get(group, {})
    for text in _values(override):
        choice = text.partition("=")[2]
        if choice not in allowed and f"{choice}.yaml" not in own:
            raise ConfigError(f"{group}={choice}: unknown; allowed: {', '.join(allowed)}{nearest(choice, allowed)}")


def _check_key(base: DictConfig, key: str) -> None:
    keys = list(keys_of(base))
    if key not in keys:
        raise ConfigError(f"{key}: unknown key on the command line{nearest(key, keys)}")


def keys_of(node: Any, prefix: str = "") -> Iterable[str]:
    """Dotted names of every key of a configuration, at any depth."""
    for key in node or ():
        name = f"{prefix}{key}"
        yield name
        child = node._get_node(key)
        if isinstance(child, DictConfig):
            yield from keys_of(child, f"{name}.")


def _compose(config_name: str, overrides: list[str]) -> DictConfig:
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException

    try:
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            return compose(config_name, overrides=overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"{one_line(error)}; in config {config_name}") from None


@contextmanager
def own_hydra() -> Iterator[None]:
    """Configurations can be composed inside, also from within a Hydra application, which otherwise forbids it."""
    from hydra.core.global_hydra import GlobalHydra

    instance = GlobalHydra.instance()
    before = instance.hydra
    instance.clear()
    try:
        yield
    finally:
        instance.clear()
        instance.hydra = before
