"""Greenhop: reinforcement learning for compute-power coordination, scored against a certified optimum.

Importing this package registers the environments; torch is only imported when one is made.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gymnasium.envs.registration import register

from greenhop.saying import at_work

if TYPE_CHECKING:
    from greenhop.communities.constrained import CostInfo, SixTuple
    from greenhop.communities.many_agents import aec_env, parallel_env
    from greenhop.communities.mo_env import HubMOEnv
    from greenhop.communities.torchrl_env import TorchRLEnv as TorchRLEnv  # not in __all__: it imports TorchRL
    from greenhop.episode.simulator import Simulator, build_simulator
    from greenhop.errors import ActionError, ConfigError, DataError, GreenhopError, SolverError
    from greenhop.gym.env import HubEnv
    from greenhop.gym.jobs_env import HubJobsEnv
    from greenhop.gym.tensor_env import TensorVectorEnv
    from greenhop.gym.vector_env import HubVectorEnv
    from greenhop.scenario.find import load_scenario, scenario_names

__all__ = [
    "ENV_IDS",
    "JOB_ENV_IDS",
    "MO_ENV_IDS",
    "ActionError",
    "ConfigError",
    "CostInfo",
    "DataError",
    "GreenhopError",
    "HubEnv",
    "HubJobsEnv",
    "HubMOEnv",
    "HubVectorEnv",
    "Simulator",
    "SixTuple",
    "SolverError",
    "TensorVectorEnv",
    "aec_env",
    "build_simulator",
    "load_scenario",
    "parallel_env",
    "scenario_names",
]

__version__ = "0.2.0"

ENV_IDS = {
    "Pair2-v1": "pair2",
    "Tri3-v1": "tri3",
    "Hub10-v1": "hub10",
    "Hub10Outage-v1": "hub10-outage",
    "Hub10Calm-v1": "hub10-calm",
    "Hub10Surge-v1": "hub10-surge",
    "Hub10Offgrid-v1": "hub10-offgrid",
    "Hub10Spot-v1": "hub10-spot",
    "Hub10Direct-v1": "hub10-direct",
    "Hub10Carbon-v1": "hub10-carbon",
    "Hub10Y2030-v1": "hub10-2030",
    "Hub10Min15-v1": "hub10-15min",
    "Hub12-v1": "hub12",
    "City57-v1": "city57",
}

JOB_ENV_IDS = {"Pair2Jobs-v1": "pair2-jobs", "Hub10Jobs-v1": "hub10-jobs"}  # the same with single jobs

MO_ENV_IDS = {"Pair2MO-v1": "pair2", "Hub10MO-v1": "hub10"}  # the same with a reward vector

for _id, _scenario in MO_ENV_IDS.items():
    register(  # Gymnasium's checker wants a number as reward
        id=_id,
        entry_point="greenhop.communities.mo_env:HubMOEnv",
        kwargs={"scenario": _scenario},
        disable_env_checker=True,
    )

for _id, _scenario in JOB_ENV_IDS.items():
    register(id=_id, entry_point="greenhop.gym.jobs_env:HubJobsEnv", kwargs={"scenario": _scenario})

for _id, _scenario in ENV_IDS.items():
    register(
        id=_id.replace("-v1", "-v0"),  # so that an old name ends in a line that says what to do
        entry_point="greenhop.gym.retired:retired",
        vector_entry_point="greenhop.gym.retired:retired",
        kwargs={"replaced_by": _id},
    )
    register(
        id=_id,
        entry_point="greenhop.gym.env:HubEnv",
        vector_entry_point="greenhop.gym.vector_env:HubVectorEnv",
        kwargs={"scenario": _scenario},
        disable_env_checker=False,
    )

_HOME = {  # where a public name lives
    "greenhop.episode.simulator": ("Simulator", "build_simulator"),
    "greenhop.errors": ("ActionError", "ConfigError", "DataError", "GreenhopError", "SolverError"),
    "greenhop.communities.constrained": ("CostInfo", "SixTuple"),
    "greenhop.gym.env": ("HubEnv",),
    "greenhop.communities.many_agents": ("aec_env", "parallel_env"),
    "greenhop.gym.jobs_env": ("HubJobsEnv",),
    "greenhop.communities.mo_env": ("HubMOEnv",),
    "greenhop.communities.torchrl_env": ("TorchRLEnv",),
    "greenhop.gym.tensor_env": ("TensorVectorEnv",),
    "greenhop.gym.vector_env": ("HubVectorEnv",),
    "greenhop.scenario.find": ("load_scenario", "scenario_names"),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            with at_work(f"importing {module}"):
                return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *(name for names in _HOME.values() for name in names)})
