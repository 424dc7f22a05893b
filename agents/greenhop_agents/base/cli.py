"""What the scripts share: Hydra with one-line errors, checked settings, JSON output, devices.

Torch and Hydra are imported where they are needed, so that `--help` and mistakes on the command line answer at once.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import indent
from typing import Annotated, Any, NoReturn, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from pydantic import AfterValidator, ConfigDict, Field, ValidationError

from greenhop.errors import ConfigError, GreenhopError, one_line
from greenhop.files import write_json as write_whole
from greenhop.saying import at_work
from greenhop.scenario.config import Count, Positive, ScenarioConfig, Split, describe, parse_scenario
from greenhop.scenario.find import config_dir
from greenhop.scenario.limits import Limited, Name
from greenhop_agents.base.overrides import choices, prepare, where_of
from greenhop_agents.base.stopping import USER_ERROR, quiet_end, stops_win

UNUSABLE = {  # what a disk or folder of the user's can answer
    getattr(errno, name)
    for name in (
        *("ENOSPC", "EDQUOT", "EFBIG", "EIO", "EROFS", "EACCES", "EPERM"),
        *("ENOENT", "ENOTDIR", "EISDIR", "ENAMETOOLONG"),
    )
    if hasattr(errno, name)
}
FILES = ("json", "csv", "replay")  # keys that name a file to write
OWN_FILE = "scenario=path/to/own.yaml takes a file of your own; scenario.KEY=VALUE sets any key of its schema."
_typed: list[str] = []  # the command and its arguments, as they were given


Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what NumPy and torch take alike


def _there(solver: str) -> str:
    if solver != "ipx":  # which every HiGHS has; looking takes its import
        from greenhop.lp.solve import check_solver

        try:
            check_solver(solver)
        except ConfigError as error:
            raise ValueError(str(error)) from None
    return solver


Solver = Annotated[str, Field(pattern="^(ipx|simplex|hipo|pdlp)$"), AfterValidator(_there)]
"""An algorithm that the installed HiGHS has; the names are those of `greenhop.lp.solve.SolverName`."""


class Shared(Limited):
    """Base of the keys that commands share; a command may have further ones, which are its own affair."""

    model_config = ConfigDict(extra="ignore")


class SolverSettings(Shared):
    """`solver.*`."""

    name: Solver = "ipx"
    """Algorithm of HiGHS."""
    time_limit_s: Positive = 3600.0
    """Longest time for one bound, s."""


class EvaluationSettings(Shared):
    """`evaluation.*`: the held-out episodes a trained agent is scored on."""

    split: Split = "test"
    """Whose years the episodes are of."""
    episodes: Count = 1
    """Held-out episodes, spread over the years of the split."""
    bound: bool = False
    """Whether the certified bound of every episode is solved, which scores need."""


class ValidationSettings(Limited):
    """`validation.*`: the held-out episodes that choose the best policy on the way."""

    episodes: Annotated[int, Field(ge=0)] = 0
    """Held-out episodes of split val; 0 keeps the last policy."""
    every: Annotated[float, Field(gt=0.0, le=1.0)] = 0.05
    """Share of the training between two looks."""
    bound: bool = False
    """Whether their certified bounds are solved once, so that the score is logged."""


class AgentSettings(Shared):
    """`agent.*`: what every agent has; its algorithm judges the rest."""

    name: Name = "agent"
    """What results and folders call it."""
    kind: str = ""
    """Its algorithm."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Settings of the algorithm."""
    warm_start: dict[str, Any] | None = None
    """Whom to imitate first; null: nobody."""


class Settings(Shared):
    """Types and ranges of the keys that scripts share; a script uses some of them, other keys are its own affair."""

    seed: Seed = 0
    """Seed of the agent; the world's is `scenario.seed`."""
    seeds: Annotated[list[Seed], Field(min_length=1)] | None = None
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
    beside: list[str] = Field(default_factory=list)
    """Further policies on the same episodes."""
    device: str = "auto"
    """Where tensors live; `auto`: a GPU where there is one."""
    output: str = ""
    """Folder or file that is written."""
    json_path: str | None = Field(default=None, alias="json")
    """File that also gets the records printed; null: none."""
    csv: str | None = None
    """File that gets the first episode of every policy, hub by hub and step by step; null: none."""
    replay: str | None = None
    """Page that plays the first episode of every policy in a browser; null: none."""
    validation: ValidationSettings = ValidationSettings()
    """The held-out episodes that choose the best policy on the way."""
    agent: AgentSettings = AgentSettings()
    """Who is trained."""
    evaluation: EvaluationSettings = EvaluationSettings()
    """The held-out episodes that a trained agent is scored on."""
    solver: SolverSettings = SolverSettings()
    """How bounds are solved."""


def run(config_name: str, task: Callable[[DictConfig], Any]) -> None:
    """Run a command: check its line, let Hydra compose (and sweep), make user errors one line.

    Args:
        config_name: name of its file in `configs/`, without `.yaml`.
        task: does the work, given the composed configuration, and returns the number that a sweep looks at, if any;
            the docstring of its module begins the help.
    """
    with quiet_end():
        if {"--help", "-h"} & set(sys.argv[1:]):
            print(help_text(config_name, sys.modules[task.__module__].__doc__ or ""))
            return
        _typed[:] = [config_name, *sys.argv[1:]]
        _say_what_takes_long()
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # more threads only wait for each other on a busy machine
        with one_line_errors():
            prepare(config_name)
        with at_work(f"greenhop {config_name}"):
            _launch(config_name, task)


class _Said(logging.Handler):
    """Messages as plain lines on what is stderr at the time."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one, above a progress bar if there is one."""
        from tqdm import tqdm

        tqdm.write(record.getMessage(), file=sys.stderr)


def _say_what_takes_long() -> None:
    """What environments and agents log, on stderr."""
    for package in ("greenhop", "greenhop_agents"):
        logger = logging.getLogger(package)
        if not any(isinstance(handler, _Said) for handler in logger.handlers):
            logger.addHandler(_Said())
        logger.setLevel(logging.INFO)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Mistakes of the user, and disks and folders that cannot be used, end the process with one line."""
    try:
        yield
    except GreenhopError as error:
        fail(error)
    except OSError as error:
        if error.errno not in UNUSABLE:
            raise
        fail(ConfigError(f"{error.strerror}: {error.filename or 'what was being written'}"))


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


def _launch(config_name: str, task: Callable[[DictConfig], Any]) -> None:
    import hydra

    def guarded(config: DictConfig) -> Any:
        with one_line_errors(), stops_win():
            return task(checked_settings(config, config_name))

    hydra.main(config_path=str(config_dir()), config_name=config_name, version_base="1.3")(guarded)()


def check_shared(data: Any, where: str) -> Settings:
    """The keys that commands share, checked and converted.

    Raises:
        ConfigError: the first one that is wrong.
    """
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        raise ConfigError(describe(error, where)) from None


def checked_settings(config: DictConfig, config_name: str) -> DictConfig:
    """The configuration with its shared keys checked and converted, its scenario checked, its output path possible.

    Raises:
        ConfigError: the first key that is wrong.
    """
    try:
        own = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise ConfigError(f"{error.full_key} must be given; in {config_name}.yaml") from None
    except OmegaConfBaseException as error:
        raise ConfigError(f"{one_line(error)}; in {config_name}.yaml") from None
    checked = check_shared(own, f"{config_name}.yaml").model_dump(by_alias=True, exclude_unset=True)
    if "scenario" in config:
        scenario_of(config)
    for key in FILES:
        check_file_path(key, config.get(key))
    merged = OmegaConf.merge(config, checked)
    assert isinstance(merged, DictConfig)
    return merged


def scenario_of(config: DictConfig) -> ScenarioConfig:
    """The checked scenario of a composed configuration."""
    try:
        data = OmegaConf.to_container(config.scenario, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{one_line(error)}; in scenario") from None
    assert isinstance(data, dict)
    checked: dict[str, Any] = {str(k): v for k, v in data.items()}
    name = str(checked.get("name", "?"))
    return parse_scenario(checked, where=where_of(name))


M = TypeVar("M", bound=Limited)


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

    from greenhop.devices import usable_device

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return str(usable_device(name, "auto, cpu, cuda"))


def check_file_path(key: str, path: str | None) -> None:
    """Refuse an output path, the value of `key`, that cannot be written before any work is done."""
    if path is None:
        return
    folder = Path(path).resolve().parent
    if not folder.is_dir():
        raise ConfigError(f"{key} = {path!r}: the folder {folder} does not exist")
    if Path(path).is_dir():
        raise ConfigError(f"{key} = {path!r} is a folder; name a file")
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"{key} = {path!r}: the folder {folder} is not writable")


def write_json(path: str | None, data: Any) -> None:
    """Write `data` whole or not at all; nothing when `path` is None."""
    if path is not None:
        write_whole(Path(path), data)
