"""PPO with TorchRL on the batched simulator: pip install 'greenhop[torchrl]', then python docs/recipes/torchrl_ppo.py

`GreenhopEnv` is a TorchRL environment whose batch is the simulator's own: tensors in, tensors out, on any device, no
worker processes and no copies. The rest is TorchRL as its tutorials write it.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from numpy.typing import NDArray
from tensordict import TensorDict, TensorDictBase
from tensordict.nn import TensorDictModule
from tensordict.nn.distributions import NormalParamExtractor
from torch import Tensor, nn
from torchrl.collectors import Collector
from torchrl.data import Bounded, Composite, Unbounded
from torchrl.envs import EnvBase
from torchrl.modules import ProbabilisticActor, TanhNormal, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

from greenhop.episode.simulator import Simulator, build_simulator
from greenhop.gym.tensor_env import TensorVectorEnv
from greenhop_agents import score


class GreenhopEnv(EnvBase):
    """`num_envs` environments as one TorchRL environment with batch size `[num_envs]`.

    Rewards count beyond those of price following in the same step of the same episode, which takes out what the
    weather does to the bill.
    """

    def __init__(self, sim: Simulator, num_envs: int, seed: int = 0) -> None:
        super().__init__(device=sim.params.device, batch_size=[num_envs])
        self.sim = sim
        self.tensors = TensorVectorEnv(sim, num_envs, seed, compile=None, baseline="price_follow")
        flat = {"device": self.device, "dtype": torch.float32}
        self.observation_spec = Composite(
            observation=Unbounded((num_envs, sim.obs_size), **flat), shape=(num_envs,), device=self.device
        )
        self.action_spec = Bounded(-1.0, 1.0, (num_envs, sim.action_size), **flat)
        self.reward_spec = Unbounded((num_envs, 1), **flat)

    def _reset(self, tensordict: TensorDictBase | None = None, **kwargs: object) -> TensorDictBase:
        mask = None if tensordict is None else tensordict.get("_reset", None)
        obs = self.tensors.reset() if mask is None else self.tensors.restart(mask.reshape(-1).cpu().numpy())
        return TensorDict({"observation": obs, **self._ended(False)}, self.batch_size, device=self.device)

    def _step(self, tensordict: TensorDictBase) -> TensorDictBase:
        with torch.no_grad():
            obs, reward, ended, _ = self.tensors.step(tensordict["action"].contiguous())
        out = {"observation": obs, "reward": reward.unsqueeze(-1), **self._ended(bool(ended.all()))}
        return TensorDict(out, self.batch_size, device=self.device)

    def _ended(self, over: bool) -> dict[str, Tensor]:
        """Episodes that begin together end together, and by time alone; the last step has priced what they leave."""
        done = torch.full((*self.batch_size, 1), over, dtype=torch.bool, device=self.device)
        return {"terminated": done, "truncated": torch.zeros_like(done), "done": done.clone()}

    def _set_seed(self, seed: int | None) -> None:
        self.tensors.reset(seed)


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
    env = GreenhopEnv(build_simulator(args.scenario, "train", overrides=overrides), args.num_envs, args.seed)
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
