"""What a policy is worth, as data frames: the functions that `import greenhop_agents` offers.

from greenhop_agents import score
print(score("mpc", "pair2", episodes=4))
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from greenhop.devices import plain_torch
from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.saying import at_work
from greenhop.scenario.config import ScenarioConfig, Split
from greenhop_agents.policies.policy import Policy
from greenhop_agents.scoring.bounds import episode_bounds
from greenhop_agents.scoring.evaluate import Episode
from greenhop_agents.scoring.evaluate import evaluate as run_episodes
from greenhop_agents.scoring.foreign import Act, foreign_policy
from greenhop_agents.scoring.scoreboard import summarise
from greenhop_agents.shelf.find import find_policy

REFERENCE = "price_follow"  # what scores 0
Agent = str | Path | Policy | Act


@plain_torch()
def load_policy(name: str | Path, sim: Simulator) -> Policy:
    """A policy by its name, or that of a trained agent from its run folder.

    Args:
        name: a rule or planner (`price_follow`, `mpc`, …), a published policy (`pretrained/pair2-shac`) or the path of
            a run folder; `greenhop list` prints the names.
        sim: the simulator it shall act on.

    Raises:
        ConfigError: nothing of that name, or a run trained on another scenario's shapes.
    """
    return find_policy(str(name), sim)


@plain_torch()
def evaluate(
    policy: Agent,
    scenario: ScenarioConfig | str = "hub10",
    *,
    overrides: Sequence[str] = (),
    split: Split = "test",
    episodes: int = 8,
    name: str = "agent",
) -> pd.DataFrame:
    """Run a policy on held-out episodes, spread over years and seasons.

    Args:
        policy: anything `load_policy` takes, a policy, or a function from float32 observations `[B, O]` to actions
            `[B, A]` in −1…1.
        scenario: a name (`greenhop list`), the path of a YAML file, or a scenario that is loaded already.
        overrides: changes of the scenario, such as `episode.length_h=24`.
        split: `train`, `val` or `test`: whose years.
        episodes: how many.
        name: what a function is called in the table.

    Returns:
        One row per episode: `cost_cny`, `green_share`, `missed_share`, every cost term in CNY, every quantity with its
        unit in its name, and `decision_s`, the wall time of a decision.

    Raises:
        ConfigError: a policy, scenario, split or number of episodes that does not exist.
        ActionError: actions that do not fit the scenario.
    """
    sim, starts = _episodes(scenario, overrides, split, episodes)
    done = _run(sim, _found(policy, sim, name), starts)
    return pd.DataFrame([e.as_row() for e in done]).set_index("episode")


@plain_torch()
def bound(
    scenario: ScenarioConfig | str = "hub10",
    *,
    overrides: Sequence[str] = (),
    split: Split = "test",
    episodes: int = 8,
    workers: int = 1,
) -> pd.DataFrame:
    """The certified optimum of the same episodes: what no policy can cost less than. Kept on disk once it is found.

    Args:
        scenario: as for `evaluate`.
        overrides: as for `evaluate`.
        split: as for `evaluate`.
        episodes: how many, the ones that `evaluate` runs.
        workers: parallel processes; an episode of a week of `hub10` takes one of them half a minute.

    Returns:
        One row per episode: `bound_cny`, `replay_cny` (the optimal plan, billed by the simulator), `relative_gap`
        between them and `seconds` of the solver.

    Raises:
        ConfigError: a scenario, split or number of episodes that does not exist.
        SolverError: an episode that is not solved and certified.
    """
    sim, starts = _episodes(scenario, overrides, split, episodes)
    with at_work(f"certified bounds of {episodes} episodes"):
        found = episode_bounds(sim, starts.tolist(), workers=workers)
    return pd.DataFrame([b.as_row() for b in found]).set_index("episode")


@plain_torch()
def score(
    policy: Agent,
    scenario: ScenarioConfig | str = "hub10",
    *,
    beside: Sequence[Agent] = ("stay",),
    overrides: Sequence[str] = (),
    split: Split = "test",
    episodes: int = 8,
    name: str = "agent",
    workers: int = 1,
) -> pd.DataFrame:
    """Share of the achievable saving that a policy captures, beside other policies, the reference and the bound.

    Args:
        policy: as for `evaluate`.
        scenario: as for `evaluate`.
        beside: further policies on the same episodes, given like `policy`.
        overrides: as for `evaluate`.
        split: as for `evaluate`.
        episodes: as for `evaluate`.
        name: as for `evaluate`.
        workers: as for `bound`.

    Returns:
        One row per policy, means over the episodes: `cost_cny`, `score` (%: 0 is `price_follow`, 100 the certified
        optimum), `carbon_kg`, `green_share`, `missed_share`, `migrated_mwh`, `decision_s`.

    Raises:
        ConfigError: a policy, scenario, split or number of episodes that does not exist.
        ActionError: actions that do not fit the scenario.
        SolverError: an episode that is not solved and certified.
    """
    sim, starts = _episodes(scenario, overrides, split, episodes)
    policies = [_found(agent, sim, name) for agent in (policy, *beside, REFERENCE)]
    by_policy = {one.name: _run(sim, one, starts) for one in policies}
    with at_work(f"certified bounds of {episodes} episodes"):
        bounds = episode_bounds(sim, starts.tolist(), workers=workers)
    by_policy["bound"] = [b.as_episode() for b in bounds]
    lines = summarise(by_policy, [b.bound_cny for b in bounds], REFERENCE)
    return pd.DataFrame([line.as_row() for line in lines]).set_index("policy")


def _episodes(
    scenario: ScenarioConfig | str, overrides: Sequence[str], split: Split, episodes: int
) -> tuple[Simulator, NDArray[np.int64]]:
    """The simulator, and the starts of `episodes` episodes spread over its split."""
    sim = build_simulator(scenario, split, overrides=overrides)
    return sim, sim.bank.spread(episodes)


def _run(sim: Simulator, policy: Policy, starts: NDArray[np.int64]) -> list[Episode]:
    """The episodes of a policy; what takes long says so."""
    with at_work(f"{policy.name} in {len(starts)} episodes"):
        return run_episodes(sim, policy, starts)


def _found(agent: Agent, sim: Simulator, name: str) -> Policy:
    if isinstance(agent, str | Path):
        return load_policy(agent, sim)
    return agent if isinstance(agent, Policy) else foreign_policy(name, agent, sim.action_size)
