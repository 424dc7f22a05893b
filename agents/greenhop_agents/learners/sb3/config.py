"""Settings of Stable-Baselines3 agents: what SB3 is told, and what is done around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError, field_validator
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from greenhop.errors import ConfigError
from greenhop.scenario.config import Count, NonNegative, Positive, describe
from greenhop.scenario.limits import Limited, check_number
from greenhop_agents.learners.networks import NetworkConfig

OURS = ("name", "kind", "total_steps", "warm_start")  # keys of an agent that every algorithm has


Share = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveShare = Annotated[float, Field(gt=0.0, le=1.0)]
Entropy = NonNegative | Annotated[str, Field(pattern=r"^auto(_[0-9.]+)?$")]


class Sb3Options(Limited):
    """Keyword arguments of the algorithm. Those it shares with others have ranges; it judges the rest itself."""

    model_config = ConfigDict(extra="allow")

    learning_rate: Positive = 3e-4
    """Step size of the optimiser."""
    batch_size: Count = 64
    """Samples of a gradient step."""
    gamma: PositiveShare = 0.99
    """Discount per step."""
    n_steps: Count = 2048
    """Steps of a rollout in each environment."""
    n_epochs: Count = 10
    """Passes over a rollout."""
    gae_lambda: Share = 0.95
    """Mix of generalised advantage estimation, from one step (0) to the whole rest (1)."""
    clip_range: Positive = 0.2
    """Ratio of probabilities beyond which a step is clipped."""
    ent_coef: Entropy = 0.0
    """Weight of the entropy bonus; `auto` or `auto_START` where the algorithm adapts it."""
    vf_coef: NonNegative = 0.5
    """Weight of the critic's loss."""
    max_grad_norm: Positive = 0.5
    """Norm that gradients are cut to."""
    target_kl: Positive | None = None
    """Divergence at which an update ends early; null: never."""
    buffer_size: Count = 1_000_000
    """Steps that a replay buffer keeps."""
    learning_starts: Annotated[int, Field(ge=0)] = 100
    """Steps before the first update."""
    tau: PositiveShare = 0.005
    """Share of a network that its target takes over in an update."""
    train_freq: Count = 1
    """Steps of every environment between updates."""
    gradient_steps: Annotated[int, Field(ge=-1)] = 1
    """Updates at a time; -1: as many as there were steps."""
    policy_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of SB3's policy; no number of them (widths of layers, for instance) exceeds 4,096."""

    @field_validator("policy_kwargs")
    @classmethod
    def _fits_into_memory(cls, value: dict[str, Any]) -> dict[str, Any]:
        for number in tree_leaves(value):
            if isinstance(number, int | float):
                check_number("width", number)
        return value


class Sb3Config(Limited):
    """An agent of Stable-Baselines3 or sb3-contrib."""

    algorithm: Literal["ppo", "sac", "td3", "recurrent_ppo", "tqc"]
    """The algorithm; the last two need sb3-contrib."""
    num_envs: Count
    """Environments stepped together."""
    group_size: Count = 1
    """Environments that live the same episodes; divides `num_envs`."""
    reward: Literal["bill", "accrual"] = "accrual"
    """Minus the bill of a step; or with the change of what waiting work and stored energy are worth at terminal
    prices."""
    baseline: Literal["group", "price_follow", "none"] = "price_follow"
    """What is subtracted from rewards: the mean of the others in the group, what price following earns in the same step
    of the same episode, or nothing."""
    final_learning_rate: NonNegative | None = None
    """Learning rate at the end, in a straight line from `options.learning_rate`; null keeps that."""
    final_noise: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """What may be left at the end of the noise of a policy gradient (`log_std_init`), as a factor."""
    action_noise: NonNegative | None = None
    """Standard deviation of the noise on actions while a deterministic algorithm (td3) explores."""
    features: NetworkConfig | None = None
    """Our encoder in front of the algorithm's own network."""
    network: NetworkConfig | None = None
    """Our network instead of the algorithm's own; for ppo."""
    options: Sb3Options = Sb3Options()
    """Keyword arguments of the algorithm's class, `policy_kwargs` among them, whose `activation_fn` is a name: `tanh`,
    `relu`, `silu`, `normed_silu` (layer normalisation first) or `normed_relu`."""


def sb3_config(agent: Mapping[str, Any]) -> Sb3Config:
    """The checked settings of an agent.

    Raises:
        ConfigError: unknown key or impossible value.
    """
    try:
        return Sb3Config.model_validate({key: value for key, value in agent.items() if key not in OURS})
    except ValidationError as error:
        raise ConfigError(describe(error, "agent")) from None


class Normed(nn.Module):
    """Layer normalisation without weights, then an activation: critics that learn from their own guesses stay calm
    (as in DroQ, Hiraoka et al., 2022)."""

    def __init__(self, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """`[B, H]` → `[B, H]`."""
        return self._activation(nn.functional.layer_norm(x, x.shape[-1:]))


class NormedSiLU(Normed):
    """With SiLU."""

    def __init__(self) -> None:
        super().__init__(nn.functional.silu)


class NormedReLU(Normed):
    """With ReLU."""

    def __init__(self) -> None:
        super().__init__(nn.functional.relu)


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "normed_silu": NormedSiLU,
    "normed_relu": NormedReLU,
}


def keyword_arguments(config: Sb3Config) -> dict[str, Any]:
    """`options` as SB3 takes them: names become classes, a falling rate a function of what remains.

    Raises:
        ConfigError: an unknown activation.
    """
    options = config.options.model_dump(exclude_unset=True)
    if "policy_kwargs" in options:
        options["policy_kwargs"] = _with_activation(dict(options["policy_kwargs"]))
    last = config.final_learning_rate
    if last is not None:
        first = config.options.learning_rate
        options["learning_rate"] = lambda remaining: last + (first - last) * remaining
    return options


def _with_activation(policy: dict[str, Any]) -> dict[str, Any]:
    name = policy.get("activation_fn")
    if name is not None and name not in ACTIVATIONS:
        raise ConfigError(
            f"agent.options.policy_kwargs.activation_fn = {name!r} is unknown; allowed: {', '.join(ACTIVATIONS)}"
        )
    return policy if name is None else {**policy, "activation_fn": ACTIVATIONS[name]}
