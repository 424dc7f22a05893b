"""Settings of Stable-Baselines3 agents: what SB3 is told, and what is done around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from greenhop.errors import ConfigError
from greenhop.scenario.config import Count, NonNegative, describe
from greenhop_agents.learners.networks import NetworkConfig

OURS = ("name", "kind", "total_steps", "warm_start")  # keys of an agent that every algorithm has


class Sb3Config(BaseModel):
    """An agent of Stable-Baselines3 or sb3-contrib."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

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
    options: dict[str, Any] = {}
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
    options = dict(config.options)
    if "policy_kwargs" in options:
        options["policy_kwargs"] = _with_activation(dict(options["policy_kwargs"]))
    last = config.final_learning_rate
    if last is not None:
        first = float(options["learning_rate"])
        options["learning_rate"] = lambda remaining: last + (first - last) * remaining
    return options


def _with_activation(policy: dict[str, Any]) -> dict[str, Any]:
    name = policy.get("activation_fn")
    if name is not None and name not in ACTIVATIONS:
        raise ConfigError(
            f"agent.options.policy_kwargs.activation_fn = {name!r} is unknown; allowed: {', '.join(ACTIVATIONS)}"
        )
    return policy if name is None else {**policy, "activation_fn": ACTIVATIONS[name]}
