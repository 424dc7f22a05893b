"""One agent a hub, one policy for all: python docs/recipes/pettingzoo_sb3.py (pip install 'greenhop[pettingzoo]')

The hubs of PettingZoo's parallel environments become the environments of a Stable-Baselines3 vector: a PPO that knows
nothing of networks then trains one policy which every hub uses on its own view. Rewards are shared and count beyond
those of price following.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv

import greenhop
from greenhop.gym.hub_views import hub_views
from greenhop_agents import score


class HubsAsEnvs(VecEnv):
    """Every hub of every network as one environment; networks begin and end by themselves."""

    def __init__(self, networks: list[Any], seed: int) -> None:
        self.networks, self.hubs = networks, networks[0].possible_agents
        self._seed: int | None = seed
        space = (networks[0].observation_space(self.hubs[0]), networks[0].action_space(self.hubs[0]))
        super().__init__(len(networks) * len(self.hubs), *space)

    def reset(self) -> NDArray[np.float32]:
        """Begin everywhere."""
        seeds = [None if self._seed is None else self._seed + i for i in range(len(self.networks))]
        self._seed = None
        return np.concatenate([self._rows(n.reset(seed=s)[0]) for n, s in zip(self.networks, seeds, strict=True)])

    def _rows(self, told: dict[str, Any]) -> NDArray[Any]:
        return np.stack([told[hub] for hub in self.hubs])

    def step_async(self, actions: NDArray[np.float32]) -> None:
        """Keep the actions of all hubs."""
        self._actions = actions.reshape(len(self.networks), len(self.hubs), -1)

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """One step of every network."""
        rows, infos = [], []
        for network, actions in zip(self.networks, self._actions, strict=True):
            obs, reward, terminated, truncated, _ = network.step(dict(zip(self.hubs, actions, strict=True)))
            seen, over = self._rows(obs), not network.agents
            for i, hub in enumerate(self.hubs):
                cut = truncated[hub] and not terminated[hub]
                infos.append({"terminal_observation": seen[i], "TimeLimit.truncated": cut} if over else {})
            rows.append((self._rows(network.reset()[0]) if over else seen, self._rows(reward), over))
        ends = np.repeat([over for _, _, over in rows], len(self.hubs))
        obs, paid = (np.concatenate([row[i] for row in rows]) for i in (0, 1))
        return obs, paid.astype(np.float32), ends, infos

    def close(self) -> None:
        """Nothing is held open."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The same of every environment."""
        return [getattr(self.networks[0], attr_name)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Not wanted here."""
        raise NotImplementedError

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Not wanted here."""
        raise NotImplementedError

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """None is."""
        return [False] * self.num_envs


def parse_args() -> argparse.Namespace:
    """Settings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", default="pair2", help="a name or a YAML file")
    parser.add_argument("--length-h", type=int, default=24, help="hours of an episode")
    parser.add_argument("--total-timesteps", type=int, default=150_000, help="steps of networks, all together")
    parser.add_argument("--networks", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--eval-episodes", type=int, default=8)
    return parser.parse_args()


def main() -> None:
    """Train, then score on held-out episodes."""
    args = parse_args()
    torch.set_num_threads(1)
    overrides = [f"episode.length_h={args.length_h}"]
    asked: dict[str, Any] = {"overrides": overrides, "baseline": "price_follow"}
    first = greenhop.parallel_env(args.scenario, **asked)
    others = [greenhop.parallel_env(sim=first.sim, baseline="price_follow") for _ in range(args.networks - 1)]
    envs, steps = HubsAsEnvs([first, *others], args.seed), first.sim.params.steps
    model = PPO(
        "MlpPolicy", envs, n_steps=steps, batch_size=max(2, steps * envs.num_envs // 4), n_epochs=4, gamma=1.0,
        gae_lambda=1.0, learning_rate=lambda left: 1e-3 * left, seed=args.seed, device="cpu",
        policy_kwargs={"net_arch": [64, 64], "log_std_init": -1.6},
    )  # fmt: skip
    model.learn(args.total_timesteps * len(envs.hubs))
    views = hub_views(first.sim)

    def act(obs: NDArray[np.float32]) -> NDArray[np.float32]:
        seen = views.observe(torch.as_tensor(obs))
        bids, _ = model.predict(seen.flatten(0, 1).numpy(), deterministic=True)
        return views.action(torch.as_tensor(bids).reshape(*seen.shape[:2], -1)).numpy()

    table = score(act, args.scenario, overrides=overrides, episodes=args.eval_episodes, name="pettingzoo_sb3")
    print(table.round(3).to_string())


if __name__ == "__main__":
    main()
