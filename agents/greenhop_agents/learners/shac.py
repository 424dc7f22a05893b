"""Short-horizon actor-critic (Xu et al., ICLR 2022): the policy gradient is the simulator's own derivative.

Of every window of `horizon` steps the actor maximises

    J(θ) = 1/(B·h) Σ_i ( Σ_{s<h} γ^s r_{i,s}  +  γ^h V'(o_{i,h}) )

by backpropagation through step, decoder and observation; an episode that ends inside a window closes its own sum. V' is
a slowly moving copy of a critic trained on TD(λ) targets. With `horizon` equal to the episode there is no cut and no
critic: the plain analytic policy gradient. Rewards count beyond what price following earns (reference.py).

Nothing of the step is smoothed. Where the physics clips (a full battery, a full pool) its gradient is rightly zero;
actions keep theirs because bids pass through `tanh` and never through a clip, and noise on the bids blurs kinks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Generator, Tensor, nn

from greenhop.engines.differentiable import Step
from greenhop.engines.price_follow import at, price_follow_rewards
from greenhop.episode.simulator import Simulator
from greenhop.scenario.config import Count, NonNegative, Positive
from greenhop_agents.learners.networks import Actor, NetworkConfig, build_actor, build_critic, matrix_products
from greenhop_agents.learners.rollout import Fleet, advance, detach, launch, ticker


class ShacConfig(BaseModel):
    """Settings of SHAC. `horizon: 0` is the whole episode: the analytic policy gradient."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    num_envs: Count = 128
    horizon: Annotated[int, Field(ge=0)] = 24
    gamma: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    td_lambda: Annotated[float, Field(ge=0.0, le=1.0)] = 0.95
    learning_rate: Positive = 2e-3
    final_learning_rate: NonNegative = 2e-5
    critic_learning_rate: Positive = 2e-3
    critic_epochs: Count = 4
    critic_warmup: Annotated[int, Field(ge=0)] = 20  # windows before the actor follows the critic
    critic_batches: Count = 4
    target_tau: Annotated[float, Field(gt=0.0, le=1.0)] = 0.2  # share of the critic the target takes
    max_grad_norm: Positive = 1.0
    average: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9  # weights are averaged over updates; the mean is the policy
    std_anneal: bool = True  # exploration noise falls with the learning rate
    compile: bool | None = None  # the step and its derivative as machine code; None: on a CPU with a compiler
    tf32: bool = False  # float32 products of the networks in TensorFloat-32, on GPUs that have it
    graph: bool = False  # window and updates as one CUDA graph: needs a GPU, and windows that divide an episode
    network: NetworkConfig = NetworkConfig()


@dataclass
class Shac:
    """Everything that training changes."""

    config: ShacConfig
    actor: Actor
    averaged: Actor  # moving average of the actor's weights (Polyak and Juditsky, 1992): what is validated and kept
    critic: nn.Module
    target: nn.Module
    actor_optimiser: torch.optim.Optimizer
    critic_optimiser: torch.optim.Optimizer
    fleet: Fleet
    step: Step
    generator: Generator
    reference: Tensor  # [E, T] what price following earns, see engines/price_follow.py
    actor_rate: Tensor  # learning rates and the factor of the noise now: tensors, so that a CUDA graph can follow them
    critic_rate: Tensor
    noise: Tensor
    update: int = 0


@dataclass(frozen=True)
class Window:
    """A window of experience, time first."""

    objective: Tensor  # scalar with gradient
    obs: Tensor  # [h, B, O] detached
    reward: Tensor  # [h, B] beyond what price following earns
    after: Tensor  # [h, B] value after the end of an episode, else 0
    ends: Tensor  # [h, B] bool, the episode ended with this step
    last: Tensor  # [B, O] observation at the cut


def build_shac(sim: Simulator, config: ShacConfig, seed: int, reference: Tensor | None = None) -> Shac:
    """Networks, optimisers and a staggered fleet."""
    torch.manual_seed(seed)
    actor, critic = build_actor(sim, config.network), build_critic(sim, config.network)
    every = config.horizon or None
    device = sim.params.device
    actor_rate, critic_rate, noise = torch.ones(3, device=device).unbind()
    adam: dict[str, Any] = {"betas": (0.9, 0.95), "capturable": device.type == "cuda", "foreach": device.type == "cuda"}
    return Shac(
        config=config,
        actor=actor,
        averaged=deepcopy(actor),
        critic=critic,
        target=deepcopy(critic),
        actor_optimiser=torch.optim.Adam(actor.parameters(), actor_rate, **adam),
        critic_optimiser=torch.optim.Adam(critic.parameters(), critic_rate, **adam),
        fleet=launch(sim, config.num_envs, seed, every),
        step=ticker(sim, config.compile, derivative=True),
        generator=Generator(device).manual_seed(seed),
        reference=price_follow_rewards(sim) if reference is None else reference,
        actor_rate=actor_rate,
        critic_rate=critic_rate,
        noise=noise,
    )


def window_length(config: ShacConfig, steps: int) -> int:
    """h: steps of a window in an episode of `steps`."""
    return config.horizon or steps


def collect(sim: Simulator, agent: Shac) -> tuple[Window, Fleet]:
    """Run one window with gradient."""
    c, fleet = agent.config, agent.fleet
    h = window_length(c, sim.params.steps)
    discount = torch.ones(fleet.size, device=sim.params.device)
    total = torch.zeros_like(discount)
    steps: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    for _ in range(h):
        obs, usual = fleet.obs, at(agent.reference, sim, fleet.carry)
        fleet, stepped = advance(sim, fleet, explore(agent.actor, obs, agent.noise, agent.generator), agent.step)
        reward = stepped.reward - usual
        total = total + discount * reward
        discount = discount * c.gamma
        after, cut = torch.zeros_like(discount), stepped.final.state.t >= sim.params.steps
        if stepped.ended.any():
            if not sim.params.prices_end:
                after = torch.where(cut, agent.target(stepped.final_obs), 0.0)
            total = total + discount * after
            discount = torch.where(cut, torch.ones_like(discount), discount)
        steps.append((obs.detach(), reward.detach(), after.detach(), cut))
    going = fleet.carry.state.t > 0
    if fleet.t.any():
        total = total + discount * torch.where(going, agent.target(fleet.obs), 0.0)
    obs, reward, after, ends = (torch.stack(x) for x in zip(*steps, strict=True))
    fleet = detach(fleet)
    return Window(total.mean() / h, obs, reward, after, ends, fleet.obs), fleet


def explore(actor: Actor, obs: Tensor, noise: Tensor, generator: Generator) -> Tensor:
    """`[B, A]` actions `tanh(μ + noise·σ·ε)`, by the reparametrisation that gradients pass through."""
    mean, log_std = actor(obs)
    eps = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
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
    agent.actor_optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(-objective)
    norm = nn.utils.clip_grad_norm_(agent.actor.parameters(), agent.config.max_grad_norm)
    finite = torch.isfinite(norm)
    for p in agent.actor.parameters():
        if p.grad is not None:
            p.grad.copy_(torch.where(finite, p.grad, 0.0))
    agent.actor_rate.copy_(torch.where(finite, agent.actor_rate, 0.0))
    agent.actor_optimiser.step()
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


def cosine(first: float, last: float, done: float) -> float:
    """A value that falls from `first` to `last` along half a cosine while `done` goes from 0 to 1."""
    return last + (first - last) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))


def schedule(agent: Shac, done: float) -> None:
    """Set learning rates and noise for the next update; `done` is the share of training behind us."""
    c = agent.config
    fall = cosine(1.0, c.final_learning_rate / c.learning_rate, done)
    agent.actor_rate.fill_(c.learning_rate * fall)
    agent.critic_rate.fill_(c.critic_learning_rate * fall)
    agent.noise.fill_(fall if c.std_anneal else 1.0)


def learn_once(sim: Simulator, agent: Shac) -> dict[str, Tensor]:
    """One window and one update of actor and critic; nothing asks the device for a value."""
    c = agent.config
    cut = 0 < c.horizon < sim.params.steps
    warming = cut and agent.update < c.critic_warmup
    with matrix_products(c.tf32 and sim.params.device.type == "cuda"):
        with torch.set_grad_enabled(not warming):
            window, fleet = collect(sim, agent)
        metrics = {"train/objective": window.objective.detach()}
        if not warming:
            metrics["train/actor_grad_norm"] = update_actor(agent, window.objective)
        if cut:
            metrics["train/value_loss"] = update_critic(agent, window)
    agent.fleet = fleet
    agent.update += 1
    return metrics | {"rollout/saving_mean": window.reward.mean()}
