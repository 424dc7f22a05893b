"""PPO with RLlib: pip install 'greenhop[ray]' 'ray[rllib]', then python docs/recipes/rllib_ppo.py

RLlib pins a version of Gymnasium of its own, so give it a virtual environment of its own. Its runners step Gymnasium
environments, whose rewards count beyond those of price following, as in the other recipes.
"""

from __future__ import annotations

import argparse
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.algorithms.ppo import PPOConfig
from ray.tune.registry import register_env

from greenhop import ENV_IDS
from greenhop_agents import score

ENV = "greenhop"
REACH = np.float32(
    5.0
)  # RLlib's noise begins at 1: on actions in −5…5 that is a fifth of the range instead of all of it


def make_env(config: dict[str, Any]) -> gym.Env[Any, Any]:
    """What every runner steps."""
    overrides = [f"episode.length_h={config['length_h']}"]
    env = gym.make(f"greenhop:{config['env_id']}", overrides=overrides, baseline="price_follow")
    return gym.wrappers.RescaleAction(env, -REACH, REACH)


def parse_args() -> argparse.Namespace:
    """Settings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env-id", default="Pair2-v1", help=f"one of {', '.join(ENV_IDS)}")
    parser.add_argument("--length-h", type=int, default=24, help="hours of an episode")
    parser.add_argument("--iterations", type=int, default=50)
    parser.add_argument("--runners", type=int, default=0, help="processes that step; 0: this one")
    parser.add_argument("--num-envs", type=int, default=16, help="environments of a runner")
    parser.add_argument("--batch", type=int, default=1536, help="steps of an iteration")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--eval-episodes", type=int, default=8)
    return parser.parse_args()


def main() -> None:
    """Train, then score on held-out episodes."""
    args = parse_args()
    register_env(ENV, make_env)
    config = (
        PPOConfig()
        .environment(ENV, env_config={"env_id": args.env_id, "length_h": args.length_h}, normalize_actions=False)
        .env_runners(num_env_runners=args.runners, num_envs_per_env_runner=args.num_envs)
        .training(
            lr=1e-3, gamma=1.0, lambda_=1.0, clip_param=0.2, vf_clip_param=10.0, use_kl_loss=False, entropy_coeff=0.0,
            train_batch_size_per_learner=args.batch, minibatch_size=min(384, args.batch), num_epochs=4,
        )
        .rl_module(model_config={"fcnet_hiddens": [128, 128], "free_log_std": True, "vf_share_layers": False})
        .debugging(seed=args.seed)
    )  # fmt: skip
    algorithm = config.build_algo()
    for i in range(args.iterations):
        result = algorithm.train()
        earned = result["env_runners"].get("episode_return_mean", float("nan"))
        print(f"iteration {i + 1}: an episode earns {earned:+.4f} beyond price following")
    module = algorithm.get_module()

    def act(obs: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            out = module.forward_inference({"obs": torch.as_tensor(obs)})["action_dist_inputs"]
        return (out.chunk(2, dim=-1)[0] / REACH).clamp(-1, 1).numpy()  # the mean of the Gaussian

    overrides = [f"episode.length_h={args.length_h}"]
    scenario = ENV_IDS[args.env_id]
    table = score(act, scenario, overrides=overrides, episodes=args.eval_episodes, name="rllib_ppo")
    print(table.round(3).to_string())
    algorithm.stop()


if __name__ == "__main__":
    main()
