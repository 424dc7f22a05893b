"""The network as many agents, one a hub: PettingZoo's parallel environment.

Each hub sees its own part and what the others publish, and places its own bids. Rewards are shared, or what each hub
pays itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from greenhop.engines.hub_bills import HubBills
from greenhop.episode.observations import OBS_LIMIT
from greenhop.errors import ActionError, ConfigError
from greenhop.gym.env import HubEnv
from greenhop.gym.hub_views import hub_views
from greenhop.gym.interface import checked_action
from greenhop.gym.pay import Paid
from greenhop.gym.viewer import RENDER_MODES

try:
    from pettingzoo import ParallelEnv
except ImportError:
    raise ConfigError("one agent for each hub needs PettingZoo: pip install 'greenhop[pettingzoo]'") from None

if TYPE_CHECKING:
    from greenhop.episode.simulator import Simulator


class HubAgents(ParallelEnv[str, NDArray[np.float32], NDArray[Any]]):
    """One agent for each hub of a network.

    * Observation: float32 `[V]`, the same size for every hub, see `greenhop.gym.hub_views.HubViews`.
    * Action: float32 `[M]` in −1…1, the hub's bids for its work, its stores and its meter; zero follows prices.
    * Reward: `shared`, what `HubEnv` pays as `bill`, to every agent; or `own`, minus what the hub pays, which add up to
      it: who sends data pays for them, and what is left at the end is billed where it is (`greenhop.physics.shares`).
    * Termination: of all agents at once, after `sim.params.steps` steps, as in `HubEnv`.
    * State: `state()`, the observation of the whole network; `env.sim` holds the pure functions.

    `greenhop.parallel_env` makes it.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "name": "greenhop_v1",
        "render_modes": list(RENDER_MODES),
        "render_fps": 8,
        "is_parallelizable": True,
    }

    def __init__(self, env: HubEnv, reward: Paid = "shared", compile: bool | None = None) -> None:
        if reward not in get_args(Paid):
            raise ConfigError(f"reward = {reward!r} is unknown; allowed: {', '.join(get_args(Paid))}")
        if reward == "own" and env.tensors.pay.baseline != "none":
            raise ConfigError("reward = 'own' has no baseline: what price following earns is known of the network only")
        self.env, self.reward, self.render_mode = env, reward, env.render_mode
        self.views = hub_views(env.sim)
        self.possible_agents = list(env.sim.params.regions)
        self.agents: list[str] = []
        self.state_space = env.observation_space
        self._bills = HubBills(env.sim, compile) if reward == "own" else None
        low, high = -OBS_LIMIT, OBS_LIMIT
        self.observation_spaces = {
            hub: gym.spaces.Box(low, high, (self.views.size,), np.float32) for hub in self.possible_agents
        }
        self.action_spaces = {
            hub: gym.spaces.Box(-1.0, 1.0, (self.views.bids,), np.float32) for hub in self.possible_agents
        }
        self._seen: NDArray[np.float32] | None = None

    @property
    def sim(self) -> Simulator:
        """The simulator of the network."""
        return self.env.sim

    def observation_space(self, agent: str) -> gym.Space[Any]:
        """What a hub sees."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gym.Space[Any]:
        """What a hub decides."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, dict[str, Any]]]:
        """Begin an episode, as `HubEnv.reset` does; options other than `start` are let pass, as PettingZoo wants it."""
        known = {name: value for name, value in (options or {}).items() if name == "start"}
        obs, info = self.env.reset(seed=seed, options=known)
        self.agents = list(self.possible_agents)
        return self._told(obs), {hub: dict(info) for hub in self.agents}

    def step(
        self, actions: Mapping[str, NDArray[Any]]
    ) -> tuple[
        dict[str, NDArray[np.float32]], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]
    ]:
        """One step of the network; `info` of every agent is the network's, with `reward` own also its `bill_cny`.

        Raises:
            ActionError: an agent without an action, or an action that is none.
        """
        if not self.agents:
            return {}, {}, {}, {}, {}
        action = self._joined(actions)
        before = self.env.tensors.engine.keep() if self._bills is not None else None
        obs, reward, terminated, truncated, info = self.env.step(action)
        each = dict.fromkeys(self.agents, reward)
        infos = {hub: dict(info) for hub in self.agents}
        if self._bills is not None and before is not None:
            bills = self._bills(before(), torch.from_numpy(action)[None].to(self.sim.params.device))[0].tolist()
            for hub, bill in zip(self.agents, bills, strict=True):
                each[hub], infos[hub]["bill_cny"] = -bill / self.sim.params.cost_scale_cny, bill
        hubs, told = self.agents, self._told(obs)
        self.agents = [] if terminated or truncated else hubs
        return told, each, dict.fromkeys(hubs, terminated), dict.fromkeys(hubs, truncated), infos

    def state(self) -> NDArray[np.float32]:
        """`[O]` the observation of the whole network, as in `HubEnv`.

        Raises:
            ActionError: no episode has begun.
        """
        if self._seen is None:
            raise ActionError("no episode has begun: call reset() first")
        return self._seen.copy()

    def render(self) -> NDArray[np.uint8] | str | None:
        """A picture of the network, as `HubEnv.render` makes it."""
        return self.env.render()

    def close(self) -> None:
        """Nothing is held open."""
        self.env.close()

    def _told(self, obs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """What every hub sees of an observation `[O]`."""
        self._seen = obs
        views = self.views.observe(torch.from_numpy(obs)[None].to(self.sim.params.device))[0].cpu().numpy()
        return {hub: view.copy() for hub, view in zip(self.possible_agents, views, strict=True)}

    def _joined(self, actions: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """The action `[A]` of the network."""
        missing = [hub for hub in self.agents if hub not in actions]
        if missing:
            raise ActionError(f"no action of {', '.join(missing)}; every hub decides in every step")
        bids = np.stack([checked_action(actions[hub], (self.views.bids,)) for hub in self.agents])
        return self.views.action(torch.from_numpy(bids)[None].to(self.sim.params.device))[0].cpu().numpy()
