"""The console command `greenhop`: help at once, what there is, one line for a mistake, completion by Tab."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from greenhop import ENV_IDS
from greenhop_agents.commands.main import command_modules, main
from tests.test_cli import SCRIPTS, Outcome, assert_one_line

PROGRAM = "from greenhop_agents.commands.main import main; main()"


def greenhop(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> Outcome:
    monkeypatch.setattr(sys, "argv", ["greenhop", *arguments])
    code = 0
    try:
        main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0
    return Outcome(code, *capsys.readouterr())


def test_help_names_every_command_and_waits_for_nothing_slow() -> None:
    code = (
        "import sys; sys.argv = ['greenhop', '--help']\n"
        f"{PROGRAM}\n"
        "slow = {'torch', 'hydra', 'pandas', 'scipy', 'pydantic', 'matplotlib'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(f"  {name} " in done.stdout for name in (*command_modules(), "list", "completion"))


def test_every_command_is_also_a_script() -> None:
    assert {f"{module}.py" for module in command_modules().values()} <= {path.name for path in SCRIPTS.iterdir()}


@pytest.mark.parametrize("asked", ["trian", "evaluate.py", "main"])
def test_an_unknown_command_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], asked: str
) -> None:
    assert_one_line(greenhop(monkeypatch, capsys, asked), repr(asked), "evaluate", "benchmark")


def test_a_mistake_behind_a_command_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_one_line(greenhop(monkeypatch, capsys, "evaluate", "polcy=stay"), "did you mean policy?")


def test_list_shows_ids_scenarios_agents_benchmarks_and_policies(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = greenhop(monkeypatch, capsys, "list")
    assert shown.code == 0
    wanted = ("pair2", "hub10-outage", "sb3_ppo", "smoke", "price_follow", "mpc_perfect", "pretrained/pair2-shac")
    assert all(name in shown.out for name in (*ENV_IDS, *wanted))


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("greenhop eva", "evaluate"),
        ("greenhop evaluate pol", "policy="),
        ("greenhop bound scenario=tr", "scenario=tri3"),
    ],
)
def test_tab_completes_commands_keys_and_choices(line: str, completed: str, tmp_path: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("no bash here")
    (tmp_path / "greenhop").write_text(f'#!/bin/sh\nexec {sys.executable} -c "{PROGRAM}" "$@"\n', encoding="utf-8")
    (tmp_path / "greenhop").chmod(0o755)
    words = line.split()
    script = (
        'eval "$(greenhop completion)"\n'
        f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; COMP_LINE='{line}'; COMP_POINT={len(line)}\n"
        '_greenhop; printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.split() == [completed], done.stderr
