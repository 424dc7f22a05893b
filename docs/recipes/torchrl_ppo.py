"""PPO with TorchRL on the batched simulator: pip install 'greenhop[torchrl]', then python docs/recipes/torchrl_ppo.py

`greenhop.TorchRLEnv` is a TorchRL environment whose batch is the simulator's own: tensors in,
tensors out, on any device, no worker processes. The rest is TorchRL as its tutorials write it.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from numpy.typing import NDArray
from tensordict.nn import TensorDictModule
from tensordict.nn.distributions import NormalParamExtractor
from torch import nn
from torchrl.collectors import Collector
from torchrl.modules import ProbabilisticActor, TanhNormal, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

from greenhop import TorchRLEnv, build_simulator
from greenhop_agents import score


def net(inputs: int, hidden: int, outputs: int, gain: float) -> nn.Sequential:
    """Two hidden layers; a small `gain` starts near zero, which is price following."""
    last = nn.Linear(hidden, outputs)
    nn.init.orthogonal_(last.weight, gain)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), last)


def parse_args() -> argparse.Namespace:
    """Settings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", default="pair2", help="a name or a YAML file")
    parser.add_argument("--length-h", type=int, default=24, help="hours of an episode")
    parser.add_argument("--total-timesteps", type=int, default=300_000)
    parser.add_argument("--num-envs", type=int, default=64)
    parser.add_argument("--minibatch", type=int, default=384)
    parser.add_argument("--update-epochs", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--eval-episodes", type=int, default=8)
    return parser.parse_args()


def main() -> None:
    """Train, then score on held-out episodes."""
    args = parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    overrides = [f"episode.length_h={args.length_h}"]
    sim = build_simulator(args.scenario, "train", overrides=overrides)
    env = TorchRLEnv(sim, args.num_envs, args.seed, baseline="price_follow")
    obs_size, action_size = env.sim.obs_size, env.sim.action_size

    extract = NormalParamExtractor(scale_mapping="biased_softplus_0.2", scale_lb=1e-3)
    head = nn.Sequential(net(obs_size, args.hidden, 2 * action_size, 0.01), extract)
    policy = ProbabilisticActor(
        TensorDictModule(head, in_keys=["observation"], out_keys=["loc", "scale"]),
        in_keys=["loc", "scale"],
        spec=env.action_spec,
        distribution_class=TanhNormal,
        return_log_prob=True,
    )
    value = ValueOperator(net(obs_size, args.hidden, 1, 1.0), in_keys=["observation"])
    advantage = GAE(gamma=1.0, lmbda=1.0, value_network=value)
    loss = ClipPPOLoss(policy, value, clip_epsilon=0.2, entropy_bonus=False)
    optimizer = torch.optim.Adam(loss.parameters(), lr=args.learning_rate)
    frames = args.num_envs * env.sim.params.steps  # one whole episode of every environment
    iterations = max(1, args.total_timesteps // frames)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, iterations)

    collector = Collector(
        env, policy, frames_per_batch=frames, total_frames=iterations * frames, auto_register_policy_transforms=False
    )
    for i, batch in enumerate(collector):
        for _ in range(args.update_epochs):
            with torch.no_grad():
                advantage(batch)
            flat = batch.reshape(-1)
            for index in torch.randperm(len(flat)).split(args.minibatch):
                losses = loss(flat[index])
                optimizer.zero_grad()
                (losses["loss_objective"] + losses["loss_critic"]).backward()
                nn.utils.clip_grad_norm_(loss.parameters(), 0.5)
                optimizer.step()
        schedule.step()
        if i % max(1, iterations // 20) == 0:
            earned = float(batch["next", "reward"].sum() / args.num_envs)
            print(f"step {(i + 1) * frames:>9,}: an episode earns {earned:+.4f} beyond price following")
    collector.shutdown()

    def act(obs: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            return torch.tanh(head(torch.as_tensor(obs, device=env.device))[0]).cpu().numpy()

    table = score(act, args.scenario, overrides=overrides, episodes=args.eval_episodes, name="torchrl_ppo")
    print(table.round(3).to_string())


if __name__ == "__main__":
    main()
