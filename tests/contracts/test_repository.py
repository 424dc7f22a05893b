"""What must be true of the tree itself: its layout, and nothing in it that belongs to one machine."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"envs", "agents", "configs", "scripts", "tests"}
FILES = {
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "constraints.txt",
    "pyproject.toml",
}
ALSO_ALLOWED = {".ci", ".gitignore", "docs", "mkdocs.yml"}

# an absolute path into somebody's machine; a folder of the same name inside a URL or a relative path is none
MACHINE_PATH = re.compile(r"(?<![\w.~%-])/(?:work|tmp|root|home|opt|Users)/\w")
REGISTRY_HOST = re.compile(
    r"(?:pypi|pythonhosted|download\.pytorch|conda\.anaconda)\.org\b|--(?:extra-)?index-url\b|--find[-]links\b"
)


def tracked_files() -> list[Path]:
    """Files of the repository, new ones included, ignored ones not."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def test_the_top_level_holds_what_the_readme_says_and_nothing_else() -> None:
    top = {path.relative_to(ROOT).parts[0] for path in tracked_files()}
    assert top >= FOLDERS | FILES
    assert top <= FOLDERS | FILES | ALSO_ALLOWED


@pytest.mark.parametrize("pattern", [MACHINE_PATH, REGISTRY_HOST], ids=["machine path", "registry"])
def test_no_file_names_a_place_on_one_machine_or_a_registry(pattern: re.Pattern[str]) -> None:
    found = []
    for path in tracked_files():
        text = path.read_bytes().decode("utf-8", errors="ignore")
        found += [f"{path.relative_to(ROOT)}: {hit.group()}" for hit in pattern.finditer(text)]
    assert not found, found


def test_scripts_for_the_shell_are_executable() -> None:
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_every_pin_is_exact_and_appears_once() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert all(len(pin) == 2 for pin in pins)
    assert not any("+" in version for _, version in pins), "a local version such as +cpu exists in one index only"
    names = [name.lower().replace("_", "-") for name, _ in pins]
    assert len(names) == len(set(names))
