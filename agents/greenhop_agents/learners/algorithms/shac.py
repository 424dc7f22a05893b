"""Short-horizon actor-critic (Xu et al., ICLR 2022): the policy gradient is the simulator's own derivative.

Of every window of `horizon` steps the actor maximises

    J(θ) = 1/(B·h) Σ_i ( Σ_{s<h} γ^s r_{i,s}  +  γ^h V'(o_{i,h}) )

by backpropagation through step, decoder and observation; an episode that ends inside a window closes its own sum. V' is
a slowly moving copy of a critic trained on TD(λ) targets. With `horizon` equal to the episode there is no cut and no
critic: the plain analytic policy gradient. Rewards count beyond what price following earns (baseline.py).

Nothing of the step is smoothed. Where the physics clips (a full battery, a full pool) its gradient is rightly zero;
actions keep theirs because bids pass through `tanh` and never through a clip, and noise on the bids blurs kinks.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from greenhop.engines.price_follow import at, price_follow_rewards
from greenhop.episode.simulator import Simulator
from greenhop.errors import ConfigError
from greenhop.scenario.config import Count, NonNegative, Positive
from greenhop_agents.learners.actor_critic import ActorCritic, Tuned, check_graph
from greenhop_agents.learners.algorithm import Agent
from greenhop_agents.learners.native import NativeOptions, episode_metrics
from greenhop_agents.learners.networks import Actor, NetworkConfig, build_actor, build_critic, cosine, matrix_products
from greenhop_agents.learners.parallel import Team
from greenhop_agents.learners.rollout import Fleet, advance, detach, launch, ticker


class ShacConfig(NativeOptions):
    """Settings of SHAC. `horizon: 0` is the whole episode: the analytic policy gradient."""

    num_envs: Count = 128
    """Environments stepped together."""
    horizon: Annotated[int, Field(ge=0)] = 24
    """Steps of a window; 0 is the whole episode, which needs no critic."""
    gamma: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Discount per step; 1 judges an episode as a whole."""
    td_lambda: Annotated[float, Field(ge=0.0, le=1.0)] = 0.95
    """Mix of the critic's targets, from one step (0) to the rest of the window (1)."""
    optimiser: Literal["adam", "muon"] = "adam"
    """Of the actor's hidden matrices: Adam, or Muon, whose steps are orthogonal; all other weights follow Adam."""
    learning_rate: Positive = 2e-3
    """Step size of the actor's optimiser at the start."""
    final_learning_rate: NonNegative = 2e-5
    """Step size of the actor's optimiser at the end, reached along half a cosine."""
    critic_learning_rate: Positive = 2e-3
    """Step size of the critic's Adam."""
    critic_epochs: Count = 4
    """Passes of the critic over a window."""
    critic_warmup: Annotated[int, Field(ge=0)] = 20
    """Windows before the actor follows the critic."""
    critic_batches: Count = 4
    """Minibatches of a pass of the critic."""
    target_tau: Annotated[float, Field(gt=0.0, le=1.0)] = 0.2
    """Share of the critic that its slow copy takes over after each window."""
    max_grad_norm: Positive = 1.0
    """Norm that gradients are cut to."""
    average: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    """Weight of the past in the moving mean of the actor's weights, which is the policy."""
    std_anneal: bool = True
    """Whether exploration noise falls with the learning rate."""
    compile: bool | None = None
    """Whether the step and its derivative are machine code; null: on a CPU with a compiler."""
    tf32: bool = False
    """Whether float32 products of the networks are rounded to TensorFloat-32, on GPUs that have it."""
    graph: bool = False
    """Whether window and updates are one CUDA graph: needs a GPU, and windows that divide an episode."""
    network: NetworkConfig = NetworkConfig()
    """Shape of actor and critic."""


@dataclass(kw_only=True)
class Shac(ActorCritic):
    """SHAC on a simulator."""

    Options = ShacConfig
    parallel = True
    team: Team
    config: ShacConfig
    averaged: Actor  # moving average of the actor's weights (Polyak and Juditsky, 1992): what is validated and kept
    target: nn.Module
    actor_optimiser: torch.optim.Optimizer
    hidden_optimiser: torch.optim.Optimizer | None  # Muon, of what the actor's own then leaves alone
    critic_optimiser: torch.optim.Optimizer
    actor_rate: Tensor  # learning rates and the factor of the noise now: tensors, so that a CUDA graph can follow them
    critic_rate: Tensor
    noise: Tensor

    @classmethod
    def build(
        cls,
        sim: Simulator,
        agent: Agent,
        seed: int,
        team: Team = Team(),  # noqa: B008 (frozen)
        reference: Tensor | None = None,
    ) -> Self:
        """Networks, optimisers, a staggered fleet; processes of a team build the same networks, each its own part."""
        config: ShacConfig = cls.options_of(agent)
        mine = team.share(config.num_envs)
        if config.graph:
            check_graph(sim, config)
        torch.manual_seed(seed)
        actor, critic = build_actor(sim, config.network), build_critic(sim, config.network)
        device = sim.params.device
        actor_rate, critic_rate, noise = torch.ones(3, device=device).unbind()
        on_gpu = device.type == "cuda"
        adam: dict[str, Any] = {"betas": (0.9, 0.95), "capturable": on_gpu, "foreach": on_gpu}
        hidden = hidden_matrices(actor, config) if config.optimiser == "muon" else []
        rest = [p for p in actor.parameters() if not any(p is matrix for matrix in hidden)]
        return cls(
            sim=sim,
            name=agent["name"],
            team=team,
            config=config,
            actor=actor,
            averaged=deepcopy(actor),
            critic=critic,
            target=deepcopy(critic),
            actor_optimiser=torch.optim.Adam(rest, actor_rate, **adam),
            hidden_optimiser=muon(hidden, actor_rate) if hidden else None,
            critic_optimiser=torch.optim.Adam(critic.parameters(), critic_rate, **adam),
            fleet=launch(sim, mine.stop - mine.start, seed, config.horizon or None, mine.start),
            step=ticker(sim, config.compile, derivative=True),
            generator=Generator(device).manual_seed(seed),
            reference=_reference(sim, config) if reference is None else reference,
            actor_rate=actor_rate,
            critic_rate=critic_rate,
            noise=noise,
        )

    @property
    def cut(self) -> bool:
        """Whether windows end before episodes do, so that a critic is needed."""
        return self.horizon < self.sim.params.steps

    @property
    def warmup(self) -> int:
        """Windows before the actor follows the critic."""
        return self.config.critic_warmup if self.cut else 0

    @property
    def kept(self) -> Actor:
        """The averaged actor."""
        return self.averaged

    def begin(self) -> None:
        """Every process starts from the actor of the first one, and the averaged weights where it stands."""
        self.team.copy_first(self.actor.parameters())
        self.averaged.load_state_dict(self.actor.state_dict())

    def modules(self) -> dict[str, nn.Module]:
        """Actor, critic and their slow copies."""
        return {"actor": self.actor, "critic": self.critic, "averaged": self.averaged, "target": self.target}

    def optimisers(self) -> dict[str, Tuned]:
        """One for each."""
        own = {
            "actor": (self.actor_optimiser, self.actor_rate),
            "critic": (self.critic_optimiser, self.critic_rate),
        }
        return own if self.hidden_optimiser is None else own | {"hidden": (self.hidden_optimiser, self.actor_rate)}

    def schedule(self, done: float) -> None:
        """Learning rates and noise fall along half a cosine."""
        c = self.config
        fall = cosine(1.0, c.final_learning_rate / c.learning_rate, done)
        self.actor_rate.fill_(c.learning_rate * fall)
        self.critic_rate.fill_(c.critic_learning_rate * fall)
        self.noise.fill_(fall if c.std_anneal else 1.0)

    def once(self) -> dict[str, Tensor]:
        """One window and one update of actor and critic."""
        warming = self.update < self.warmup
        with matrix_products(self.config.tf32 and self.sim.params.device.type == "cuda"):
            with torch.set_grad_enabled(not warming):
                window, fleet = collect(self)
            metrics = {"train/objective": window.objective.detach()}
            if not warming:
                metrics["train/actor_grad_norm"] = update_actor(self, window.objective)
            if self.cut:
                metrics["train/value_loss"] = update_critic(self, window)
        self.fleet = fleet
        self.update += 1
        return metrics | episode_metrics(self.sim.params.steps, window.reported)


def hidden_matrices(actor: Actor, config: ShacConfig) -> list[nn.Parameter]:
    """Weights of all layers but the last.

    Raises:
        ConfigError: a network that is no stack of layers, or an update as a CUDA graph.
    """
    if config.network.kind != "mlp" or not config.network.layers or config.graph:
        raise ConfigError(
            "agent.options.optimiser = 'muon' needs network.kind=mlp with hidden layers, and graph=false; "
            "else optimiser=adam learning_rate=2e-3"
        )
    return [p for p in actor.mean.parameters() if p.ndim == 2][:-1]


def muon(matrices: list[nn.Parameter], rate: Tensor) -> torch.optim.Optimizer:
    """Muon (Jordan et al., 2024): momentum made orthogonal, in steps as large as Adam's (Liu et al., 2025)."""
    step_size: Any = rate  # a tensor, as for Adam; torch's annotation knows numbers alone
    return torch.optim.Muon(matrices, step_size, weight_decay=0.0, momentum=0.9, adjust_lr_fn="match_rms_adamw")


def _reference(sim: Simulator, config: ShacConfig) -> Tensor:
    """`[E, T]` what price following earns, which takes the weather out of the critic's targets, where there is one."""
    if 0 < config.horizon < sim.params.steps:
        return price_follow_rewards(sim)
    return torch.zeros(1, 1, device=sim.params.device)


@dataclass(frozen=True)
class Window:
    """A window of experience, time first."""

    objective: Tensor  # scalar with gradient
    obs: Tensor  # [h, B, O] detached
    reward: Tensor  # [h, B] beyond what price following earns
    reported: Tensor  # [h, B, len(REPORTED)]
    after: Tensor  # [h, B] value after the end of an episode, else 0
    ends: Tensor  # [h, B] bool, the episode ended with this step
    last: Tensor  # [B, O] observation at the cut


def collect(agent: Shac) -> tuple[Window, Fleet]:
    """Run one window with gradient. Noise is drawn for the whole team: its size changes no trajectory."""
    sim, c, fleet, h = agent.sim, agent.config, agent.fleet, agent.horizon
    mine = agent.team.share(c.num_envs)
    discount = torch.ones(fleet.size, device=sim.params.device)
    total = torch.zeros_like(discount)
    steps: list[tuple[Tensor, ...]] = []
    for _ in range(h):
        obs = fleet.obs
        usual = at(agent.reference, sim, fleet.carry) if agent.cut else 0.0
        eps = torch.randn(c.num_envs, sim.action_size, generator=agent.generator, device=obs.device, dtype=obs.dtype)[
            mine
        ]
        fleet, stepped = advance(sim, fleet, explore(agent.actor, obs, agent.noise, eps), agent.step)
        reward = stepped.reward - usual
        total = total + discount * reward
        discount = discount * c.gamma
        after, cut = torch.zeros_like(discount), stepped.final.state.t >= sim.params.steps
        if stepped.ended.any():
            if not sim.params.prices_end:
                after = torch.where(cut, agent.target(stepped.final_obs), 0.0)
            total = total + discount * after
            discount = torch.where(cut, torch.ones_like(discount), discount)
        steps.append((obs.detach(), reward.detach(), stepped.reported, after.detach(), cut))
    going = fleet.carry.state.t > 0
    if fleet.t.any():
        total = total + discount * torch.where(going, agent.target(fleet.obs), 0.0)
    obs, reward, reported, after, ends = (torch.stack(x) for x in zip(*steps, strict=True))
    fleet = detach(fleet)
    return Window(total.mean() / h, obs, reward, reported, after, ends, fleet.obs), fleet


def explore(actor: Actor, obs: Tensor, noise: Tensor, eps: Tensor) -> Tensor:
    """`[B, A]` actions `tanh(μ + noise·σ·ε)`, by the reparametrisation that gradients pass through."""
    mean, log_std = actor(obs)
    return torch.tanh(mean + noise * torch.exp(log_std.detach()) * eps)


def td_lambda(reward: Tensor, next_value: Tensor, ends: Tensor, gamma: float, lam: float) -> Tensor:
    """Targets `[h, B]`.

    `G_s = r_s + γ·((1−λ)·V_{s+1} + λ·G_{s+1})`; where an episode ends, and at the cut, `G_s = r_s + γ·V_{s+1}`.

    Args:
        reward: `[h, B]`.
        next_value: `[h, B]` value of what follows each step, the end of an episode included.
        ends: `[h, B]` bool, the episode ended with this step.
        gamma: discount.
        lam: λ.
    """
    out = torch.empty_like(reward)
    ahead = next_value[-1]
    for s in range(len(reward) - 1, -1, -1):
        ahead = torch.where(ends[s], next_value[s], (1.0 - lam) * next_value[s] + lam * ahead)
        out[s] = ahead = reward[s] + gamma * ahead
    return out


def targets(agent: Shac, window: Window) -> Tensor:
    """TD(λ) targets `[h, B]` of a window, from the target network."""
    c = agent.config
    following = torch.cat((window.obs[1:], window.last.unsqueeze(0)))
    with torch.no_grad():
        value = agent.target(following.flatten(0, 1)).reshape(window.reward.shape)
    return td_lambda(window.reward, torch.where(window.ends, window.after, value), window.ends, c.gamma, c.td_lambda)


def update_actor(agent: Shac, objective: Tensor) -> Tensor:
    """One ascent step; returns the norm of the gradient before clipping. One that is not finite moves no weight."""
    agent.actor.zero_grad(set_to_none=True)
    torch.autograd.backward(-objective)
    agent.team.mean_gradients(agent.actor.parameters())
    norm = nn.utils.clip_grad_norm_(agent.actor.parameters(), agent.config.max_grad_norm)
    finite = torch.isfinite(norm)
    for p in agent.actor.parameters():
        if p.grad is not None:
            p.grad.copy_(torch.where(finite, p.grad, 0.0))
    agent.actor_rate.copy_(torch.where(finite, agent.actor_rate, 0.0))
    agent.actor_optimiser.step()
    if agent.hidden_optimiser is not None:
        agent.hidden_optimiser.step()
    follow(agent.averaged, agent.actor, 1.0 - agent.config.average)
    return norm


def update_critic(agent: Shac, window: Window) -> Tensor:
    """Regress the critic on the window's targets, then move the target network; returns the mean squared error."""
    c = agent.config
    goal, obs = targets(agent, window).flatten(), window.obs.flatten(0, 1)
    error = goal.new_zeros(())
    for batch in _batches(len(goal), c.critic_epochs, c.critic_batches, agent.generator):
        loss = (agent.critic(obs[batch]) - goal[batch]).square().mean()
        agent.critic_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        agent.team.mean_gradients(agent.critic.parameters())
        nn.utils.clip_grad_norm_(agent.critic.parameters(), c.max_grad_norm)
        agent.critic_optimiser.step()
        error = error + loss.detach() / (c.critic_epochs * c.critic_batches)
    follow(agent.target, agent.critic, c.target_tau)
    return error


@torch.no_grad()
def follow(slow: nn.Module, fast: nn.Module, share: float) -> None:
    """Move the weights of `slow` by `share` of the way to those of `fast`."""
    for a, b in zip(slow.parameters(), fast.parameters(), strict=True):
        a.lerp_(b, share)


def _batches(count: int, epochs: int, batches: int, generator: Generator) -> Iterator[Tensor]:
    for _ in range(epochs):
        if generator.device.type == "cuda":  # what a CUDA graph can hold
            order = torch.rand(count, generator=generator, device=generator.device).argsort()
        else:
            order = torch.randperm(count, generator=generator)
        yield from order.chunk(batches)
