"""Greenhop: reinforcement learning for compute-power coordination, scored against a certified optimum.

Importing this package registers the environments; torch is only imported when one is made.
"""

from gymnasium.envs.registration import register

__version__ = "0.1.0"

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
    "Hub10Y2030-v1": "hub10-2030",
    "Hub10Min15-v1": "hub10-15min",
    "Hub12-v1": "hub12",
    "City57-v1": "city57",
}

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
