"""Proximal policy optimisation (Schulman et al., 2017) that never leaves the device: `collect`, `gae`, `update`.

    L(θ) = −mean min(ρ·A, clip(ρ, 1−ε, 1+ε)·A) + c_v·mean (V − R)² − c_e·H,   ρ = π_θ(bid|o) / π_old(bid|o)

The Gaussian lives on bids; `tanh` belongs to the environment, so it needs no Jacobian. Environments of a group live the
same episodes, and a reward counts beyond the mean of the others in its group: weather, which moves a bill far more than
any decision, cancels (input-driven baselines, Mao et al., 2019). Rewards accrue: they include the change of the state's
potential (`greenhop.physics.rewards`). The learning rate is a tensor that follows the measured KL divergence; noise and
divergence fall to the end of training, because a policy under noise is not the policy without. With budgets, rewards
also pay for what a step uses of them, at prices that rise until they are kept (`greenhop_agents.learners.multipliers`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple, Self

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from greenhop.engines.price_follow import at, price_follow_rewards
from greenhop.episode.budgets import Budgets
from greenhop.episode.simulator import Simulator
from greenhop.errors import ConfigError
from greenhop.gym.pay import Baseline, beyond_others
from greenhop.physics.rewards import RewardKind, gain
from greenhop.scenario.config import Count, NonNegative, Positive
from greenhop_agents.learners.actor_critic import ActorCritic, Tuned, check_graph
from greenhop_agents.learners.algorithm import Agent
from greenhop_agents.learners.gae import gae
from greenhop_agents.learners.multipliers import Multipliers, multipliers
from greenhop_agents.learners.native import NativeOptions, episode_metrics
from greenhop_agents.learners.networks import (
    NetworkConfig,
    build_actor,
    build_critic,
    cosine,
    entropy,
    log_prob,
    matrix_products,
)
from greenhop_agents.learners.parallel import Team
from greenhop_agents.learners.rollout import Fleet, advance, launch, ticker

RATE_STEP = 1.5  # how much the learning rate moves when KL leaves its band: as in rsl_rl
RATE_RANGE = (1e-5, 1e-2)


class PpoConfig(NativeOptions):
    """Settings of PPO."""

    num_envs: Count = 256
    """Environments stepped together."""
    horizon: Count = 24
    """Steps of a rollout."""
    epochs: Count = 8
    """Passes over a rollout."""
    batches: Count = 4
    """Minibatches of a pass."""
    gamma: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Discount per step; 1 judges an episode as a whole."""
    gae_lambda: Annotated[float, Field(ge=0.0, le=1.0)] = 0.95
    """Mix of generalised advantage estimation, from one step (0) to the whole rest (1)."""
    clip_coef: Positive = 0.2
    """Ratio of probabilities beyond which a step is clipped."""
    ent_coef: NonNegative = 0.0
    """Weight of the entropy bonus."""
    vf_coef: NonNegative = 0.5
    """Weight of the critic's loss."""
    learning_rate: Positive = 1e-3
    """Step size of Adam at the start; it follows `target_kl`."""
    target_kl: Positive | None = 0.06
    """Divergence per minibatch that the learning rate is steered to, at the start; null keeps the learning rate."""
    final_target_kl: Positive = 0.006
    """The same at the end; it falls along half a cosine."""
    final_noise: Annotated[float, Field(gt=0.0, le=1.0)] = 0.3
    """What is left of the noise on bids at the end, as a factor; it falls along half a cosine."""
    baseline: Baseline = "group"
    """What is subtracted from rewards: the mean of the others in the group, what price following earns in the same step
    of the same episode, or nothing."""
    group_size: Count = 8
    """Environments that live the same episodes; divides `num_envs`."""
    critic_warmup: Annotated[int, Field(ge=0)] = 0
    """Updates before the actor follows the critic; some after a warm start, or it is unlearnt."""
    max_grad_norm: Positive = 1.0
    """Norm that gradients are cut to."""
    reward: RewardKind = "accrual"
    """Minus the bill of a step; or with the change of what waiting work and stored energy are worth at terminal
    prices."""
    constraints: Budgets = Budgets()
    """What an episode may use on average; prices on it are learnt beside the policy."""
    multiplier_rate: Positive = 0.1
    """How fast those prices move: the share of an episode's cost by which the price of a whole budget rises in an
    update that uses it twice."""
    bf16: bool = False
    """Whether networks are updated in bfloat16 where that is safe."""
    tf32: bool = False
    """Whether float32 products of the networks are rounded to TensorFloat-32, on GPUs that have it; the simulator's
    never are."""
    compile: bool | None = None
    """Whether the step is machine code; null: on a CPU with a compiler."""
    graph: bool = False
    """Whether rollout and update are one CUDA graph: needs a GPU, and windows that divide an episode."""
    network: NetworkConfig = NetworkConfig()
    """Shape of actor and critic."""


@dataclass(kw_only=True)
class Ppo(ActorCritic):
    """PPO on a simulator."""

    parallel = True
    Options = PpoConfig
    config: PpoConfig
    optimiser: torch.optim.Optimizer
    learning_rate: Tensor
    team: Team
    scale: Tensor  # running root mean square of returns: the critic's unit
    noise: Tensor  # factor of the noise now
    target_kl: Tensor  # now
    prices: Multipliers

    @classmethod
    def build(
        cls,
        sim: Simulator,
        agent: Agent,
        seed: int,
        team: Team = Team(),  # noqa: B008 (frozen)
        reference: Tensor | None = None,
    ) -> Self:
        """Networks, optimiser, a staggered fleet; every process of a team builds the same networks and its own part."""
        config: PpoConfig = cls.options_of(agent)
        _check(sim, config)
        torch.manual_seed(seed)
        device = sim.params.device
        actor, critic = build_actor(sim, config.network), build_critic(sim, config.network)
        rate = torch.tensor(config.learning_rate, device=device)
        on_gpu = device.type == "cuda"
        parameters = [*actor.parameters(), *critic.parameters()]
        mine = team.share(config.num_envs)
        return cls(
            sim=sim,
            name=agent["name"],
            config=config,
            actor=actor,
            critic=critic,
            optimiser=torch.optim.Adam(parameters, lr=rate, capturable=on_gpu, foreach=on_gpu, eps=1e-5),
            learning_rate=rate,
            fleet=launch(sim, mine.stop - mine.start, seed, config.horizon, mine.start, config.group_size),
            step=ticker(sim, config.compile, derivative=False),
            generator=Generator(device).manual_seed(seed),
            reference=_reference(sim, config) if reference is None else reference,
            team=team,
            scale=torch.ones((), device=device),
            noise=torch.ones((), device=device),
            target_kl=torch.full((), config.target_kl or 0.0, device=device),
            prices=multipliers(config.constraints, sim.params, config.multiplier_rate),
        )

    def bids(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Mean `[B, A]` and log standard deviation `[A]` of the bids that are tried now."""
        mean, log_std = self.actor(obs)
        return mean, log_std + self.noise.log()

    def begin(self) -> None:
        """Every process starts from the actor of the first one."""
        self.team.copy_first(self.actor.parameters())

    @property
    def keeps_last(self) -> bool:
        """With budgets, because the cheapest policy on the way may have broken them."""
        return bool(self.prices.budgets)

    def modules(self) -> dict[str, nn.Module]:
        """Actor and critic."""
        return {"actor": self.actor, "critic": self.critic}

    def optimisers(self) -> dict[str, Tuned]:
        """One for both."""
        return {"both": (self.optimiser, self.learning_rate)}

    def schedule(self, done: float) -> None:
        """Noise and divergence fall along half a cosine."""
        c = self.config
        self.noise.fill_(cosine(1.0, c.final_noise, done))
        if c.target_kl is not None:
            self.target_kl.fill_(cosine(c.target_kl, c.final_target_kl, done))

    def extras(self) -> dict[str, Tensor]:
        """The critic's unit and the prices of budgets."""
        return {"scale": self.scale, "prices": self.prices.price}

    def once(self) -> dict[str, Tensor]:
        """One rollout and its update."""
        rollout, self.fleet = collect(self)
        return update(self, rollout) | self._priced(rollout) | episode_metrics(self.sim.params.steps, rollout.reported)

    def _priced(self, rollout: Rollout) -> dict[str, Tensor]:
        """Prices of budgets follow what the rollout used of them."""
        if not self.prices.budgets:
            return {}
        spent = self.team.mean(self.prices.spent(rollout.reported))
        self.prices.follow(spent)
        return self.prices.told(spent)


def _check(sim: Simulator, config: PpoConfig) -> None:
    if config.graph:
        check_graph(sim, config)
    if config.num_envs % config.group_size:
        raise ConfigError(
            f"agent.options.num_envs = {config.num_envs} must be a multiple of group_size = {config.group_size}"
        )
    if config.baseline == "group" and config.group_size < 2:
        raise ConfigError("agent.options.baseline = 'group' needs others to compare with: group_size = 2 or more")


def _reference(sim: Simulator, config: PpoConfig) -> Tensor:
    """`[E, T]` what price following earns, where that is the baseline."""
    if config.baseline == "price_follow":
        return price_follow_rewards(sim, config.reward)
    return torch.zeros(0, sim.params.steps, device=sim.params.device)


@dataclass(frozen=True)
class Rollout:
    """A rollout, time first."""

    obs: Tensor  # [h, B, O]
    bid: Tensor  # [h, B, A]
    log_prob: Tensor  # [h, B]
    reward: Tensor  # [h, B]
    reported: Tensor  # [h, B, len(REPORTED)]
    value: Tensor  # [h, B]
    next_value: Tensor  # [h, B]
    ends: Tensor  # [h, B] bool


class Losses(NamedTuple):
    """What a minibatch tells, scalars."""

    policy_loss: Tensor
    value_loss: Tensor
    approx_kl: Tensor
    clip_fraction: Tensor
    grad_norm: Tensor


@torch.no_grad()
def collect(agent: Ppo) -> tuple[Rollout, Fleet]:
    """Run the policy for `horizon` steps. Noise is drawn for the whole team: its size changes no trajectory."""
    sim, c, fleet, mine = agent.sim, agent.config, agent.fleet, agent.team.share(agent.config.num_envs)
    rows: list[tuple[Tensor, ...]] = []
    for _ in range(c.horizon):
        obs, before = fleet.obs, fleet.carry
        mean, log_std = agent.bids(obs)
        eps = torch.randn(c.num_envs, mean.shape[1], generator=agent.generator, device=mean.device)[mine]
        bid = mean + torch.exp(log_std) * eps
        fleet, stepped = advance(sim, fleet, torch.tanh(bid), agent.step)
        reward = stepped.reward
        if c.reward == "accrual":
            reward = reward + gain(sim.params, before.state, stepped.final.state)
        reward = reward - agent.prices.penalty(stepped.reported)
        if c.baseline == "group":
            reward = beyond_others(reward, c.group_size)
        elif c.baseline == "price_follow":
            reward = reward - at(agent.reference, sim, before)
        value, after = agent.critic(obs) * agent.scale, torch.zeros_like(reward)
        if not sim.params.prices_end and stepped.ended.any():
            after = agent.critic(stepped.final_obs) * agent.scale
        ends = stepped.final.state.t >= sim.params.steps
        rows.append((obs, bid, log_prob(bid, mean, log_std), reward, stepped.reported, value, after, ends))
    obs, bid, logp, reward, reported, value, after, ends = (torch.stack(x) for x in zip(*rows, strict=True))
    following = torch.cat((value[1:], (agent.critic(fleet.obs) * agent.scale).unsqueeze(0)))
    next_value = torch.where(ends, after, following)
    return Rollout(obs, bid, logp, reward, reported, value, next_value, ends), fleet


def update(agent: Ppo, rollout: Rollout) -> dict[str, Tensor]:
    """Several epochs of minibatches; metrics stay on the device.

    Each minibatch holds equally many steps of every environment, in an order drawn anew per environment and epoch.
    """
    c, team = agent.config, agent.team
    advantage, returns = gae(rollout.reward, rollout.value, rollout.next_value, rollout.ends, c.gamma, c.gae_lambda)
    centre = team.mean(advantage.mean())
    spread = team.mean((advantage - centre).square().mean()).sqrt()
    advantage = (advantage - centre) / (spread + 1e-8)
    agent.scale.lerp_(team.mean(returns.square().mean()).sqrt().clamp_min(1e-3), 1.0 if agent.update == 0 else 0.05)
    total = torch.zeros(len(Losses._fields), device=advantage.device)
    steps, envs = advantage.shape
    column = torch.arange(envs, device=advantage.device)
    with matrix_products(c.tf32 and advantage.is_cuda):
        for _ in range(c.epochs):
            order = torch.rand(steps, c.num_envs, generator=agent.generator, device=advantage.device).argsort(0)
            for part in order[:, team.share(c.num_envs)].chunk(c.batches):
                total += torch.stack(_minibatch(agent, rollout, advantage, returns, (part, column.expand_as(part))))
    agent.update += 1
    losses = Losses(*(total / (c.epochs * c.batches)).unbind())
    return {f"train/{name}": x for name, x in losses._asdict().items()} | {
        "train/learning_rate": agent.learning_rate.clone(),
        "train/std": agent.actor.log_std.detach().exp().mean() * agent.noise,
        "train/target_kl": agent.target_kl.clone(),
    }


def _minibatch(
    agent: Ppo, rollout: Rollout, advantage: Tensor, returns: Tensor, where: tuple[Tensor, Tensor]
) -> Losses:
    """One gradient step on the samples `where` (step, environment)."""
    c, warming = agent.config, agent.update < agent.warmup
    obs, bid, old, adv = (x[where].flatten(0, 1) for x in (rollout.obs, rollout.bid, rollout.log_prob, advantage))
    with torch.autocast(obs.device.type, torch.bfloat16, enabled=c.bf16, cache_enabled=False):
        mean, log_std = agent.bids(obs)
        value = agent.critic(obs)
    log_ratio = log_prob(bid, mean.float(), log_std) - old
    ratio = log_ratio.exp()
    policy_loss = -torch.minimum(ratio * adv, ratio.clamp(1 - c.clip_coef, 1 + c.clip_coef) * adv).mean()
    value_loss = (value.float() - returns[where].flatten() / agent.scale).square().mean()
    loss = c.vf_coef * value_loss
    if not warming:
        loss = loss + policy_loss - c.ent_coef * entropy(log_std)
    agent.optimiser.zero_grad(set_to_none=False)
    loss.backward()
    parameters = agent.optimiser.param_groups[0]["params"]
    agent.team.mean_gradients(parameters)
    norm = nn.utils.clip_grad_norm_(parameters, c.max_grad_norm)
    with torch.no_grad():
        kl = agent.team.mean(((ratio - 1.0) - log_ratio).mean())
        clipped = ((ratio - 1.0).abs() > c.clip_coef).float().mean()
        if not warming:
            adapt(agent.learning_rate, kl, None if c.target_kl is None else agent.target_kl)
    agent.optimiser.step()
    return Losses(policy_loss.detach(), value_loss.detach(), kl, clipped, norm)


def adapt(learning_rate: Tensor, kl: Tensor, target_kl: Tensor | float | None) -> None:
    """Slow down where the policy moved more than twice the target, speed up where less than half; in place, no sync."""
    if target_kl is None:
        return
    faster = torch.where(kl < target_kl / 2.0, learning_rate * RATE_STEP, learning_rate)
    learning_rate.copy_(torch.where(kl > target_kl * 2.0, learning_rate / RATE_STEP, faster).clamp(*RATE_RANGE))
