"""A wheel is complete: it works away from the checkout, with the configurations and tables it carries inside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from greenhop.scenario.find import scenario_names

ROOT = Path(__file__).resolve().parents[2]

# runs in another process and folder, with only the installed wheel in sight
VISIT = """
import json
import greenhop, greenhop_agents
from greenhop.scenario.find import load_scenario, scenario_names
from greenhop.scenario.tables import load_table

sites = {name: len(load_scenario(name).sites) for name in scenario_names()}
home = [greenhop.__file__, greenhop_agents.__file__]
print(json.dumps({"home": home, "sites": sites, "rows": len(load_table("sites"))}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def fresh(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of a new environment with the wheel in it; what it depends on is lent by this one."""
    home = tmp_path_factory.mktemp("fresh")
    venv.create(home)
    (library,) = home.glob("lib/python*/site-packages")
    here = sysconfig.get_paths()
    lent = dict.fromkeys([here["purelib"], here["platlib"]])
    (library / "lent.pth").write_text("\n".join(lent), encoding="utf-8")
    flags = ["--python", str(home), "install", "--no-deps", "--no-index", "--quiet", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", *flags, str(wheel)], check=True)
    return home / "bin"


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    flags = ["--no-deps", "--no-index", "--no-compile", "--quiet", "--disable-pip-version-check", "--target"]
    subprocess.run([sys.executable, "-m", "pip", "install", *flags, str(target), str(wheel)], check=True)
    return target


def test_the_wheel_carries_every_module_configuration_and_table(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    packages = [ROOT / "envs", ROOT / "agents"]
    sources = {path.relative_to(base).as_posix() for base in packages for path in base.rglob("*") if path.is_file()}
    sources |= {f"greenhop/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "configs").rglob("*.yaml")}
    wanted = {name for name in sources if "__pycache__" not in name}
    assert {"greenhop/py.typed", "greenhop_agents/py.typed", "greenhop/data/sites.yaml"} <= wanted
    assert wanted - inside == set()


def test_the_wheel_carries_no_tests_and_no_third_package(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"greenhop", "greenhop_agents"}


def test_scenarios_load_from_the_wheel_in_another_directory(installed: Path, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(installed)}
    run = subprocess.run([sys.executable, "-c", VISIT], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout)
    assert all(Path(home).is_relative_to(installed) for home in seen["home"])
    assert sorted(seen["sites"]) == scenario_names()
    assert all(count >= 2 for count in seen["sites"].values())
    assert seen["rows"] > 0


def ask(fresh: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run([str(fresh / "greenhop"), *arguments], cwd=folder, env=env, capture_output=True, text=True)


def test_the_command_of_a_fresh_environment_evaluates_in_any_directory(fresh: Path, tmp_path: Path) -> None:
    where = subprocess.run(
        [str(fresh / "python"), "-c", "import greenhop, greenhop_agents; print(greenhop.__file__)"],
        cwd=tmp_path, capture_output=True, text=True, env={"PATH": os.environ["PATH"]}, check=True,
    )  # fmt: skip
    assert Path(where.stdout.strip()).is_relative_to(fresh.parent), "the wheel is what is imported, not the checkout"
    helped = ask(fresh, tmp_path, "--help")
    assert helped.returncode == 0, helped.stderr
    assert "evaluate" in helped.stdout
    listed = ask(fresh, tmp_path, "list")
    assert listed.returncode == 0, listed.stderr
    assert all(name in listed.stdout for name in (*scenario_names(), "pretrained/pair2-shac"))
    day = ("scenario=pair2", "scenario.episode.length_h=24", "scenario.years.test=1", "episodes=1")
    done = ask(fresh, tmp_path, "evaluate", *day, "policy=stay", "json=out.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out.json").read_text())[0]["policy"] == "stay"
    wrong = ask(fresh, tmp_path, "evaluate", "scenario=pair3")
    assert wrong.returncode == 2
    assert wrong.stderr.count("\n") == 1
