"""What the scripts share: Hydra with one-line errors, checked settings, JSON output, devices.

Torch and Hydra are imported where they are needed, so that `--help` and mistakes on the command line answer at once.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from greenhop.errors import ConfigError, GreenhopError, nearest, one_line
from greenhop.scenario.config import Count, Positive, ScenarioConfig, Split, describe, parse_scenario
from greenhop.scenario.find import compose_scenario, config_dir

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

USER_ERROR = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells say it
OWN_SCENARIO = "own"  # what Hydra calls a scenario file of the user
# any key behind these may be set: a schema judges it
FREE = ("scenario.", "benchmark.train.", "benchmark.evaluations.", "options.", "as_jobs.", "drawn.")
OWN_FILE = "scenario=path/to/own.yaml takes a file of your own; scenario.KEY=VALUE sets any key of its schema."
_typed: list[str] = []  # the command and its arguments, as they were given
_own_files: dict[str, str] = {}  # path of such a file by the name of its scenario, for error texts


class SolverSettings(BaseModel):
    """`solver.*`; the names are those of `greenhop.lp.solve.SolverName`."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: Annotated[str, Field(pattern="^(ipx|simplex|hipo|pdlp)$")] = "ipx"
    """Algorithm of HiGHS."""
    time_limit_s: Positive = 3600.0
    """Longest time for one bound, s."""


class EvaluationSettings(BaseModel):
    """`evaluation.*`: the held-out episodes a trained agent is scored on."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    split: Split = "test"
    """Whose years the episodes are of."""
    episodes: Count = 1
    """Held-out episodes, spread over the years of the split."""
    bound: bool = False
    """Whether the certified bound of every episode is solved, which scores need."""


class Settings(BaseModel):
    """Types and ranges of the keys that scripts share; a script uses some of them, other keys are its own affair."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the agent; the world's is `scenario.seed`."""
    seeds: list[Annotated[int, Field(ge=0)]] | None = None
    """Several seeds, one run after the other; null: `seed` alone."""
    total_steps: Count = 1
    """Environment steps of a training run, all environments together."""
    split: Split = "test"
    """Whose years the episodes are of."""
    episodes: Count = 1
    """Episodes, spread over the years of the split."""
    workers: Count = 1
    """Parallel processes."""
    bound: bool = False
    """Whether the certified bound of every episode is solved, which scores need."""
    policy: str = ""
    """A rule, a planner, `pretrained/NAME` or a run folder."""
    beside: list[str] = []
    """Further policies on the same episodes."""
    device: str = "auto"
    """Where tensors live; `auto`: a GPU where there is one."""
    output: str = ""
    """Folder or file that is written."""
    json_path: str | None = Field(default=None, alias="json")
    """File that also gets the records printed; null: none."""
    evaluation: EvaluationSettings = EvaluationSettings()
    """The held-out episodes that a trained agent is scored on."""
    solver: SolverSettings = SolverSettings()
    """How bounds are solved."""


def run(config_name: str, task: Callable[[DictConfig], None]) -> None:
    """Run a command: check its line, let Hydra compose (and sweep), make user errors one line.

    Args:
        config_name: name of its file in `configs/`, without `.yaml`.
        task: does the work, given the composed configuration; the docstring of its module begins the help.
    """
    if {"--help", "-h"} & set(sys.argv[1:]):
        print(help_text(config_name, sys.modules[task.__module__].__doc__ or ""))
        return
    _typed[:] = [config_name, *sys.argv[1:]]
    _say_what_takes_long()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # more threads only wait for each other on a busy machine
    try:
        _prepare(config_name)
        _launch(config_name, task)
    except GreenhopError as error:
        fail(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None


class _Said(logging.Handler):
    """Messages as plain lines on what is stderr at the time."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one."""
        print(record.getMessage(), file=sys.stderr)


def _say_what_takes_long() -> None:
    """The environments' log on stderr."""
    logger = logging.getLogger("greenhop")
    if not any(isinstance(handler, _Said) for handler in logger.handlers):
        logger.addHandler(_Said())
    logger.setLevel(logging.INFO)


def fail(error: BaseException) -> NoReturn:
    """One line on stderr, exit code 2."""
    print(f"error: {one_line(error)}", file=sys.stderr)
    raise SystemExit(USER_ERROR)


def typed_command() -> str:
    """The line that started this process, before Hydra saw it."""
    return shlex.join(["greenhop", *_typed])


def help_text(config_name: str, about: str) -> str:
    """What a command does, its keys as its YAML file shows them, and the choices there are."""
    text = (config_dir() / f"{config_name}.yaml").read_text(encoding="utf-8")
    example, _, rest = text.partition("\n")
    keys = rest.partition("_self_\n")[2].partition("hydra:")[0]
    own = "\n".join(line for line in keys.splitlines() if "override hydra/" not in line).strip()
    groups = re.findall(r"^  - (\w+): (\w+)$", rest, re.MULTILINE)
    lines = [
        about.strip(),
        f"\n{example.removeprefix('# ')}\n",
        *(f"{group}: {', '.join(choices(group))}" for group, _ in groups),
        *([OWN_FILE] if "scenario" in dict(groups) else []),
        f"\n{own}\n",
        *(f"{_group_keys(group, default)}\n" for group, default in groups if group != "scenario"),
        "-m sweeps over comma-separated values; --cfg job prints the composed configuration; --hydra-help says more.",
        'Commands, keys and choices complete by Tab in bash: eval "$(greenhop completion)"',
    ]
    return "\n".join(lines)


def _group_keys(group: str, default: str) -> str:
    """The keys of a group, as the file of its default choice shows them."""
    text = (config_dir() / group / f"{default}.yaml").read_text(encoding="utf-8")
    _, found, block = text.partition(f"\n{group}:\n")  # a file that sets the whole configuration has such a block
    body = block if found else indent(re.sub(r"^#.*\n", "", text, flags=re.MULTILINE), "  ")
    return f"{group}:  # as in {group}={default}\n{body.rstrip()}"


def _launch(config_name: str, task: Callable[[DictConfig], None]) -> None:
    import hydra

    def guarded(config: DictConfig) -> None:
        try:
            task(checked_settings(config, config_name))
        except GreenhopError as error:
            fail(error)

    hydra.main(config_path=str(config_dir()), config_name=config_name, version_base="1.3")(guarded)()


def checked_settings(config: DictConfig, config_name: str) -> DictConfig:
    """The configuration with its shared keys checked and converted, its scenario checked, its output path possible.

    Raises:
        ConfigError: the first key that is wrong.
    """
    try:
        own = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        checked = Settings.model_validate(own).model_dump(by_alias=True, exclude_unset=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{one_line(error)}; in {config_name}.yaml") from None
    except ValidationError as error:
        raise ConfigError(describe(error, f"{config_name}.yaml")) from None
    if "scenario" in config:  # an import has none
        scenario_of(config)
    check_json_path(config.get("json"))
    merged = OmegaConf.merge(config, checked)
    assert isinstance(merged, DictConfig)
    return merged


def _prepare(config_name: str) -> None:
    """Check every override before Hydra runs, and make scenario files given by path known to it."""
    flags = _parsed(sys.argv[1:])
    if flags.hydra_help or flags.shell_completion or flags.config_dir or flags.config_path or flags.config_name:
        return  # nothing to run, or the user brings a configuration of their own; Hydra judges it
    options = [text for text in sys.argv[1:] if text not in flags.overrides]
    overrides = [_ours(text) for text in flags.overrides]
    sys.argv[1:] = options + overrides  # Hydra stumbles over options between overrides
    _check_overrides(config_name, overrides, bool(flags.multirun))


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


def _check_overrides(config_name: str, given: list[str], sweep: bool) -> None:
    """Every key must exist and every choice must be there; the first problem is told with the nearest valid name."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser, overrides = OverridesParser.create(), []
    for text in given:
        try:
            overrides.append(parser.parse_override(text))
        except HydraException as error:
            reason = one_line(error).partition(" See https")[0]
            raise ConfigError(f"{text}: {reason}; on the command line, where KEY=VALUE is expected") from None
    groups = [o for o in overrides if (config_dir() / o.key_or_group).is_dir()]
    for override in overrides:
        if override.is_sweep_override() and not sweep:
            raise ConfigError(f"{override.input_line}: several values are a sweep, which needs -m")
        if override in groups:
            _check_choice(override)
    base = _compose(config_name, [_values(o)[0] for o in groups])
    for override in overrides:
        judged_later = override.key_or_group.startswith(("hydra.", *FREE))  # by Hydra, by their schema
        if override not in groups and not override.is_add() and not judged_later:
            _check_key(base, override.key_or_group)
    _compose(config_name, [_values(o)[0] for o in overrides])


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


def scenario_of(config: DictConfig) -> ScenarioConfig:
    """The checked scenario of a composed configuration."""
    try:
        data = OmegaConf.to_container(config.scenario, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{one_line(error)}; in scenario") from None
    assert isinstance(data, dict)
    checked: dict[str, Any] = {str(k): v for k, v in data.items()}
    name = str(checked.get("name", "?"))
    return parse_scenario(checked, where=_own_files.get(name, f"scenario/{name}.yaml"))


M = TypeVar("M", bound=BaseModel)


def keys_checked(config: DictConfig, model: type[M], file: str) -> M:
    """The keys of a composed configuration that `model` describes, checked.

    Raises:
        ConfigError: the first key that is wrong; `file` is where it belongs.
    """
    data = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(data, dict)
    try:
        return model.model_validate({key: data[key] for key in model.model_fields if key in data})
    except ValidationError as error:
        raise ConfigError(describe(error, file)) from None


def pick_device(name: str) -> str:
    """`auto` is the GPU when there is one.

    Raises:
        ConfigError: a device that torch does not know or cannot reach.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device = {name!r}: {one_line(error)}; allowed: auto, cpu, cuda") from None
    return name


def check_json_path(path: str | None) -> None:
    """Refuse an output path that cannot be written before any work is done."""
    if path is None:
        return
    folder = Path(path).resolve().parent
    if not folder.is_dir():
        raise ConfigError(f"json = {path!r}: the folder {folder} does not exist")
    if Path(path).is_dir():
        raise ConfigError(f"json = {path!r} is a folder; name a file")
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"json = {path!r}: the folder {folder} is not writable")


def write_json(path: str | None, data: Any) -> None:
    """Write `data` whole or not at all; nothing when `path` is None."""
    if path is None:
        return
    target = Path(path)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    draft.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    draft.replace(target)
