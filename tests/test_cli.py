"""The scripts as a user meets them: one line for a mistake, help at once, figures for machines, clean interrupts."""

from __future__ import annotations

import csv
import json
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from greenhop.physics.rewards import REPORTED
from greenhop.scenario.find import config_dir
from greenhop_agents.base.overrides import own_output
from greenhop_agents.commands.demo import discard
from greenhop_agents.commands.main import command_modules
from greenhop_agents.shelf.seeds import SeedResult, merit

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
QUICK = ("scenario=pair2", "scenario.episode.length_h=24", "scenario.years.test=1")
TINY = (
    "agent=ppo",
    "agent.options.num_envs=4",
    "agent.options.group_size=2",
    "agent.options.horizon=3",
    "agent.options.network.width=8",
    "total_steps=24",
    "scenario.episode.length_h=6",
    "scenario.years.train=1",
    "scenario.years.val=1",
    "validation.episodes=1",
    "evaluation.episodes=2",
)


class Outcome(NamedTuple):
    """How a script ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Runs a script of the repository in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(name: str, *arguments: str) -> Outcome:
        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "argv", [str(SCRIPTS / f"{name}.py"), *arguments])
        code = 0
        try:
            runpy.run_path(str(SCRIPTS / f"{name}.py"), run_name="__main__")
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0
        return Outcome(code, *capsys.readouterr())

    return call


def own_scenario(folder: Path, text: str) -> str:
    path = folder / "own.yaml"
    path.write_text(text, encoding="utf-8")
    return f"scenario={path}"


MISTAKES = {
    "unknown key": ("evaluate", ["polcy=stay"], "polcy", "did you mean policy?"),
    "unknown scenario key": (
        "evaluate",
        ["scenario.market.green_targt=0.5"],
        "green_targt",
        "did you mean green_target?",
    ),
    "unknown scenario": ("evaluate", ["scenario=hub11"], "scenario=hub11", "did you mean hub1"),
    "unknown scenario in a sweep": ("evaluate", ["-m", "scenario=pair2,hub11"], "scenario=hub11", "did you mean hub1"),
    "unknown agent": ("train", ["agent=sb3_pp"], "agent=sb3_pp", "did you mean sb3_ppo?"),
    "unknown policy": ("evaluate", [*QUICK, "policy=price_folow"], "price_folow", "did you mean price_follow?"),
    "unknown split": ("evaluate", ["split=dev"], "split = 'dev'", "'test'"),
    "unknown solver": ("bound", ["solver.name=gurobi"], "solver.name = 'gurobi'", "bound.yaml"),
    "unknown device": ("evaluate", [*QUICK, "device=abacus"], "device = 'abacus'", "auto, cpu, cuda"),
    "unknown option": ("evaluate", ["--quick"], "--quick", "--help"),
    "wrong type": ("evaluate", ["episodes=many"], "episodes = 'many'", "evaluate.yaml"),
    "wrong type in the scenario": (
        "bound",
        ["scenario.market.green_target=much"],
        "market.green_target = 'much'",
        "hub10",
    ),
    "wrong option of the agent": (
        "train",
        [*QUICK, "scenario.years.train=1", "scenario.years.val=1", "output=run", "+agent.options.n_step=3"],
        "agent.options",
        "n_step",
    ),
    "a seed twice": ("train", [*QUICK, "seeds=[1,2,1]"], "seeds = [1, 2, 1]", "twice"),
    "seeds and resume": ("train", [*QUICK, "seeds=[0,1]", "resume=run"], "resume = 'run'", "no run folder"),
    "a seed below zero": ("train", ["seeds=[0,-1]"], "seeds.1 = -1", "train.yaml"),
    "nothing to publish": ("publish", ["name=x"], "run", "publish.yaml"),
    "publishing what is no run": ("publish", ["run=nowhere", "name=x"], "nowhere", "no run folder"),
    "not a whole number": ("train", ["total_steps=10.5"], "total_steps = 10.5", "train.yaml"),
    "value out of range": ("bound", ["scenario.market.green_target=1.5"], "market.green_target = 1.5", "hub10"),
    "no episode": ("bound", ["episodes=0"], "episodes = 0", "bound.yaml"),
    "more episodes than there are": ("evaluate", [*QUICK, "episodes=9999"], "episodes = 9999", "test"),
    "steps that do not fit": (
        "bound",
        ["scenario.dt_h=0.5", "scenario.episode.length_h=1.3"],
        "episode.length_h = 1.3",
        "dt_h",
    ),
    "wrong unit": ("bound", ["scenario.sites.guian.wind_kw=5"], "sites.guian.wind_kw", "did you mean wind_mw?"),
    "missing file": ("evaluate", ["scenario=nowhere/own.yaml"], "nowhere/own.yaml", "does not exist"),
    "json into a missing folder": (
        "bound",
        [*QUICK, "json=nowhere/x.json"],
        "json = 'nowhere/x.json'",
        "does not exist",
    ),
    "replay into a missing folder": ("evaluate", [*QUICK, "replay=nowhere/x.html"], "replay = ", "nowhere"),
    "json onto a folder": ("bound", [*QUICK, "json=."], "json = '.'", "folder"),
    "sweep without -m": ("bound", ["seed=1", "scenario=pair2,tri3"], "scenario=pair2,tri3", "-m"),
    "broken override": ("bound", ["episodes=[1"], "episodes=[1", "command line"),
    "no override": ("bound", ["pair2"], "pair2", "command line"),
    "half of a path": ("bound", ["output=a", "b/x"], "b/x", "spaces need quotation marks"),
    "a path with a comma": ("train", ["output=a,b"], "output=a,b", "\"output='…'\""),
    "json below a file": ("bound", [*QUICK, f"json={__file__}/x.json"], "json = ", "does not exist"),
    "no seeds": ("train", [*QUICK, "seeds=[]"], "seeds = []", "train.yaml"),
    "a validation that is too frequent": ("train", [*QUICK, "validation.every=-0.1"], "validation.every = -0.1", ""),
    "a validation that never comes": ("train", [*QUICK, "validation.every=2"], "validation.every = 2", "train.yaml"),
    "an unknown key of validation": ("train", [*QUICK, "+validation.evry=0.1"], "validation.evry", "every"),
    "a name that leads elsewhere": ("evaluate", [*QUICK, "scenario.name=../x"], "name = '../x'", "letters"),
    "an agent's name that leads elsewhere": ("train", [*QUICK, "agent.name=../x"], "agent.name = '../x'", "letters"),
    "options that are none": ("train", [*QUICK, "agent.options=2"], "agent.options = 2", "train.yaml"),
    "a warm start that is none": ("train", [*QUICK, "agent.warm_start=3"], "agent.warm_start = 3", "train.yaml"),
    "more evaluations than there are": (
        "train",
        [*QUICK, "evaluation.episodes=100000"],
        "evaluation.episodes = 100000",
        "test",
    ),
    "more validations than there are": (
        "train",
        [*QUICK, "validation.episodes=100000"],
        "validation.episodes = 100000",
        "val",
    ),
    "an absurd number of workers": ("bound", [*QUICK, "workers=1000000"], "workers = 1000000", "at most"),
    "a seed beyond what libraries take": ("train", [*QUICK, "seed=99999999999"], "seed = 99999999999", "train.yaml"),
    "an output below a file": ("train", [*QUICK, f"output={__file__}/run"], "output = ", "cannot be a run folder"),
    "an output in a system's folder": ("train", [*QUICK, "output=/proc/run"], "output = '/proc/run'", ""),
    "a learning rate below zero": ("train", [*QUICK, "agent.options.learning_rate=-1"], "learning_rate", "-1"),
    "rollouts of no step": ("train", [*QUICK, "agent.options.n_steps=0"], "n_steps", "0"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_line_that_names_key_and_place(script: Any, case: str, tmp_path: Path) -> None:
    name, arguments, key, hint = MISTAKES[case]
    assert_one_line(script(name, *arguments), key, hint)
    assert not list(tmp_path.iterdir()), "nothing may be left behind"


def assert_one_line(ended: Outcome, *parts: str) -> None:
    assert ended.code == 2
    assert ended.out == ""
    *told, error = ended.err.splitlines()
    assert error.startswith("error: ")
    progress = ("it is kept for next time", "/s]", ": at work for ")
    assert all(any(part in line for part in progress) for line in told if line)
    for part in parts:
        assert part in error


FILES = {
    "duplicate region": ("defaults: [pair2, _self_]\nsites:\n  guian: {}\n  guian: {wind_mw: 3}\n", "guian"),
    "link to nowhere": ("defaults: [pair2, _self_]\nlinks:\n  far: {between: [horinger, atlantis]}\n", "atlantis"),
    "unknown site": ("defaults: [pair2, _self_]\nsites:\n  atlantis: {}\n", "atlantis"),
    "unknown base": ("defaults: [pair3, _self_]\n", "pair3"),
    "no mapping": ("- 1\n- 2\n", "own.yaml"),
    "no YAML": ("sites: {a: [}\n", "own.yaml"),
    "unknown key": ("defaults: [pair2, _self_]\nsits: {}\n", "sits"),
    "twice the same link": (
        "defaults: [pair2, _self_]\nlinks:\n  again: {between: [yangtze_demo, horinger]}\n",
        "twice",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_a_mistake_in_a_scenario_file_is_one_line_that_names_the_file(script: Any, case: str, tmp_path: Path) -> None:
    text, key = FILES[case]
    assert_one_line(script("evaluate", own_scenario(tmp_path, text)), key, "own")
    assert [path.name for path in tmp_path.iterdir()] == ["own.yaml"]


def test_an_output_folder_that_exists_is_refused_and_left_alone(script: Any, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "note").write_text("mine")
    ended = script("train", *QUICK, "scenario.years.train=1", "output=run", "total_steps=10")
    assert_one_line(ended, "output = 'run'", "exists")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["note"]


@pytest.mark.parametrize("name", ["train", "evaluate", "bound", "demo"])
def test_help_names_keys_and_choices(script: Any, name: str) -> None:
    ended = script(name, "--help")
    assert ended.code == 0
    assert all(word in ended.out for word in ("scenario: ", "hub10", "pair2", "json: null", "own.yaml", "-m "))
    assert "hydra:" not in ended.out


def test_help_waits_for_nothing_that_is_slow_to_import() -> None:
    code = (
        "import pathlib, runpy, sys\n"
        f"for path in sorted(pathlib.Path({str(SCRIPTS)!r}).glob('*.py')):\n"
        "    sys.argv = [path.name, '--help']\n"
        "    try: runpy.run_path(str(path), run_name='__main__')\n"
        "    except SystemExit as stop: assert not stop.code, path\n"
        "    slow = {'torch', 'hydra', 'pandas', 'scipy', 'stable_baselines3', 'matplotlib', 'highspy'}\n"
        "    assert not slow & set(sys.modules), f'{path.name} imports {slow & set(sys.modules)}'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("--help") >= 2  # the plain scripts
    assert done.stdout.count("sweeps over") == len(list(config_dir().glob("*.yaml")))


def test_evaluate_writes_a_record_per_episode(script: Any, tmp_path: Path) -> None:
    ended = script("evaluate", *QUICK, "policy=stay", "episodes=3", "json=out.json")
    assert ended.code == 0, ended.err
    assert "stay" in ended.out
    records = json.loads((tmp_path / "out.json").read_text())
    assert [r["episode"] for r in records] == [0, 1, 2]
    for record in records:
        assert {"policy", "cost_cny", *REPORTED} <= set(record)
        assert record["policy"] == "stay"
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_evaluate_scores_against_the_bound_when_asked(script: Any, tmp_path: Path) -> None:
    ended = script("evaluate", *QUICK, "policy=stay", "episodes=1", "bound=true", "workers=1", "json=out.json")
    assert ended.code == 0, ended.err
    assert all(word in ended.out for word in ("stay", "price_follow", "bound", "100.0"))
    (record,) = json.loads((tmp_path / "out.json").read_text())
    assert record["bound_cny"] < record["cost_cny"]


def test_evaluate_writes_the_first_episode_as_a_page_to_play_and_as_a_table(script: Any, tmp_path: Path) -> None:
    files = ("replay=day.html", "csv=day.csv")
    ended = script("evaluate", *QUICK, "policy=stay", "episodes=1", "bound=true", "workers=1", *files)
    assert ended.code == 0, ended.err
    with (tmp_path / "day.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["policy"] for row in rows} == {"stay", "price_follow", "bound"}
    text = (tmp_path / "day.html").read_text(encoding="utf-8")
    assert all(f'"name":"{name}"' in text for name in ("stay", "price_follow", "bound"))


def test_policies_side_by_side_are_compared_in_cost_and_decision_time(script: Any, tmp_path: Path) -> None:
    ended = script("evaluate", *QUICK, "policy=price_follow", "beside=[stay,mpc]", "episodes=1", "json=out.json")
    assert ended.code == 0, ended.err
    assert re.search(r"price_follow decides [\d,]+ times as fast as mpc", ended.out)
    records = json.loads((tmp_path / "out.json").read_text())
    assert [r["policy"] for r in records] == ["price_follow", "stay", "mpc"]
    assert records[2]["decision_s"] > records[0]["decision_s"]


def test_a_run_is_published_and_found_by_its_name(script: Any, tmp_path: Path) -> None:
    ended = script("train", *QUICK, *TINY, "output=run")
    assert ended.code == 0, ended.err
    ended = script("publish", "run=run", "name=tiny", "folder=shelf")
    assert ended.code == 0, ended.err
    assert "policy=pretrained/tiny" in ended.out
    assert sorted(path.name for path in (tmp_path / "shelf").iterdir()) == ["tiny.json", "tiny.safetensors"]
    card = json.loads((tmp_path / "shelf" / "tiny.json").read_text())
    assert [len(r["score"]) for r in card["results"]["runs"]] == [2]


def test_bound_writes_certified_records(script: Any, tmp_path: Path) -> None:
    ended = script("bound", *QUICK, "episodes=2", "workers=1", "json=out.json")
    assert ended.code == 0, ended.err
    records = json.loads((tmp_path / "out.json").read_text())
    assert [set(r) for r in records] == [{"episode", "bound_cny", "replay_cny", "relative_gap", "seconds"}] * 2
    assert all(abs(r["relative_gap"]) <= 1e-6 for r in records)


def test_a_scenario_of_ones_own_may_build_on_a_shipped_one(script: Any, tmp_path: Path) -> None:
    text = "defaults: [pair2, _self_]\nname: mine\nepisode: {length_h: 24}\nyears: {test: 1}\n"
    scenario = own_scenario(tmp_path, text)
    ended = script("evaluate", scenario, "scenario.market.green_target=0.3", "episodes=1")
    assert ended.code == 0, ended.err
    assert "mine, test" in ended.out


def test_several_seeds_make_a_run_folder_each_and_one_summary(script: Any, tmp_path: Path) -> None:
    ended = script("train", *QUICK, *TINY, "output=runs/x-s0", "seeds=[0,3]", "json=all.json")
    assert ended.code == 0, ended.err
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["x-s0", "x-s3", "x-seeds.json"]
    assert all(word in ended.out for word in ("2 seeds", "IQM of the scores", "runs/x-s3"))
    assert all(word in ended.err for word in ("training ppo on pair2, seed 3", "saving ", "step/s"))
    found = json.loads((tmp_path / "runs" / "x-seeds.json").read_text())
    assert [r["seed"] for r in found["runs"]] == [0, 3]
    scores = [s for r in found["runs"] for s in r["score"]]
    assert len(scores) == 4
    assert found["iqm_score"]["value"] == pytest.approx(sum(sorted(scores)[1:3]) / 2)
    records = json.loads((tmp_path / "all.json").read_text())
    assert {(r["seed"], r["policy"]) for r in records} >= {(0, "ppo"), (3, "ppo"), (3, "bound")}
    again = script("train", *QUICK, *TINY, "output=runs/x", "seeds=[3,4]")
    assert_one_line(again, "runs/x-s3", "exists already")
    alone = script("train", "resume=runs/x-s3")
    assert alone.code == 0, alone.err


def test_sweeps_run_every_combination(script: Any, tmp_path: Path) -> None:
    arguments = ("policy=stay,price_follow", "-m", "episodes=1", "json='${policy}.json'")
    ended = script("evaluate", *QUICK, *arguments)
    assert ended.code == 0, ended.err
    policies = [json.loads((tmp_path / f"{name}.json").read_text())[0]["policy"] for name in ("stay", "price_follow")]
    assert policies == ["stay", "price_follow"]


def test_values_need_no_quotation_marks_beyond_those_of_the_shell(script: Any, tmp_path: Path) -> None:
    folder = tmp_path / "中 文 (1) a=b"
    folder.mkdir()
    ended = script("evaluate", *QUICK, "policy=stay", "episodes=1", f"json={folder}/out 1.json")
    assert ended.code == 0, ended.err
    assert len(json.loads((folder / "out 1.json").read_text())) == 1


def test_a_sweep_of_training_has_a_folder_for_each_job(script: Any, tmp_path: Path) -> None:
    swept = ("agent.options.learning_rate=1e-3,1e-4", "seed=0,1")
    ended = script("train", "-m", *QUICK, *TINY, *swept, "evaluation.bound=false")
    assert ended.code == 0, ended.err
    made = sorted(path.name for path in (tmp_path / "runs" / "pair2").iterdir())
    assert made == [f"ppo-s{s}-learning_rate={r}" for s in (0, 1) for r in ("0.0001", "0.001")]


@pytest.mark.parametrize(
    ("overrides", "made"),
    [
        (["agent=ppo,shac"], []),
        (["seed=0,1"], []),
        (
            ["agent.options.horizon=1,2"],
            ["output='runs/${scenario.name}/${agent.name}-s${seed}-horizon=${agent.options.horizon}'"],
        ),
        (["output=x", "seed=0,1"], ["output='x-seed=${seed}'"]),
        (["output=x/", "agent=ppo,shac"], ["output='x-agent=${hydra:runtime.choices.agent}'"]),
        (["output=a,b", "seed=0,1"], []),
        (["seed=3"], []),
    ],
)
def test_jobs_that_would_share_a_folder_are_parted_by_what_is_swept(overrides: list[str], made: list[str]) -> None:
    base = OmegaConf.load(config_dir() / "train.yaml")
    parsed = [OverridesParser.create().parse_override(text) for text in overrides]
    assert own_output(parsed, base) == made  # type: ignore[arg-type]


def test_a_sweeper_is_given_the_score(tmp_path: Path) -> None:
    good, better = (SeedResult(0, "x", [1.0], [score]) for score in (10.0, 30.0))
    assert merit([good, better]) == 20.0
    assert merit([SeedResult(0, "x", [5.0, 7.0], None)]) == -6.0


LIMITED = """
import resource, runpy, signal, sys
sys.argv = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("agent", ["ppo", "sb3_ppo"])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, agent: str) -> None:
    tiny = [text for text in TINY if "agent" not in text or agent == "ppo"]
    command = [sys.executable, "-c", LIMITED, str(SCRIPTS / "train.py"), *QUICK, *tiny, f"agent={agent}", "output=run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "File too large" in done.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())


TINY_DEMO = (
    *QUICK, "scenario.years.train=1", "scenario.years.val=1", "total_steps=48", "agent.num_envs=2",
    "agent.group_size=2", "agent.options.batch_size=48", "validation.episodes=2", "evaluation.episodes=3", "workers=1",
)  # fmt: skip


def test_the_demo_trains_scores_and_draws_and_can_be_repeated(script: Any, tmp_path: Path) -> None:
    ended = script("demo", *TINY_DEMO, "json=out.json")
    assert ended.code == 0, ended.err
    for word in ("stay", "price_follow", "greenest", "sb3_ppo", "bound", "tensorboard --logdir"):
        assert word in ended.out
    assert "training sb3_ppo on pair2" in ended.err
    records = json.loads((tmp_path / "out.json").read_text())
    assert sorted({r["policy"] for r in records}) == ["bound", "greenest", "price_follow", "sb3_ppo", "stay"]
    folder = tmp_path / "runs" / "demo"
    written = {path.name for path in folder.iterdir()}
    assert written >= {"config.yaml", "run.json", "policy.safetensors", "evaluation.json", "day.png", "tensorboard"}
    assert script("evaluate", *QUICK, "policy=runs/demo", "episodes=3").code == 0
    assert discard(folder), "the next demo begins by removing it"
    assert not folder.exists()
    assert not discard(folder)


def test_the_demo_never_removes_what_it_did_not_write(script: Any, tmp_path: Path) -> None:
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    (tmp_path / "runs" / "demo" / "thesis.tex").write_text("mine")
    assert_one_line(script("demo", *TINY_DEMO), "output = 'runs/demo'", "thesis.tex")
    assert (tmp_path / "runs" / "demo" / "thesis.tex").read_text() == "mine"


def test_numbers_may_be_written_as_people_write_them(script: Any, tmp_path: Path) -> None:
    ended = script("evaluate", *QUICK, "episodes=1e0", "json=out.json")
    assert ended.code == 0, ended.err
    assert len(json.loads((tmp_path / "out.json").read_text())) == 1


def test_the_composed_configuration_can_be_printed(script: Any) -> None:
    ended = script("bound", "scenario=pair2", "--cfg", "job")
    assert ended.code == 0, ended.err
    assert "name: pair2" in ended.out


def test_a_user_error_gives_exit_code_2_from_a_shell_in_another_folder(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPTS / "bound.py"), "scenario=hub11"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert_one_line(Outcome(done.returncode, done.stdout, done.stderr), "hub11")


def hear_interrupts() -> None:
    """A test run in the background ignores them, and its children would too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_an_interrupt_ends_a_script_with_one_word(tmp_path: Path) -> None:
    months = "scenario.episode.length_h=8400"  # long enough not to end before it is interrupted
    command = [sys.executable, str(SCRIPTS / "evaluate.py"), *QUICK, months, "episodes=1", "policy=price_follow"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=hear_interrupts,
    ) as running:
        assert running.stderr is not None
        assert running.stderr.read(1), "the progress bar shows that it runs"
        time.sleep(0.2)
        os.killpg(running.pid, signal.SIGINT)
        _, rest = running.communicate(timeout=60)
    assert running.returncode == 130
    assert rest.endswith("interrupted\n")
    assert "Traceback" not in rest
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", sorted(config_dir().glob("*.yaml")), ids=lambda path: path.stem)
def test_every_script_configuration_has_a_script_and_says_how_to_run_it(path: Path) -> None:
    assert (SCRIPTS / f"{path.stem}.py").is_file()
    (name,) = [name for name, module in command_modules().items() if module == path.stem]
    assert f"greenhop {name}" in path.read_text(encoding="utf-8").splitlines()[0]


def test_make_speed_writes_a_record_for_every_way_to_make_an_environment(script: Any, tmp_path: Path) -> None:
    quick = ("ids=[Pair2-v1]", "batches=[1,8]", "seconds=0.02", "repetitions=1", "json=out.json")
    ended = script("make_speed", *quick)
    assert ended.code == 0, ended.err
    records = json.loads((tmp_path / "out.json").read_text())
    assert len({(r["way"], r["num_envs"]) for r in records}) == len(records) == 16
    assert all(r["env_steps_per_s"] > 0 for r in records)
    assert "SB3: make_vec_env" in ended.out
    assert_one_line(script("make_speed", "ids=[Pair3-v1]"), "ids", "Pair2-v1")


def test_compare_refuses_what_it_does_not_know(script: Any) -> None:
    assert_one_line(script("compare", "ids=[Pair3-v1]"), "ids", "Pair2-v1")
    assert_one_line(script("compare", "batches=[0]"), "batches", "from 1")


def test_speed_writes_a_record_per_scenario_batch_and_mode(script: Any, tmp_path: Path) -> None:
    quick = ("scenarios=[pair2]", "batches=[2]", "repetitions=1", "seconds=0.01")
    ended = script("speed", *quick, "modes=[eager_step,eager,eager_gradient]", "device=cpu", "json=out.json")
    assert ended.code == 0
    assert "a copy moves" in ended.out
    records = json.loads((tmp_path / "out.json").read_text())
    assert [(r["scenario"], r["batch"], r["mode"], r["device"]) for r in records] == [
        ("pair2", 2, "eager_step", "cpu"),
        ("pair2", 2, "eager", "cpu"),
        ("pair2", 2, "eager_gradient", "cpu"),
    ]
    assert all(r["env_steps_per_s"] > 0 and r["floor_bytes"] > 0 for r in records)
    assert all(r["bytes_per_env_step"] > r["floor_bytes"] for r in records[:2])
    assert_one_line(script("speed", "modes=[fast]"), "modes", "eager")


def test_odd_values_of_single_commands_are_one_line(script: Any) -> None:
    assert_one_line(script("replay_jobs", "scenario=pair2-jobs", "start=1.5"), "start = 1.5", "whole number")
    assert_one_line(script("replay_jobs", "scenario=pair2-jobs", "trace=absent"), "trace = 'absent' is no file")
    assert_one_line(script("publish", "run=absent", "name=x", "others=3"), "others = 3", "list")
    assert_one_line(script("publish", "name=x"), "run must be given", "publish.yaml")
    assert_one_line(script("evaluate", "scenario=pair2", "policy=stay", "device=meta"), "meta", "allowed")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder that refuses files in its own way")
def test_a_folder_that_takes_no_files_is_one_line(script: Any) -> None:
    day = ("scenario=pair2", "scenario.episode.length_h=6", "episodes=1")
    for command, *rest in (("evaluate", "policy=stay", "json=/proc/x"), ("bound", "prices=/proc/x.npz")):
        ended = script(command, *day, *rest)
        assert ended.code == 2
        assert ended.err.splitlines()[-1].startswith("error: No such file or directory: /proc/")
        assert "Traceback" not in ended.err
