"""Many agents, one a hub: what makes PettingZoo's environments. PettingZoo is only imported when one is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from greenhop.gym.env import HubEnv
from greenhop.gym.pay import Baseline, Paid
from greenhop.scenario.config import ScenarioConfig, Split

if TYPE_CHECKING:
    from pettingzoo import AECEnv

    from greenhop.communities.hub_agents import HubAgents
    from greenhop.episode.simulator import Simulator


def parallel_env(
    scenario: ScenarioConfig | str = "hub10",
    split: Split = "train",
    *,
    reward: Paid = "shared",
    overrides: Sequence[str] = (),
    year_ids: Sequence[int] | None = None,
    device: str = "cpu",
    render_mode: str | None = None,
    compile: bool | None = None,
    baseline: Baseline = "none",
    sim: Simulator | None = None,
) -> HubAgents:
    """A network of hubs as a PettingZoo parallel environment, one agent for each hub.

    Args:
        scenario: a shipped name, the path of a YAML file, or a checked scenario.
        split: train, val or test, which share no weather.
        reward: `shared`: every agent earns what the network earns; `own`: what its own hub does.
        overrides: of the scenario, such as `episode.length_h=24`.
        year_ids: years of the split; all of them by default.
        device: of the simulator.
        render_mode: `rgb_array` or `ansi`.
        compile: machine code, torch (False), or what is possible (None).
        baseline: of shared rewards, `none` or `price_follow`.
        sim: a simulator that exists already, instead of all that describes one.

    Raises:
        ConfigError: anything that these do not allow, or PettingZoo is not installed.
    """
    from greenhop.communities.hub_agents import HubAgents

    env = HubEnv(
        scenario,
        split,
        overrides=overrides,
        year_ids=year_ids,
        device=device,
        render_mode=render_mode,
        compile=compile,
        reward="bill",  # which those of single hubs add up to
        baseline=baseline,
        sim=sim,
    )
    return HubAgents(env, reward, compile)


def aec_env(scenario: ScenarioConfig | str = "hub10", split: Split = "train", **options: Any) -> AECEnv[str, Any, Any]:
    """The same with agents that take turns; the network steps when the last of them has decided.

    Args:
        scenario: as for `parallel_env`.
        split: as for `parallel_env`.
        options: the others of `parallel_env`.

    Raises:
        ConfigError: as `parallel_env`.
    """
    made = parallel_env(scenario, split, **options)
    from pettingzoo.utils import parallel_to_aec, wrappers

    return wrappers.OrderEnforcingWrapper(parallel_to_aec(made))
