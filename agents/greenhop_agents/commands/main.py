"""The console command `greenhop`: finds the command that is asked for and hands the rest of the line to it.

Everything else is imported where it is needed, so that `greenhop --help` answers at once and Ctrl-C is heard quietly.
"""

from __future__ import annotations

import ast
import pkgutil
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from greenhop_agents import commands
from greenhop_agents.base.stopping import USER_ERROR, quiet_end

SPELT = {"import_data": "import", "replay_jobs": "jobs"}
PLAIN = {"completion", "inventory", "main"}  # modules of the room that are no command with settings
FIRST = ("demo", "train", "evaluate", "benchmark", "bound", "import")  # the ones that most people want
USAGE = """\
Greenhop: reinforcement learning for compute-power coordination, scored against a certified optimum.

greenhop COMMAND key=value …      greenhop COMMAND --help lists its keys

{commands}
  list          environment ids, scenarios, agents, benchmarks and policies that there are
  completion    what bash needs to complete commands, keys and choices by Tab: eval "$(greenhop completion)"

--version says which Greenhop this is; docs/settings.md describes every key."""


def main() -> None:
    """Entry point of the console command."""
    with quiet_end():
        _answer(*(sys.argv[1:] or ["--help"]))


def _answer(asked: str, *rest: str) -> None:
    """Do what the first word asks for."""
    if asked in ("--help", "-h", "help"):
        print(usage())
    elif asked == "--version":
        from greenhop import __version__

        print(f"greenhop {__version__}")
    elif asked == "list":
        from greenhop.saying import at_work

        with at_work("greenhop list"):
            from greenhop_agents.commands.inventory import print_inventory

            print_inventory()
    elif asked == "completion":
        from greenhop_agents.commands.completion import bash_completion

        print(bash_completion([*command_names(), "list", "completion"]))
    else:
        sys.argv = [sys.argv[0], *rest]
        run_command(module_of(asked))


def run_command(name: str) -> None:
    """Run the command of a module of this room with what is left in `sys.argv`."""
    with quiet_end():  # Ctrl-C while modules are imported, too
        from greenhop_agents.base.cli import run

        run(name, import_module(f"{commands.__name__}.{name}").main)


def command_modules() -> dict[str, str]:
    """Module by the name of its command; those most wanted first."""
    modules = [found.name for found in pkgutil.iter_modules(commands.__path__) if found.name not in PLAIN]
    named = {SPELT.get(module, module): module for module in modules}
    return {name: named[name] for name in (*FIRST, *(name for name in named if name not in FIRST))}


def command_names() -> list[str]:
    """What may stand behind `greenhop`, `list` and `completion` aside."""
    return list(command_modules())


def module_of(asked: str) -> str:
    """The module of a command, by either spelling; an unknown one ends with one line and exit code 2."""
    known = command_modules()
    if asked in known.values():
        return asked
    if asked not in known:
        from greenhop.errors import nearest

        hint = nearest(asked, known)
        print(f"error: unknown command {asked!r}; allowed: {', '.join(known)}, list, completion{hint}", file=sys.stderr)
        raise SystemExit(USER_ERROR)
    return known[asked]


def usage() -> str:
    """What `greenhop --help` prints: every command with the first sentence of its module."""
    lines = [f"  {name:13} {_first_sentence(module)}" for name, module in command_modules().items()]
    return USAGE.format(commands="\n".join(lines))


def _first_sentence(module: str) -> str:
    """Of a command's docstring; the module is read, not imported."""
    spec = find_spec(f"{commands.__name__}.{module}")
    assert spec is not None
    assert spec.origin is not None
    text = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""
    return text.splitlines()[0].rstrip(".")
