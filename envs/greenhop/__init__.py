"""Greenhop: reinforcement learning for compute-power coordination, scored against a certified optimum.

Importing this package registers the environments; torch is only imported when one is made.
"""

from gymnasium.envs.registration import register

__version__ = "0.1.0"

ENV_IDS = {
    "Pair2-v0": "pair2",
    "Tri3-v0": "tri3",
    "Hub10-v0": "hub10",
    "Hub10Outage-v0": "hub10-outage",
    "Hub10Calm-v0": "hub10-calm",
    "Hub10Surge-v0": "hub10-surge",
    "Hub10Offgrid-v0": "hub10-offgrid",
    "Hub10Spot-v0": "hub10-spot",
    "Hub10Direct-v0": "hub10-direct",
    "Hub10Y2030-v0": "hub10-2030",
    "Hub10Min15-v0": "hub10-15min",
    "Hub12-v0": "hub12",
    "City57-v0": "city57",
}

for _id, _scenario in ENV_IDS.items():
    register(
        id=_id,
        entry_point="greenhop.gym.env:HubEnv",
        vector_entry_point="greenhop.gym.vector_env:HubVectorEnv",
        kwargs={"scenario": _scenario},
        disable_env_checker=False,
    )
