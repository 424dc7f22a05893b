"""Scenario files that are hostile or absurd: one line within a second, and no number without a limit."""

from __future__ import annotations

import time
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from annotated_types import Le, Lt
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from greenhop.cards.settings import reachable
from greenhop.errors import ConfigError
from greenhop.scenario.config import ScenarioConfig
from greenhop.scenario.find import compose_scenario, config_dir, load_scenario
from greenhop.scenario.limits import LIMITS, Limited, limit_of
from greenhop.scenario.plain_yaml import MOST_BYTES, load_yaml
from greenhop_agents.benchmark.plan import make_plan
from greenhop_agents.training.train import check_agent
from scripts.settings_page import groups as settings_groups

HEAD = "defaults: [pair2, _self_]\nname: own\n"


def doubling(form: str) -> str:
    """Sixty names that each stand for two of another; `form` says how, in terms of I and J."""
    return "".join(form.replace("I", str(i)).replace("J", str(i + 1)) for i in range(60))


BOMBS = {
    "aliases": (
        "a0: &a0 [x, x]\n" + doubling("aJ: &aJ [*aI, *aI]\n"),
        "stands for more than",
    ),
    "aliases as keys": (
        "a0: &a0 {k: x, l: x}\n" + doubling("aJ: &aJ {k: *aI, l: *aI}\n"),
        "stands for more than",
    ),
    "interpolations": (doubling("aI: '${aJ}${aJ}'\n"), "interpolations"),
    "a cycle of aliases": ("description: &a [*a]\n", r"\*a stands inside what it stands for"),
    "a wider cycle": ("description: &a {k: &b [*a, *b]}\n", "stands inside what it stands for"),
    "a cycle of interpolations": ("description: ${demand}\ndemand: ${description}\n", "ecursive"),
    "many levels": (f"description: {'[' * 5000}{']' * 5000}\n", "levels deep"),
    "many bytes": (f"description: {'x' * MOST_BYTES}\n", "bytes"),
    "a base that is itself": ("defaults: [own, _self_]\n", "lead back to itself"),
    "bytes that are no text": ("description: \udcff\udcfe\n", "no UTF-8 text"),
    "control characters": ("description: a\x07b\n", "control characters"),
}


@pytest.mark.parametrize("case", BOMBS)
def test_a_file_that_would_grow_without_end_is_refused_within_a_second(tmp_path: Path, case: str) -> None:
    text, reason = BOMBS[case]
    path = tmp_path / "own.yaml"
    path.write_text(text if "defaults" in text else HEAD + text, encoding="utf-8", errors="surrogateescape")
    load_scenario("pair2")  # imports what loading needs
    began = time.process_time()
    with pytest.raises(ConfigError, match=reason) as caught:
        load_scenario(path)
    assert time.process_time() - began < 1.0
    assert "own.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_builds_on_another_must_say_where_its_own_keys_come(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("defaults: [pair2]\nname: own\n")
    with pytest.raises(ConfigError, match=r"defaults = \['pair2'\] .*: add _self_; in .*own\.yaml"):
        load_scenario(path)
    path.write_text("defaults: [pair2]\n")  # nothing of its own
    assert load_scenario(path).name == "pair2"


def test_a_bomb_in_a_file_that_another_builds_on_is_found(tmp_path: Path) -> None:
    (tmp_path / "bomb.yaml").write_text(BOMBS["aliases"][0])
    (tmp_path / "own.yaml").write_text("defaults: [bomb, _self_]\nname: own\n")
    with pytest.raises(ConfigError, match=r"bomb\.yaml: stands for more"):
        load_scenario(tmp_path / "own.yaml")


def test_aliases_and_interpolations_may_be_used(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(HEAD + "market: &m {green_target: 0.5}\ndemand: {multiplier: '${market.green_target}'}\n")
    assert load_scenario(path).demand.multiplier == 0.5
    path.write_text("a: &a [1, 2]\nb: [*a, *a]\n")
    assert load_yaml(path) == {"a": [1, 2], "b": [[1, 2], [1, 2]]}


def test_a_scenario_may_lie_in_a_folder_of_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "中 文 (1) a=b,c 'd'"
    folder.mkdir()
    (folder / "我的 场景.yaml").write_text("defaults: [pair2, _self_]\nname: 我的\n", encoding="utf-8")
    assert load_scenario(folder / "我的 场景.yaml").name == "我的"


@pytest.mark.parametrize(
    "name", ["../../../escaped", "a\0b", "", ".", "..", ".hidden", "a/b", "a\\b", "a\nb", "x" * 65]
)
def test_a_name_that_could_lead_elsewhere_is_refused(name: str) -> None:
    data = compose_scenario("pair2")
    for changed in (data | {"name": name}, data | {"storage": {name: next(iter(data["storage"].values()))}}):
        with pytest.raises(ValueError, match="letters, digits, spaces"):
            ScenarioConfig.model_validate(changed)


ABSURD = {
    "deferrable.batch_inference.window_h": 1e300,
    "deferrable.batch_inference.restart_overhead": 5e37,
    "deferrable.batch_inference.gb_per_mwh": 1e300,
    "episode.length_h": 1e9,
    "episode.start_every_h": 1e-300,
    "years.train": 10**9,
    "seed": 10**30,
    "sites.horinger.it_capacity_mw": 1e-30,
    "sites.horinger.wind_mw": 1e30,
    "storage.horinger_battery.power_mw": 1e-30,
    "storage.horinger_battery.efficiency_charge": 1e-30,
    "market.lost_load_cny_per_mwh": 1e30,
    "demand.mean_loading": 0.0001,
    "demand.origin_decay_km": 1e-30,
    "decoder.width_cny_per_mwh": 1e-30,
    "forecast.horizon_h": 10**9,
}


@pytest.mark.parametrize("key", ABSURD)
def test_an_absurd_number_is_refused_with_what_is_allowed_and_why(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_scenario("pair2", [f"{key}={ABSURD[key]}"])
    assert str(caught.value).startswith(f"{key} = ")
    assert "at most" in str(caught.value) or "at least" in str(caught.value)


def test_more_deadlines_than_can_be_kept_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"window_h = 8736 must be 1 to 400 times quantum_h = 4"):
        load_scenario("pair2", ["deferrable.batch_inference.window_h=8736"])


def test_an_episode_has_at_least_one_step() -> None:
    with pytest.raises(ConfigError, match="not a whole number of steps"):
        load_scenario("pair2", ["episode.length_h=0.01"])


@pytest.mark.parametrize("group", ["Agents", "Benchmark"])
def test_every_model_of_agents_and_benchmarks_has_limits(group: str) -> None:
    assert all(issubclass(model, Limited) for model in reachable(settings_groups()[group]).values())


ABSURD_AGENTS = {
    "ppo": ["options.num_envs", "options.horizon", "options.network.width", "options.final_target_kl"],
    "shac": ["options.network.layers", "options.horizon", "options.learning_rate"],
    "linear_es": ["options.population", "options.episodes", "options.std"],
    "sb3_ppo": ["num_envs", "group_size", "options.n_steps", "options.policy_kwargs.net_arch.0"],
    "sb3_td3": ["options.buffer_size", "action_noise", "options.gradient_steps"],
}


@pytest.mark.parametrize(("agent", "key"), [(agent, key) for agent, keys in ABSURD_AGENTS.items() for key in keys])
def test_an_absurd_agent_is_refused_with_what_is_allowed_and_why(agent: str, key: str) -> None:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        config = compose("train", [f"agent={agent}", "output=x"])
    OmegaConf.update(config.agent, key, 10**15, force_add=True)
    with pytest.raises(ConfigError, match=r": at most [0-9]") as caught:
        check_agent(OmegaConf.to_container(config.agent, resolve=True))
    told = str(caught.value).partition(":")[0].partition(" = ")[0]
    assert f"agent.{key.removesuffix('.net_arch.0')}".endswith(told)


@pytest.mark.parametrize("key", ["episodes", "total_steps", "time_limit_s"])
def test_an_absurd_benchmark_is_refused_with_what_is_allowed_and_why(key: str) -> None:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        config = compose("benchmark", ["benchmark=smoke", "output=x", f"benchmark.{key}={10**15}"])
    with pytest.raises(ConfigError, match=f"{key} = {10**15}.*: at most [0-9]"):
        make_plan(config)


def models() -> list[type[BaseModel]]:
    """Every model of scenarios, agents, benchmarks, studies and shared keys."""
    others = [roots for title, roots in settings_groups().items() if not title.startswith("Import")]
    return list(dict.fromkeys(model for roots in others for model in reachable(roots).values()))


def is_bounded(name: str, annotation: Any, metadata: list[Any]) -> bool:
    """Whether numbers of this type have a largest value."""
    if get_origin(annotation) is Annotated:
        inner, *extra = get_args(annotation)
        more = [m for e in extra for m in (e.metadata if isinstance(e, FieldInfo) else [e])]
        return is_bounded(name, inner, [*metadata, *more])
    if get_origin(annotation) in (Union, UnionType):
        return all(is_bounded(name, part, metadata) for part in get_args(annotation))
    if annotation not in (int, float):
        return True
    return limit_of(name) is not None or any(isinstance(m, Le | Lt) for m in metadata)


@pytest.mark.parametrize("model", models(), ids=lambda model: model.__name__)
def test_every_number_of_a_setting_has_an_upper_limit(model: type[BaseModel]) -> None:
    known = {"dt_h"}  # one of three values
    unbounded = [
        name
        for name, field in model.model_fields.items()
        if name not in known and not is_bounded(name, field.annotation, list(field.metadata))
    ]
    assert not unbounded


def test_limits_are_in_order_and_have_reasons() -> None:
    assert all(limit.least < limit.most and limit.reason for limit in LIMITS.values())
