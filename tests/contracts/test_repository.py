"""What must be true of the tree itself: its layout, and nothing in it that belongs to one machine."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

import greenhop
import greenhop_agents
from greenhop import __version__

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"envs", "agents", "configs", "scripts", "tests"}
FILES = {
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "README.zh-CN.md",
    "constraints.txt",
    "pyproject.toml",
}
ALSO_ALLOWED = {".ci", ".github", ".gitignore", ".pre-commit-config.yaml", "docs", "mkdocs.yml"}

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


def test_package_and_citation_name_the_same_address_or_no_address() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    cited: Any = OmegaConf.load(ROOT / "CITATION.cff")
    assert project.get("urls", {}).get("Repository") == cited.get("repository-code")


WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_call_what_there_is(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert OmegaConf.to_container(OmegaConf.create(text.replace("${{", "$_{{")))
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"run: make (\w+)", text)) <= set(targets)
    for script in re.findall(r"run: (\.\S+)", text):
        assert (ROOT / script).is_file(), script


def test_the_workflows_test_build_and_publish_pages() -> None:
    assert {path.stem for path in WORKFLOWS} == {"tests", "wheel", "pages"}


def test_the_api_reference_shows_every_room_and_every_public_name() -> None:
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "api").glob("*.md")}
    for package in (greenhop, greenhop_agents):
        (home,) = package.__path__
        modules = (path for path in Path(home).iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file())
        rooms = {path.stem for path in modules if not path.name.startswith("_")}
        assert set(re.findall(rf"^::: {package.__name__}\.(\w+)$", pages[package.__name__], re.MULTILINE)) == rooms
        for name in package.__all__:
            shown = rf"^::: {package.__name__}\.[\w.]*\b{name}$"
            is_error = name.endswith("Error")  # the module of errors is shown as a whole
            assert (
                is_error
                or name in ("ENV_IDS", "JOB_ENV_IDS", "MO_ENV_IDS")
                or re.search(shown, pages["index"], re.MULTILINE)
            ), name


def test_the_version_stands_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "version" in project["dynamic"]
    number = re.compile(rf"(?<![\w.]){re.escape(__version__)}(?![\w.])")
    texts = [p for p in tracked_files() if p.suffix in {".py", ".toml", ".cff", ".yml", ".yaml"}]
    assert [p.relative_to(ROOT).as_posix() for p in texts if number.search(p.read_text(encoding="utf-8"))] == [
        "envs/greenhop/__init__.py"
    ]
