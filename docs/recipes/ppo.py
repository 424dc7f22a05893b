"""PPO in one file, in the manner of CleanRL: python docs/recipes/ppo.py --scenario pair2

Copy it and change what you like; it needs the vector environment, torch and the scoring of Greenhop, nothing else.
Two things are not in the textbook. Rewards count beyond what price following earns in the same step of the same episode
(`baseline`): the weather moves the bill far more than any action does, and the difference takes it out without changing
what is best. And an episode counts as a whole (gamma 1, nothing added at its end), as its last step has priced what it
leaves.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributions import Normal

from greenhop.episode.simulator import build_simulator
from greenhop.gym.vector_env import HubVectorEnv
from greenhop_agents import score


def parse_args() -> argparse.Namespace:
    """Settings, named as in CleanRL."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", default="pair2", help="a name or a YAML file")
    parser.add_argument("--length-h", type=int, default=24, help="hours of an episode")
    parser.add_argument("--total-timesteps", type=int, default=300_000)
    parser.add_argument("--num-envs", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--gae-lambda", type=float, default=1.0)
    parser.add_argument("--num-minibatches", type=int, default=4)
    parser.add_argument("--update-epochs", type=int, default=4)
    parser.add_argument("--clip-coef", type=float, default=0.2)
    parser.add_argument("--vf-coef", type=float, default=0.5)
    parser.add_argument("--max-grad-norm", type=float, default=0.5)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--log-std", type=float, default=-1.5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--eval-episodes", type=int, default=8)
    return parser.parse_args()


def layer(inputs: int, outputs: int, gain: float) -> nn.Linear:
    """Orthogonal weights, zero bias."""
    linear = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(linear.weight, gain)
    nn.init.zeros_(linear.bias)
    return linear


class Agent(nn.Module):
    """Actor and critic; the actor starts at the zero action, which follows prices."""

    def __init__(self, obs_size: int, action_size: int, hidden: int, log_std: float) -> None:
        super().__init__()

        def net(outputs: int, gain: float) -> nn.Sequential:
            body = (layer(obs_size, hidden, 2**0.5), nn.Tanh(), layer(hidden, hidden, 2**0.5), nn.Tanh())
            return nn.Sequential(*body, layer(hidden, outputs, gain))

        self.actor_mean, self.critic = net(action_size, 0.01), net(1, 1.0)
        self.actor_log_std = nn.Parameter(torch.full((action_size,), log_std))

    def policy(self, obs: Tensor) -> Normal:
        """A Gaussian over actions `[B, A]`; the environment clips what leaves −1…1."""
        return Normal(self.actor_mean(obs), self.actor_log_std.exp())

    def value(self, obs: Tensor) -> Tensor:
        """`[B]`."""
        return self.critic(obs).squeeze(-1)


class Batch(dict[str, Tensor]):
    """Named tensors `[T, B, …]` of one rollout."""

    def flat(self) -> dict[str, Tensor]:
        """`[T·B, …]`."""
        return {name: x.flatten(0, 1) for name, x in self.items()}


def collect(envs: HubVectorEnv, agent: Agent, seed: int | None) -> Batch:
    """One whole episode of every environment; all end together. Without a seed the next ones."""
    rows: list[dict[str, Tensor]] = []
    obs, _ = envs.reset(seed=seed)
    for _ in range(envs.sim.params.steps):
        seen = torch.as_tensor(obs)
        with torch.no_grad():
            policy, value = agent.policy(seen), agent.value(seen)
            action = policy.sample()
        obs, reward, _, _, _ = envs.step(action.numpy())
        log_prob, earned = policy.log_prob(action).sum(-1), torch.as_tensor(reward, dtype=torch.float32)
        rows.append({"obs": seen, "action": action, "log_prob": log_prob, "value": value, "reward": earned})
    return Batch({name: torch.stack([row[name] for row in rows]) for name in rows[0]})


def gae(reward: Tensor, value: Tensor, gae_lambda: float) -> Tensor:
    """Advantages `[T, B]` of whole episodes: `A_t = δ_t + λ·A_{t+1}`, `δ_t = r_t + V_{t+1} − V_t`, `V_T = 0`."""
    advantage, last = torch.zeros_like(reward), torch.zeros_like(reward[0])
    after = torch.cat((value[1:], torch.zeros_like(value[:1])))
    delta = reward + after - value
    for t in range(len(reward) - 1, -1, -1):
        last = delta[t] + gae_lambda * last
        advantage[t] = last
    return advantage


def update(agent: Agent, optimizer: torch.optim.Optimizer, batch: Batch, args: argparse.Namespace) -> None:
    """Clipped surrogate and value loss over minibatches."""
    advantage = gae(batch["reward"], batch["value"], args.gae_lambda)
    data = Batch({**batch, "advantage": advantage, "returns": advantage + batch["value"]}).flat()
    for _ in range(args.update_epochs):
        for index in torch.randperm(len(data["obs"])).chunk(args.num_minibatches):
            part = {name: x[index] for name, x in data.items()}
            ratio = (agent.policy(part["obs"]).log_prob(part["action"]).sum(-1) - part["log_prob"]).exp()
            scaled = (part["advantage"] - part["advantage"].mean()) / (part["advantage"].std() + 1e-8)
            clipped = ratio.clamp(1 - args.clip_coef, 1 + args.clip_coef)
            policy_loss = -torch.min(ratio * scaled, clipped * scaled).mean()
            value_loss = (agent.value(part["obs"]) - part["returns"]).square().mean()
            optimizer.zero_grad()
            (policy_loss + args.vf_coef * value_loss).backward()
            nn.utils.clip_grad_norm_(agent.parameters(), args.max_grad_norm)
            optimizer.step()


def main() -> None:
    """Train, then score on held-out episodes."""
    args = parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)  # networks this small only lose by more
    overrides = [f"episode.length_h={args.length_h}"]
    sim = build_simulator(args.scenario, "train", overrides=overrides)
    # gym.make_vec("greenhop:Pair2-v1", num_envs=…, overrides=…, baseline="price_follow") makes the same
    envs = HubVectorEnv(args.num_envs, sim=sim, baseline="price_follow")
    agent = Agent(sim.obs_size, sim.action_size, args.hidden, args.log_std)
    optimizer = torch.optim.Adam(agent.parameters(), lr=args.learning_rate, eps=1e-5)
    frames = sim.params.steps * args.num_envs
    iterations = max(1, args.total_timesteps // frames)
    for i in range(iterations):
        optimizer.param_groups[0]["lr"] = args.learning_rate * (1 - i / iterations)
        batch = collect(envs, agent, args.seed if i == 0 else None)
        update(agent, optimizer, batch, args)
        if i % max(1, iterations // 20) == 0:
            earned = float(batch["reward"].sum(0).mean())
            print(f"step {(i + 1) * frames:>9,}: an episode earns {earned:+.4f} beyond price following")

    def act(obs: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            return agent.actor_mean(torch.as_tensor(obs)).clamp(-1, 1).numpy()

    table = score(act, args.scenario, overrides=overrides, episodes=args.eval_episodes, name="ppo")
    print(table.round(3).to_string())


if __name__ == "__main__":
    main()
