"""Greenhop: reinforcement learning for compute-power coordination, scored against a certified optimum.

Importing this package registers the environments; torch is only imported when one is made.
"""

from gymnasium.envs.registration import register

__version__ = "0.1.0"

ENV_IDS = {"Pair2-v0": "pair2", "Tri3-v0": "tri3", "Hub10-v0": "hub10"}

for _id, _scenario in ENV_IDS.items():
    register(
        id=_id,
        entry_point="greenhop.env:HubEnv",
        vector_entry_point="greenhop.vector_env:HubVectorEnv",
        kwargs={"scenario": _scenario},
        disable_env_checker=False,
    )
