"""README and tutorials as their readers use them: every command, from top to bottom, in an empty place.

Long commands are shortened only by means that the pages themselves name: values set behind the command, `ARGS` of
`make demo` and `TESTS` of `make test`. The commands of README run as processes in a clean copy of the tree whose
`.venv` stands for the one that `make` would install; those of the tutorials run in this process.
"""

from __future__ import annotations

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
from hydra.core.global_hydra import GlobalHydra

from greenhop_agents.commands.main import main
from tests.contracts.test_repository import tracked_files

ROOT = Path(__file__).resolve().parents[1]
TUTORIALS = ("scenario", "data", "agent", "jobs_tutorial")
DAY = "scenario.episode.length_h=24 scenario.years.train=1 scenario.years.val=1 scenario.years.test=1"
BRIEF = "validation.episodes=1 evaluation.episodes=1"
TINY_SB3 = "agent.num_envs=2 agent.group_size=2 agent.options.n_steps=24 agent.options.batch_size=48"
SHORTER = {  # what is put behind a command that contains the words
    "make demo": f"ARGS='scenario=pair2 total_steps=48 {TINY_SB3} {DAY} {BRIEF} workers=1'",
    "make test": "TESTS=tests/test_stats.py WORKERS=1",
    "greenhop train agent=sb3_ppo": f"total_steps=48 {TINY_SB3} {DAY} {BRIEF}",
    "greenhop train agent=shac": f"total_steps=96 agent.options.num_envs=2 {DAY} {BRIEF}",
    "greenhop evaluate": f"episodes=1 workers=1 {DAY}",
    "greenhop export": DAY,
    "greenhop bound": f"episodes=1 workers=1 {DAY}",
    "greenhop benchmark": f"benchmark.agents=[stay,price_follow] benchmark.episodes=1 engine=inline {DAY}",
    "recipes/ppo.py": "--total-timesteps 48 --num-envs 2 --hidden 8 --eval-episodes 1",
}


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Fenced blocks from top to bottom."""
    return [Block(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)]


def shortened(line: str) -> str:
    """The command with less to do, its comment left out."""
    command = line.partition("  #")[0].rstrip()
    more = [text for words, text in SHORTER.items() if all(word in command for word in words.split())]
    return " ".join([command, *more])


def test_only_commands_that_are_known_to_take_long_are_shortened_and_each_of_them_occurs() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in TUTORIALS)]
    commands = "".join(block.text for page in pages for block in blocks(page) if block.language == "sh")
    for words in SHORTER:
        assert any(all(word in line for word in words.split()) for line in commands.splitlines()), words


@pytest.fixture
def clean_copy(tmp_path: Path) -> Path:
    """The tree as a newcomer gets it, with a `.venv` that is this interpreter and the type checker's memory."""
    home = tmp_path / "greenhop"
    for path in tracked_files():
        target = home / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    commands = home / ".venv" / "bin"
    commands.mkdir(parents=True)
    linter = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    command = "from greenhop_agents.commands.main import main; main()"
    programs = {"python": [], "lint-imports": ["-c", linter], "greenhop": ["-c", command]}
    for name, arguments in programs.items():
        program = [sys.executable, *arguments]
        (commands / name).write_text(f'#!/bin/sh\nexec {shlex.join(program)} "$@"\n', encoding="utf-8")
        (commands / name).chmod(0o755)
    (commands / "activate").touch()
    (home / ".venv" / ".installed").touch()
    if (ROOT / ".mypy_cache").is_dir():
        shutil.copytree(ROOT / ".mypy_cache", home / ".mypy_cache")
    return home


@pytest.mark.slow
def test_every_command_of_the_readme_works_in_a_clean_copy(clean_copy: Path) -> None:
    if find_spec("mkdocs") is None or shutil.which("make") is None:
        pytest.skip("`make test` needs make and MkDocs (extra `dev`)")
    packages = os.pathsep.join(str(clean_copy / name) for name in ("envs", "agents"))
    path = os.pathsep.join([str(clean_copy / ".venv" / "bin"), os.environ["PATH"]])
    env = {**os.environ, "PYTHONPATH": packages, "PATH": path}
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTEST_XDIST_WORKER", "MAKEFLAGS", "MAKELEVEL"):
        env.pop(name, None)
    ran = 0
    for block in blocks(clean_copy / "README.md"):
        if block.language == "text":
            continue
        program = [".venv/bin/python", "-c", block.text] if block.language == "python" else None
        for command in [program] if program else [["bash", "-c", shortened(line)] for line in block.text.splitlines()]:
            done = subprocess.run(command, cwd=clean_copy, env=env, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
            ran += 1
    assert ran >= 7
    written = ("demo/day.png", "first/policy.safetensors", "smoke/report.html", "smoke/replay.html")
    for made in ("first.gif", "week.html", "first.onnx", *(f"runs/{name}" for name in written)):
        assert (clean_copy / made).is_file(), made


def run_here(line: str) -> None:
    """`greenhop COMMAND …` and `python FILE …` in this process; other commands in a shell."""
    words = shlex.split(line)
    if words[0] not in ("greenhop", "python"):
        subprocess.run(["bash", "-c", line], check=True)
        return
    GlobalHydra.instance().clear()
    with pytest.MonkeyPatch.context() as patch:
        try:
            if words[0] == "greenhop":
                patch.setattr(sys, "argv", words)
                main()
            else:
                path = str(ROOT / words[1])
                patch.setattr(sys, "argv", [path, *words[2:]])
                runpy.run_path(path, run_name="__main__")
        except SystemExit as stop:
            if stop.code:
                pytest.fail(f"{line}: exit code {stop.code}")


@pytest.mark.parametrize("name", TUTORIALS)
def test_every_command_of_a_tutorial_works(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks(ROOT / "docs" / f"{name}.md"):
        if block.language == "python":
            exec(compile(block.text, f"{name}.md", "exec"), {})
        elif "<<'END'" in block.text:
            subprocess.run(["bash", "-euc", block.text], check=True)
        else:
            for line in block.text.splitlines():
                run_here(shortened(line))


def test_links_of_the_readme_lead_to_files_and_headings() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("http")]
    assert len(links) >= 10
    for link in links:
        name, _, anchor = link.partition("#")
        assert (ROOT / name).is_file(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings], link
